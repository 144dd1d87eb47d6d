"""Failures by type and reason."""

from __future__ import annotations

from collections.abc import Mapping

from telemetry_twisted.store.schema.tables import FAILURES

from .counts import Buckets, Sum
from .reasons import OTHER_REASONS, ReasonPlace
from .text import clean

MINUTE = 60
"""In seconds; the narrowest bucket."""

MOST_REASONS = 1000
"""Pairs of type and reason that a bucket tells apart; the rest count as :data:`OTHER_REASONS`."""

LONGEST_REASON = 128
"""Characters of a reason that are kept; a longer one breaks JIP-3 (``String<128>``)."""


def _bounded(reason: str) -> str:
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…"


class Failures:
    """Counts failures in buckets of every width, ``by_width``.

    Nearly all are said in the same few ways, which are made text of when they are folded in, with
    :meth:`fold`.
    """

    def __init__(self) -> None:
        self.by_width: dict[int, Buckets[tuple[int, str], Sum]] = {
            width: Buckets(width, Sum, MOST_REASONS, lambda key: (key[0], OTHER_REASONS))
            for width in FAILURES
        }
        self._minute = 0
        self._end = 0
        self._fresh: dict[tuple[ReasonPlace, bytes], int] = {}

    def take(self, place: ReasonPlace, content: bytes, seconds: int) -> bool:
        """Count the failure in a message's ``content`` at ``seconds`` of Unix time.

        :param place: where the reason is in messages of its type.
        :returns: whether that is so, or else nothing is counted.
        """
        said = place.read(content)
        if said is None:
            return False
        if seconds >= self._end or seconds < self._minute or len(self._fresh) >= MOST_REASONS:
            self.fold()
            self._minute = seconds - seconds % MINUTE
            self._end = self._minute + MINUTE
        key = place, said
        self._fresh[key] = self._fresh.get(key, 0) + 1
        return True

    def add(self, seconds: int, kind: int, reason: str, count: int) -> None:
        """Count so many failures at ``seconds`` of Unix time."""
        key = kind, clean(_bounded(reason))
        for buckets in self.by_width.values():
            buckets.add(seconds, key, Sum(count))

    def add_others(self, seconds: int, by_type: Mapping[str, int]) -> None:
        """Count failures whose reasons nobody has read, by type."""
        for kind, count in by_type.items():
            self.add(seconds, int(kind), OTHER_REASONS, count)

    def fold(self) -> None:
        """Add what came since the last time to ``by_width``."""
        for (place, said), count in self._fresh.items():
            self.add(self._minute, place.kind, place.text(said), count)
        self._fresh.clear()
