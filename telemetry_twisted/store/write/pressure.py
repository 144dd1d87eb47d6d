"""Whether others need the processors more than history does.

The store process stands back, so that where all processors are busy it waits most of the time. What
can be done less of is done less of then: the stream is what the server is for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime

LOOK_SECONDS = 0.4
"""How much time is judged at once, at the least."""

MOST_WAITING = 0.8
"""Share of the time in which the process would run that it may wait for a processor."""

_THREADS = Path("/proc/self/task")


def processor_times() -> tuple[int, int] | None:
    """For how long the threads of this process have run, and have waited to, in nanoseconds.

    None where the system does not tell (Linux does, by ``schedstat``).
    """
    ran = waited = 0
    try:
        for thread in _THREADS.iterdir():
            fields = (thread / "schedstat").read_text().split()
            ran += int(fields[0])
            waited += int(fields[1])
    except (OSError, ValueError, IndexError):
        return None
    return ran, waited


class Pressure:
    """Judges by how long the process had to wait, each time it looks.

    ``pressed`` is what it found last. It is False where the system does not tell.

    :param times: tells what :func:`processor_times` does.
    """

    def __init__(
        self,
        clock: IReactorTime,
        times: Callable[[], tuple[int, int] | None] = processor_times,
    ) -> None:
        self.pressed = False
        self._clock = clock
        self._times = times
        self._looked = clock.seconds()
        self._before = times()

    def look(self) -> float:
        """Look again if it is time; returns how many seconds have been judged, 0 if it is not."""
        now = self._clock.seconds()
        seconds = now - self._looked
        if seconds < LOOK_SECONDS:
            return 0.0
        self._looked = now
        before, self._before = self._before, self._times()
        if before is None or self._before is None:
            self.pressed = False
        else:
            # A thread that has ended takes its time with it.
            ran, waited = (
                max(0, after - past) for after, past in zip(self._before, before, strict=True)
            )
            self.pressed = waited > MOST_WAITING * (ran + waited)
        return seconds
