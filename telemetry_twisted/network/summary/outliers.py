"""Which nodes of a network are worse than others at what all of them do."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import median_low
from typing import Any, NamedTuple

from telemetry_twisted.turns import pieces

from .lately import Lately

SERVING = frozenset((64, 121, 141, 149, 163, 174, 194))
"""The roots of what nodes do for others who ask them for something (JIP-3)."""

LEAST_NODES, LEAST_TIMES = 4, 3
"""How many nodes make a median, and how often at least a node has done what it is judged by."""

DOUBT = 10
"""A node is judged as if it had done so much more, and that as well as others do it: what it did a
few times only says little of it, and of many nodes one is always the worst."""

MANY_TIMES, LEAST_SHARE = 2.0, 0.3
"""A node is slow that takes so many times the median; it fails others where it fails so many of
their requests, and so many times as many as the median."""

LEAST_FAULTS, MANY_FAULTS = 10, 4.0
"""A node has a broken encoder that gets so many messages wrong, and so many times the median."""

MOST_TOLD = 8
"""Nodes that are told of each kind, the worst first."""


class Work(NamedTuple):
    """What a node did: how often it ``served`` others and ``failed`` to, how often it ``refined`` a
    work package, and how long that took in all, in microseconds."""

    served: int = 0
    failed: int = 0
    refined: int = 0
    refining: int = 0


class NodesLately:
    """What each node did lately, by its ID and network, and by its ID what it got wrong."""

    def __init__(self) -> None:
        self.work: Lately[tuple[str, str]] = Lately(len(Work._fields))
        self.faults: Lately[str] = Lately(1)

    def add(self, node: tuple[str, str], work: Work, now: float) -> None:
        """A node did some work, ``now`` (seconds)."""
        self.work.add(node, work, now)

    def add_faults(self, node: str, faults: int, now: float) -> None:
        """A node sent so many messages that are wrong, wholly or in part, ``now`` (seconds)."""
        self.faults.add(node, (faults,), now)

    def settle(self, now: float) -> Iterator[None]:
        """Forget what is too old, in steps."""
        yield from self.work.settle(now)
        yield from self.faults.settle(now)


def told_outliers(
    lately: NodesLately, nodes: Mapping[str, str], made: Mapping[str, dict[str, Any]]
) -> Iterator[None]:
    """Add to what is ``made`` of each network its ``slow_guarantors``, which take long to refine
    work packages, its ``failing_servers`` and its ``broken_encoders``, in steps.

    :param nodes: the network of each node that is connected.
    """
    did: dict[str, dict[str, Work]] = {network: {} for network in made}
    wrong: dict[str, dict[str, int]] = {network: {} for network in made}
    work, faults = lately.work.totals, lately.faults.totals
    for piece in pieces(nodes.items()):
        for node, network in piece:
            if network in made:
                if (counts := work.get((node, network))) is not None:
                    did[network][node] = Work(*counts)
                wrong[network][node] = faults[node][0] if node in faults else 0
        yield
    for network, summary in made.items():
        summary["slow_guarantors"] = _slow(did[network])
        yield
        summary["failing_servers"] = _failing(did[network])
        yield
        summary["broken_encoders"] = _broken(wrong[network])
        yield


def _slow(nodes: Mapping[str, Work]) -> list[dict[str, Any]]:
    at_work = {node: work for node, work in nodes.items() if work.refined >= LEAST_TIMES}
    usual = _median([work.refining / work.refined for work in at_work.values()])
    if not usual:
        return []
    slow = [
        (work.refining / work.refined, node)
        for node, work in at_work.items()
        if work.refining + DOUBT * usual > MANY_TIMES * usual * (work.refined + DOUBT)
    ]
    return [
        {
            "node_id": node,
            "refine_ms": round(mean / 1000, 1),
            "median_ms": round(usual / 1000, 1),
        }
        for mean, node in _worst(slow)
    ]


def _failing(nodes: Mapping[str, Work]) -> list[dict[str, Any]]:
    asked = {node: work for node, work in nodes.items() if work.served + work.failed >= LEAST_TIMES}
    shares = {node: work.failed / (work.served + work.failed) for node, work in asked.items()}
    usual = _median(shares.values())
    least = max(LEAST_SHARE, MANY_TIMES * usual)
    failing = [
        (shares[node], node)
        for node, work in asked.items()
        if work.failed + DOUBT * usual > least * (work.served + work.failed + DOUBT)
    ]
    return [
        {"node_id": node, "failed": nodes[node].failed, "served": nodes[node].served}
        for _, node in _worst(failing)
    ]


def _broken(faults: Mapping[str, int]) -> list[dict[str, Any]]:
    least = max(LEAST_FAULTS, MANY_FAULTS * _median(faults.values()))
    broken = [(float(times), node) for node, times in faults.items() if times >= least]
    return [{"node_id": node, "faults": faults[node]} for _, node in _worst(broken)]


def _median(figures: Collection[float]) -> float:
    """What is usual; 0 where there are too few to tell."""
    return median_low(figures) if len(figures) >= LEAST_NODES else 0.0


def _worst(nodes: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    return sorted(nodes, key=lambda each: (-each[0], each[1]))[:MOST_TOLD]
