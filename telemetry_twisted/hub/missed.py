"""The nodes that are gone, as far as they are missed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest

MISSED_SECONDS = 24 * 3600.0
"""After so long a node that is gone is no longer missed."""

MOST_MISSED = 1024
"""Nodes that are missed at once, at most. Anyone can invent node IDs, and have them come and go."""


class MissedNodes:
    """Knows which nodes have left, and when.

    Of more than :data:`MOST_MISSED`, those are kept that were there longest: a node that has been
    part of the network for days is missed before one that came for a moment.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._left: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._left)

    def look(self, present: Iterable[str], now: float) -> None:
        """Note which nodes are there at ``now``, in seconds by the clock of durations."""
        here = set(present)
        for node_id in self._since.keys() - here - self._left.keys():
            self._left[node_id] = now
        for node_id in here & self._left.keys():
            del self._left[node_id]
        for node_id in here - self._since.keys():
            self._since[node_id] = now
        for node_id, left in list(self._left.items()):
            if now - left > MISSED_SECONDS:
                self._forget(node_id)
        if len(self._left) > MOST_MISSED:
            kept = set(nlargest(MOST_MISSED, self._left, key=self._stay))
            for node_id in self._left.keys() - kept:
                self._forget(node_id)

    def _stay(self, node_id: str) -> float:
        return self._left[node_id] - self._since[node_id]

    def _forget(self, node_id: str) -> None:
        del self._left[node_id], self._since[node_id]

    def gone(self, now: float) -> Iterator[tuple[str, float]]:
        """Each node that is missed, and for how many seconds it has been gone."""
        return ((node_id, now - left) for node_id, left in self._left.items())
