"""Time, of which there are two: one that durations are measured by, and one that is written down.

Durations, deadlines and timers go by a clock that nobody sets: an
:class:`~twisted.internet.interfaces.IReactorTime`. What is shown, stored, or compared with what
nodes say goes by the wall clock, a :data:`Now`, which an operator or NTP may set at any moment.
Nothing is computed from one and compared with the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.internet.base import DelayedCall, ReactorBase
from twisted.internet.interfaces import IReactorTime

Now = Callable[[], float]
"""Tells Unix time, in seconds."""


def never_set_back(now: Now, clock: IReactorTime) -> Now:
    """The wall clock, but where it would be by now if it is set back: what others may have reached.

    A node whose clock is right is ahead of a server whose clock was set back; that is no reason to
    disbelieve it.
    """
    ahead = now() - clock.seconds()
    return lambda: max(now(), ahead + clock.seconds())


def use_monotonic_timers(reactor: ReactorBase) -> None:
    """Have ``reactor`` measure time by a clock that cannot be set.

    Twisted's reactors take theirs from :func:`time.time`: set the clock back an hour, and every
    timer waits for an hour. Calls that are already scheduled keep what is left of their delay.
    """
    before, after = reactor.seconds, time.monotonic
    if before is after:
        return
    shift = after() - before()
    for call in reactor.getDelayedCalls():
        assert isinstance(call, DelayedCall)
        call.time += shift
        call.seconds = after
    reactor.seconds = after
