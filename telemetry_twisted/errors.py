"""Mistakes of the server's own, kept where they happen.

Whatever goes wrong while one record, one node, one subscriber or one child process is handled ends
nothing but that: it is counted by place and told in the log, and the others go on. The first of a
place is logged with its traceback; further ones are summed up, so that a mistake that every event
runs into does not fill a disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

PERIOD_SECONDS = 60.0
"""How long failures at a place are only counted after one of them was logged with a traceback."""


class InternalErrors:
    """Counts failures by ``place``, the name of what was being handled when they came.

    ``counts`` is the number at each place; places are names in the code, so they are few.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._told: dict[str, int] = {}
        self._last: dict[str, float] = {}

    def kept_at(self, place: str) -> AbstractContextManager[None, bool]:
        """Let no exception of the block out: it is counted and logged as one at ``place``."""
        return _Kept(self, place)

    def note(self, place: str, failure: Failure) -> None:
        """Count ``failure`` at ``place``, and log it unless one of there was logged lately."""
        self._count(place, 1)
        if place not in self._told:
            self._told[place] = self.counts[place]
            self._log.failure(
                "a mistake of the server's own ({place}); all else goes on", failure, place=place
            )
            self._clock.callLater(PERIOD_SECONDS, self._sum_up, place)

    @property
    def lately(self) -> list[str]:
        """The places of the mistakes of the last :data:`PERIOD_SECONDS`."""
        begin = self._clock.seconds() - PERIOD_SECONDS
        return sorted(place for place, last in self._last.items() if last > begin)

    def add(self, counts: Mapping[str, int], before: Mapping[str, int]) -> None:
        """Add what another process has counted and logged itself: ``counts``, all in all.

        :param before: what ``counts`` was when it was added the last time.
        """
        for place, count in counts.items():
            more = count - before.get(place, 0)
            if more > 0:
                self._count(place, more)

    def _count(self, place: str, more: int) -> None:
        self.counts[place] += more
        self._last[place] = self._clock.seconds()

    def _sum_up(self, place: str) -> None:
        more = self.counts[place] - self._told.pop(place)
        if more > 0:
            self._log.error(
                "{more} more mistakes of the server's own within {period:.0f} s ({place})",
                more=more,
                period=PERIOD_SECONDS,
                place=place,
            )


class _Kept:
    """See :meth:`InternalErrors.kept_at`. Each turn is in one, so it is no generator."""

    __slots__ = ("_errors", "_place")

    def __init__(self, errors: InternalErrors, place: str) -> None:
        self._errors = errors
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._errors.note(self._place, Failure(error, kind, traceback))
        return True
