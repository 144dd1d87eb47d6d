"""When a process that says nothing is late, and when it is taken for dead."""

from __future__ import annotations

import os

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

LOOK_SECONDS = 0.25
"""How often whoever listens looks how long nothing was heard."""


@frozen
class Patience:
    """How many seconds of silence are borne.

    A child says something every second, or more often. After ``late`` it is reported, and given
    nothing new. After ``dead`` it is killed, or after ``busy`` if it has used the processor
    meanwhile: then it is slow, or at work on something long, and not stopped. What was started may
    take ``starting`` to say its first word, on a machine that is busy.
    """

    late: float = 2.5
    dead: float = 10.0
    busy: float = 10.0
    starting: float = 60.0


class Silence:
    """For how many ``seconds`` nothing was heard, in time that the listener itself was awake.

    Whoever does not look in time, being stopped or starved, may have missed what was said. So each
    look counts for :data:`LOOK_SECONDS` at most, however much later it comes.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._looked = clock.seconds()

    def heard(self) -> None:
        """Something was said."""
        self.seconds = 0.0

    def look(self) -> float:
        """How long it has lasted; to be called every :data:`LOOK_SECONDS`."""
        now = self._clock.seconds()
        self.seconds += min(now - self._looked, LOOK_SECONDS)
        self._looked = now
        return self.seconds


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # proc(5): the name, in brackets, may hold anything; utime is 14th, stime next.
            fields = stat.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
