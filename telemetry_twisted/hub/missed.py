"""The nodes that are gone, as far as they are missed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import heapify, heappush, heappushpop

from telemetry_twisted.turns import pieces

MISSED_SECONDS = 24 * 3600.0
"""After so long a node that is gone is no longer missed."""

MOST_MISSED = 1024
"""Nodes that are missed at once, at most. Anyone can invent node IDs, and have them come and go."""


class MissedNodes:
    """Knows which nodes have left, and when.

    Of more than :data:`MOST_MISSED`, those are kept that were there longest: a node that has been
    part of the network for days is missed before one that came for a moment. What is remembered
    beside them is of the nodes that are connected.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._left: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._left)

    def look(self, present: Collection[str], now: float) -> Iterator[None]:
        """Note which nodes are there at ``now``, in seconds by the clock of durations, in steps."""
        for piece in pieces(present):
            for node_id in piece:
                self._since.setdefault(node_id, now)
                self._left.pop(node_id, None)
            yield
        for node_id, left in list(self._left.items()):
            if now - left > MISSED_SECONDS:
                self._forget(node_id)
        leaving: list[str] = []
        for piece in pieces(list(self._since)):
            leaving += [each for each in piece if each not in present and each not in self._left]
            yield
        longest = [(self._stay(node_id), node_id) for node_id in self._left]
        heapify(longest)
        for piece in pieces(leaving):
            for node_id in piece:
                self._left[node_id] = now
                stay = self._stay(node_id), node_id
                if len(longest) < MOST_MISSED:
                    heappush(longest, stay)
                else:
                    self._forget(heappushpop(longest, stay)[1])
            yield

    def _stay(self, node_id: str) -> float:
        return self._left[node_id] - self._since[node_id]

    def _forget(self, node_id: str) -> None:
        del self._left[node_id], self._since[node_id]

    def gone(self, now: float) -> Iterator[tuple[str, float]]:
        """Each node that is missed, and for how many seconds it has been gone."""
        return ((node_id, now - left) for node_id, left in self._left.items())
