"""Which nodes of a network are slower than others, and which fail those that ask them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median_low
from typing import Any, NamedTuple

PIECE_SECONDS, PIECES = 60, 3
"""The time that is looked back on, in pieces, beside the one that goes on."""

MOST_NODES = 20_000
"""Nodes that are told apart in a piece; what others do is not looked at."""

SERVING = frozenset((64, 121, 141, 149, 163, 174, 194))
"""The roots of what nodes do for others who ask them for something (JIP-3)."""

LEAST_NODES, LEAST_TIMES = 4, 3
"""How many nodes make a median, and how often at least a node has done what it is judged by."""

MANY_TIMES, LEAST_SHARE = 2.0, 0.3
"""A node is slow that takes so many times the median; it fails others where it fails so many."""

MOST_TOLD = 8
"""Nodes that are told, the worst first."""


class Work(NamedTuple):
    """What a node did: how often it ``served`` others and ``failed`` to, how often it ``refined`` a
    work package, and how long that took in all, in microseconds."""

    served: int = 0
    failed: int = 0
    refined: int = 0
    refining: int = 0


class NodesLately:
    """What each node did lately, by its ID and network."""

    def __init__(self) -> None:
        self._pieces: dict[int, dict[tuple[str, str], Work]] = {}

    def add(self, node: tuple[str, str], work: Work, now: float) -> None:
        """A node did some work, ``now`` (seconds)."""
        if not any(work):
            return
        number = int(now) // PIECE_SECONDS
        piece = self._pieces.get(number)
        if piece is None:
            oldest = number - PIECES
            kept = {n: each for n, each in self._pieces.items() if oldest <= n < number}
            piece = kept[number] = {}
            self._pieces = kept
        before = piece.get(node)
        if before is not None or len(piece) < MOST_NODES:
            piece[node] = Work(*map(sum, zip(before or Work(), work, strict=True)))

    def of(self, made: Mapping[str, Any]) -> dict[str, dict[str, Work]]:
        """What nodes did lately, by network."""
        found: dict[str, dict[str, Work]] = {network: {} for network in made}
        for piece in self._pieces.values():
            for (node, network), work in piece.items():
                if network in found:
                    before = found[network].get(node, Work())
                    found[network][node] = Work(*map(sum, zip(before, work, strict=True)))
        return found


def told_outliers(lately: NodesLately, made: Mapping[str, dict[str, Any]]) -> Iterator[None]:
    """Add to what is ``made`` of each network its ``slow_guarantors``, which take long to refine
    work packages, and its ``failing_servers``, in steps."""
    for network, nodes in lately.of(made).items():
        yield
        made[network]["slow_guarantors"] = _slow(nodes)
        made[network]["failing_servers"] = _failing(nodes)


def _slow(nodes: Mapping[str, Work]) -> list[dict[str, Any]]:
    means = {
        node: work.refining / work.refined / 1000
        for node, work in nodes.items()
        if work.refined >= LEAST_TIMES
    }
    if len(means) < LEAST_NODES:
        return []
    usual = median_low(means.values())
    slow = sorted((-mean, node) for node, mean in means.items() if mean > MANY_TIMES * usual)
    return [
        {"node_id": node, "refine_ms": round(-mean, 1), "median_ms": round(usual, 1)}
        for mean, node in slow[:MOST_TOLD]
    ]


def _failing(nodes: Mapping[str, Work]) -> list[dict[str, Any]]:
    shares = {
        node: work.failed / (work.served + work.failed)
        for node, work in nodes.items()
        if work.served + work.failed >= LEAST_TIMES
    }
    worst = sorted((-share, node) for node, share in shares.items() if share > LEAST_SHARE)
    return [
        {"node_id": node, "failed": nodes[node].failed, "served": nodes[node].served}
        for _, node in worst[:MOST_TOLD]
    ]
