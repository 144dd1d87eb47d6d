"""What lists of all nodes, cores or services tell: their sums, the other way round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from telemetry_twisted.jip3.observed import LEAVES, Phase
from telemetry_twisted.store.tallies import COUNT, NUMBERS_FROM, Tally, cost_key

from .counts import Addable, Buckets, Place
from .sum_values import CoreSums, NodeSums, ServiceSums

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Addable)
T = TypeVar("T")

Told = tuple[str, int]
"""What is told of a network: its genesis hash, and the number of a latency, type or phase."""

COSTS = ("total.gas_used", "total.elapsed_ns", "load_ns")
"""The fields of a cost that are listed, after how many there were."""


@frozen
class LatencyOfNodes:
    """How often each node saw a latency, and the sum of it in microseconds, by their node IDs."""

    counts: dict[str, int] = field(factory=dict)
    totals: dict[str, int] = field(factory=dict)


CostOfServices = tuple[Tally, Tally, Tally, Tally]
"""What each service cost in a phase: how often, and each of :data:`COSTS`."""


class Listed(Generic[K, V, T]):
    """A :class:`~.changes.Source` that keeps nothing of its own: what it tells of a bucket is made
    of all that ``buckets`` hold of it, by ``turn``, whenever something of it is not written."""

    def __init__(
        self, buckets: Buckets[K, V], turn: Callable[[Mapping[K, V]], Mapping[Told, T]]
    ) -> None:
        self._buckets = buckets
        self._turn = turn

    def take(self) -> list[tuple[Place, Told, T]]:
        """The place of each bucket, and what is told of it."""
        return [
            (place, told, value)
            for place in sorted(self._buckets.waiting())
            for told, value in self._turn(self._buckets.values_at(place)).items()
        ]

    def written(self, taken: list[Any], /) -> None:
        """See :class:`~.changes.Source`."""

    def put_back(self, taken: list[Any], /) -> None:
        """See :class:`~.changes.Source`."""

    def settle(self, now: float) -> None:
        """See :class:`~.changes.Source`."""


def latencies_by_node(
    nodes: Mapping[tuple[str, str], NodeSums],
) -> Mapping[Told, LatencyOfNodes]:
    """How long each latency took the nodes."""
    found: defaultdict[Told, LatencyOfNodes] = defaultdict(LatencyOfNodes)
    for (node_id, genesis), sums in nodes.items():
        for key, number in sums.totals.items():
            if key < NUMBERS_FROM:
                found[genesis, key].totals[node_id] = number
            else:
                found[genesis, key - NUMBERS_FROM].counts[node_id] = number
    return found


def events_by_core(cores: Mapping[tuple[str, int], CoreSums]) -> Mapping[Told, Tally]:
    """How many events of each type belong to the cores."""
    found: defaultdict[Told, Tally] = defaultdict(dict)
    for (genesis, core), sums in cores.items():
        for kind, count in sums.events.items():
            found[genesis, kind][core] = count
    return found


_FIELDS = {
    phase: (cost_key(phase, COUNT), *(cost_key(phase, LEAVES[phase].index(n) + 1) for n in COSTS))
    for phase in Phase
}


def costs_by_service(
    services: Mapping[tuple[str, int], ServiceSums],
) -> Mapping[Told, CostOfServices]:
    """What each phase cost the services."""
    found: defaultdict[Told, CostOfServices] = defaultdict(lambda: ({}, {}, {}, {}))
    for (genesis, service), sums in services.items():
        for phase, keys in _FIELDS.items():
            if keys[0] in sums.costs:
                for tally, key in zip(found[genesis, phase], keys, strict=True):
                    tally[service] = sums.costs.get(key, 0)
    return found
