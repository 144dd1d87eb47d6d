"""When a process that says nothing is late, and when it is taken for dead."""

from __future__ import annotations

import os
from collections.abc import Callable

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

LOOK_SECONDS = 0.25
"""How often whoever listens looks how long nothing was heard."""


OVERDUE_SECONDS = 1.25
"""Silence from which on it is looked whether who is silent uses the processor."""


@frozen
class Patience:
    """How many seconds of silence are borne.

    A child says something every second, or more often. After ``late`` it is reported, and given
    nothing new; after ``dead`` it is killed. One that uses the processor meanwhile is not stopped:
    it has much to do, or is given little time, or is caught in a loop. It is late after
    ``busy_late`` and killed after ``busy_dead``. What was started may take ``starting`` to say its
    first word, on a machine that is busy.
    """

    late: float = 2.5
    dead: float = 10.0
    busy_late: float = 5.0
    busy_dead: float = 10.0
    starting: float = 60.0


class Silence:
    """For how many ``seconds`` nothing was heard, in time that the listener itself was awake.

    Whoever does not look in time, being stopped or starved, may have missed what was said. So each
    look counts for :data:`LOOK_SECONDS` at most, however much later it comes.

    :param processor: tells how many seconds who is silent has used the processor so far.
    """

    def __init__(self, clock: IReactorTime, processor: Callable[[], float]) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._looked = clock.seconds()
        self._processor = processor
        self._used: float | None = None
        self._worked_at = 0.0

    def heard(self) -> None:
        """Something was said."""
        self.seconds = 0.0

    def look(self) -> None:
        """See how long it has lasted; to be called every :data:`LOOK_SECONDS`."""
        if not self.seconds:
            self._used = None
            self._worked_at = 0.0
        now = self._clock.seconds()
        self.seconds += min(now - self._looked, LOOK_SECONDS)
        self._looked = now
        if self.seconds >= OVERDUE_SECONDS:
            used = self._processor()
            if self._used is not None and used != self._used:
                self._worked_at = self.seconds
            self._used = used

    def outlasts(self, idle: float, busy: float) -> bool:
        """Whether it has lasted for ``busy`` seconds, or ``idle`` without use of the processor."""
        return self.seconds >= busy or self.seconds - self._worked_at >= idle


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # proc(5): the name, in brackets, may hold anything; utime is 14th, stime next.
            fields = stat.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
