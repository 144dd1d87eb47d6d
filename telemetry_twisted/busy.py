"""How busy a process is: how much of the time it has something to do, whoever has the processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorTime

_MAIN_THREAD = Path("/proc/self/schedstat")


def wanted_seconds() -> float | None:
    """For how long the main thread has run, or waited for a processor to run on, so far.

    None where the system does not tell (Linux does, by ``schedstat``).
    """
    try:
        ran, waited = _MAIN_THREAD.read_text().split()[:2]
        return (int(ran) + int(waited)) / 1e9
    except (OSError, ValueError):
        return None


class Busy:
    """The share of the time for which this process had something to do.

    Near 1 it could do no more, whether it is slow itself or others have the processors.

    :param wanted: tells what :func:`wanted_seconds` does.
    """

    def __init__(
        self, clock: IReactorTime, wanted: Callable[[], float | None] = wanted_seconds
    ) -> None:
        self._clock = clock
        self._wanted = wanted
        self._looked = clock.seconds()
        self._before = wanted()

    def share(self) -> float:
        """That share of the time since the last call, from 0 to 1; 0 where nobody can tell."""
        now, wanted = self._clock.seconds(), self._wanted()
        seconds, self._looked = now - self._looked, now
        before, self._before = self._before, wanted
        if wanted is None or before is None or seconds <= 0:
            return 0.0
        return min(1.0, max(0.0, (wanted - before) / seconds))
