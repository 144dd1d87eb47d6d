"""What was counted in the last minutes, of each of many."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from telemetry_twisted.turns import pieces

PIECE_SECONDS, PIECES = 30, 4
"""The time that is looked back on, in pieces, beside the one that goes on: two minutes."""

MOST_COUNTED = 20_000
"""Of how many it is counted; what others do is not looked at."""

K = TypeVar("K", bound=Hashable)


class Lately(Generic[K]):
    """Adds up some counts of each of many, as of the last minutes.

    What is added goes to its piece of time and to the totals, from which a piece is taken again
    when it is too old.

    :param counts: how many are counted of each.
    """

    def __init__(self, counts: int) -> None:
        self._none = [0] * counts
        self._pieces: dict[int, dict[K, list[int]]] = {}
        self._totals: dict[K, list[int]] = {}

    @property
    def totals(self) -> Mapping[K, Sequence[int]]:
        """The counts of each of which there are any, as of when they were settled."""
        return self._totals

    def add(self, key: K, counts: Sequence[int], now: float) -> None:
        """Count ``counts`` of ``key``, which were ``now`` (seconds)."""
        if not any(counts) or (key not in self._totals and len(self._totals) >= MOST_COUNTED):
            return
        piece = self._pieces.setdefault(int(now) // PIECE_SECONDS, {})
        for sums in (piece, self._totals):
            _add(sums.setdefault(key, [*self._none]), counts, 1)

    def settle(self, now: float) -> Iterator[None]:
        """Forget what is too old, or of a clock that was set back since, in steps."""
        newest = int(now) // PIECE_SECONDS
        for number in [n for n in self._pieces if not newest - PIECES <= n <= newest]:
            piece = self._pieces.pop(number)
            for some in pieces(piece.items()):
                for key, counts in some:
                    total = self._totals[key]
                    _add(total, counts, -1)
                    if not any(total):
                        del self._totals[key]
                yield


def _add(total: list[int], counts: Sequence[int], times: int) -> None:
    for index, count in enumerate(counts):
        total[index] += times * count
