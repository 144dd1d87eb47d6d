"""What was counted in the last minutes, by network."""

from __future__ import annotations

from collections import Counter
from typing import Generic, TypeVar

PIECE = 30_000_000
"""The width of a piece of the time that is looked back on, in microseconds."""

PIECES = 10
"""How many pieces are looked back on, beside the one that goes on: five minutes."""

MOST_NETWORKS = 64
"""Networks that are counted in a piece; those that come later are not."""

K = TypeVar("K")


class Recent(Generic[K]):
    """Counts of a few kinds of things, ``K``, of which there are no more than a table has."""

    def __init__(self) -> None:
        self._pieces: dict[int, dict[str, Counter[K]]] = {}
        self._first: int | None = None

    def add(self, network: str, what: K, times: int, now: int) -> None:
        """``what`` has happened ``times`` in a network, ``now`` (microseconds of Unix time)."""
        if self._first is None:
            self._first = now
        piece = self._pieces.setdefault(now // PIECE, {})
        counts = piece.get(network)
        if counts is None:
            if len(piece) == MOST_NETWORKS:
                return
            counts = piece[network] = Counter()
        counts[what] += times

    def of(self, network: str) -> Counter[K]:
        """How often each has happened in a network lately."""
        total: Counter[K] = Counter()
        for piece in self._pieces.values():
            total.update(piece.get(network, ()))
        return total

    def seconds(self, now: int) -> float:
        """How long it has been counted for what there is ``now``."""
        if self._first is None or not self._pieces:
            return 0.0
        return max(now - max(self._first, min(self._pieces) * PIECE), 0) / 1_000_000

    def settle(self, now: int) -> None:
        """Forget what is too old, or of a clock that was set back since."""
        newest = now // PIECE
        for number in [n for n in self._pieces if not newest - PIECES <= n <= newest]:
            del self._pieces[number]
