"""Timers that do not follow the wall clock."""

from __future__ import annotations

import time

from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.clock import use_monotonic_timers


class MonotonicTimersTests(SynchronousTestCase):
    """On a reactor of their own, with a wall clock that is set back."""

    def setUp(self) -> None:
        self.reactor = SelectReactor()
        self.wall = 2_000_000_000.0
        self.reactor.seconds = lambda: self.wall

    def test_calls_keep_what_is_left_of_their_delay(self) -> None:
        call = self.reactor.callLater(7, lambda: None)
        use_monotonic_timers(self.reactor)
        left = call.getTime() - time.monotonic()
        self.assertTrue(6 < left <= 7, left)
        call.reset(3)
        self.assertTrue(2 < call.getTime() - time.monotonic() <= 3)

    def test_a_clock_that_is_set_back_delays_nothing(self) -> None:
        use_monotonic_timers(self.reactor)
        called: list[str] = []
        self.reactor.callLater(0, called.append, "called")
        self.wall -= 3600
        self.reactor.runUntilCurrent()
        self.assertEqual(called, ["called"])

    def test_twice_is_as_good_as_once(self) -> None:
        use_monotonic_timers(self.reactor)
        call = self.reactor.callLater(7, lambda: None)
        use_monotonic_timers(self.reactor)
        self.assertTrue(6 < call.getTime() - time.monotonic() <= 7)
