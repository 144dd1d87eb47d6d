"""How busy a process is."""

from __future__ import annotations

import time

from twisted.internet.task import Clock

from telemetry_twisted.busy import Busy, wanted_seconds


def test_it_is_judged_anew_each_time() -> None:
    clock = Clock()
    wanted = 5.0
    busy = Busy(clock, lambda: wanted)
    clock.advance(2)
    wanted += 0.5
    assert busy.share() == 0.25
    clock.advance(1)
    assert busy.share() == 0
    clock.advance(1)
    wanted += 1.01  # the clocks differ
    assert busy.share() == 1
    assert busy.share() == 0  # no time has passed


def test_where_the_system_does_not_tell_it_is_never_busy() -> None:
    clock = Clock()
    busy = Busy(clock, lambda: None)
    clock.advance(1)
    assert busy.share() == 0


def test_what_the_system_tells_of_this_process() -> None:
    before = wanted_seconds()
    if before is None:  # there may be systems without it
        return
    ran = time.thread_time()
    while time.thread_time() - ran < 0.02:
        pass
    after = wanted_seconds()
    assert after is not None
    assert after - before > 0.01
