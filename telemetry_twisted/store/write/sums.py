"""Takes what was observed of chains of events, and adds it up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from attrs import define, field

from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import NO_CORE
from telemetry_twisted.store.schema.sum_tables import (
    MINUTE,
    NETWORK_SUMS,
    OF_CORES,
    OF_EVENTS,
    OF_LATENCIES,
    OF_NODES,
    OF_PHASES,
    OF_SERVICES,
)
from telemetry_twisted.store.tallies import (
    COUNT,
    Tally,
    cost_key,
    latency_key,
    number_key,
    outcome_key,
)

from .counts import Buckets, Place
from .facts import Origin
from .sum_values import CoreSums, NetworkSums, NodeSums, ServiceSums

GUARANTEE_BUILT = 105
"""The type of the events that tell who guarantees for a core (JIP-3)."""

MOST_NETWORKS = 100
"""Networks that a bucket tells apart; what is observed in others is lost, and counted so."""

MOST_CORES = 4000
"""Cores that a bucket tells apart, of all networks: one has 341. What is observed of others counts
for the network alone."""

MOST_SERVICES = 4000
"""Services that a bucket tells apart, of all networks; the rest are :data:`OTHER_SERVICES`."""

OTHER_SERVICES = 2**32 - 1
"""Stands for services that are not told apart, as in BlockExecuted (JIP-3, event 47)."""

NodeIn = tuple[str, str]
"""A node in a network: its ID, and the genesis hash."""

PartOf = tuple[str, int]
"""A core or a service: the genesis hash of its network, and its number."""

OriginAt = Callable[[int], Origin | None]
"""Tells whose messages come under a handle."""


AddedUp = Callable[[NodeIn, NodeSums, int], object]
"""Takes what was observed of a node in a bucket that began at so many seconds."""


def _nobody(node: NodeIn, sums: NodeSums, seconds: int) -> None:
    """Who is told where nobody wants to know."""


@define
class _Fresh:
    """What came within the narrowest bucket since it was added up last."""

    networks: defaultdict[str, NetworkSums] = field(factory=lambda: defaultdict(NetworkSums))
    nodes: defaultdict[NodeIn, NodeSums] = field(factory=lambda: defaultdict(NodeSums))
    cores: defaultdict[PartOf, CoreSums] = field(factory=lambda: defaultdict(CoreSums))
    services: defaultdict[PartOf, ServiceSums] = field(factory=lambda: defaultdict(ServiceSums))


class Sums:
    """What was observed, in buckets: ``networks`` in those of every width, ``nodes``, ``cores`` and
    ``services`` by the minute.

    It comes every second, and is added up once before it is, with :meth:`fold`, to the buckets.

    :param lost: where is counted what cannot be told, be it that nobody knows whose it is or that
        there are too many.
    :param added_up: is told what was observed of a node within so many seconds, each once.
    """

    def __init__(self, lost: Counter[str], added_up: AddedUp = _nobody) -> None:
        self._lost = lost
        self._added_up = added_up
        self.networks: dict[int, Buckets[str, NetworkSums]] = {
            width: Buckets(
                width, NetworkSums, MOST_NETWORKS, lost=partial(self._lose, f"network_{width}s")
            )
            for width in NETWORK_SUMS
        }
        self.nodes: Buckets[NodeIn, NodeSums] = Buckets(
            MINUTE, NodeSums, lost=partial(self._lose, "node")
        )
        self.cores: Buckets[PartOf, CoreSums] = Buckets(
            MINUTE, CoreSums, MOST_CORES, lost=partial(self._lose, "core")
        )
        self.services: Buckets[PartOf, ServiceSums] = Buckets(
            MINUTE, ServiceSums, MOST_SERVICES, lambda key: (key[0], OTHER_SERVICES)
        )
        self.by_kind: Mapping[int, Buckets[Any, Any]] = {
            OF_NODES.number: self.nodes,
            OF_CORES.number: self.cores,
            OF_SERVICES.number: self.services,
            OF_LATENCIES.number: self.nodes,
            OF_EVENTS.number: self.cores,
            OF_PHASES.number: self.services,
        }
        self._fresh: dict[int, _Fresh] = {}

    def _lose(self, what: str, sums: NetworkSums | NodeSums | CoreSums) -> None:
        number = sum(sums.outcomes.values()) + sum(sums.latencies.values())
        self._lost[f"{what}_observations"] += number

    def take(self, observations: Observations, origin_at: OriginAt) -> None:
        """Take what was observed.

        :param origin_at: whose handle it was when that came.
        """
        seconds = observations.ended // 1_000_000
        narrowest = min(NETWORK_SUMS)
        fresh = self._fresh.setdefault(seconds - seconds % narrowest, _Fresh())
        places = _Places(fresh, origin_at)
        self._take_outcomes(observations, places)
        self._take_latencies(observations, places)
        self._take_cores(observations, places)
        _take_costs(observations, fresh)
        for handle, least, greatest in observations.clocks:
            if (place := places.of(handle)) is not None:
                place.node.bound(least, greatest)
        for handle, what, count in observations.withheld:
            if (place := places.of(handle)) is None:
                self._lost["observations"] += count
                continue
            _count(place.node.withheld, what, count)

    def _take_outcomes(self, observations: Observations, places: _Places) -> None:
        for handle, root, outcome, core, count in observations.outcomes:
            place = places.of(handle)
            if place is None:
                self._lost["observations"] += count
                continue
            key = outcome_key(root, outcome)
            _count(place.node.outcomes, key, count)
            if core != NO_CORE:
                _count(place.core(core).outcomes, key, count)

    def _take_latencies(self, observations: Observations, places: _Places) -> None:
        of = places.of
        for handle, latency, core, number, count, microseconds in observations.latencies:
            place = of(handle)
            if place is None:
                self._lost["observations"] += count
                continue
            key = latency_key(latency, number)
            tally, totals = place.latencies, place.totals
            tally[key] = tally.get(key, 0) + count
            totals[latency] = totals.get(latency, 0) + microseconds
            seen = number_key(latency)
            totals[seen] = totals.get(seen, 0) + count
            if core != NO_CORE:
                of_core = place.core(core)
                _count(of_core.latencies, key, count)
                _count(of_core.totals, latency, microseconds)
                _count(of_core.totals, seen, count)

    def _take_cores(self, observations: Observations, places: _Places) -> None:
        for handle, kind, core, count in observations.cores:
            place = places.of(handle)
            if place is None:
                self._lost["observations"] += count
                continue
            _count(place.network.events, kind, count)
            of_core = place.core(core)
            _count(of_core.events, kind, count)
            if kind == GUARANTEE_BUILT:
                of_core.guarantees(place.node_id, count)

    def fold(self) -> None:
        """Add what came since the last time to the buckets."""
        for seconds, fresh in self._fresh.items():
            for node, of_node in fresh.nodes.items():
                self._added_up(node, of_node, seconds)
                self.nodes.add(seconds, node, of_node)
                network = fresh.networks[node[1]]
                network.update(
                    NetworkSums(
                        outcomes=of_node.outcomes,
                        withheld=of_node.withheld,
                        totals=of_node.totals,
                        latencies=of_node.latencies,
                    )
                )
            for genesis, of_network in fresh.networks.items():
                for buckets in self.networks.values():
                    buckets.add(seconds, genesis, of_network)
            for core, of_core in fresh.cores.items():
                self.cores.add(seconds, core, of_core)
            for service, of_service in fresh.services.items():
                self.services.add(seconds, service, of_service)
        self._fresh.clear()


@define
class _NodePlace:
    """Where what is observed of a node is added."""

    node_id: str
    genesis: str
    fresh: _Fresh
    node: NodeSums
    network: NetworkSums
    latencies: Tally
    totals: Tally

    def core(self, number: int) -> CoreSums:
        """Where what belongs to a core of its network is added."""
        return self.fresh.cores[self.genesis, number]


class _Places:
    """Where what comes under each handle is added."""

    def __init__(self, fresh: _Fresh, origin_at: OriginAt) -> None:
        self._fresh = fresh
        self._origin_at = origin_at
        self._places: dict[int, _NodePlace | None] = {}

    def of(self, handle: int) -> _NodePlace | None:
        """Where what comes under a handle is added, None if nobody knows whose it is."""
        if handle in self._places:
            return self._places[handle]
        origin = self._origin_at(handle)
        place = None if origin is None else self._place(origin)
        self._places[handle] = place
        return place

    def _place(self, origin: Origin) -> _NodePlace:
        node = self._fresh.nodes[origin.node_id, origin.genesis]
        network = self._fresh.networks[origin.genesis]
        return _NodePlace(
            origin.node_id,
            origin.genesis,
            self._fresh,
            node,
            network,
            node.latencies,
            node.totals,
        )


def _take_costs(observations: Observations, fresh: _Fresh) -> None:
    hashes = [f"0x{genesis.hex()}" for genesis in observations.networks]
    for network, phase, service, core, count, sums in observations.costs:
        genesis = hashes[network]
        costs = [fresh.services[genesis, service].costs]
        if core != NO_CORE:
            costs.append(fresh.cores[genesis, core].costs)
        for tally in costs:
            _count(tally, cost_key(phase, COUNT), count)
            for index, value in enumerate(sums, 1):
                if value:
                    _count(tally, cost_key(phase, index), value)


def _count(tally: Tally, key: int, number: int) -> None:
    tally[key] = tally.get(key, 0) + number


class OpenBuckets:
    """The buckets that are about to be written, and so are open in the database.

    It is a :class:`~.changes.Source` of ``(kind, place)``, which it knows from the buckets.

    :param by_kind: those that each kind is made of, by its number.
    """

    def __init__(self, by_kind: Mapping[int, Buckets[Any, Any]]) -> None:
        self._by_kind = by_kind

    def take(self) -> list[tuple[int, Place]]:
        """The kind and the place of each bucket of which something is not written."""
        return [
            (kind, place)
            for kind, buckets in self._by_kind.items()
            for place in sorted(buckets.waiting())
        ]

    def written(self, taken: list[Any], /) -> None:
        """See :class:`~.changes.Source`."""

    def put_back(self, taken: list[Any], /) -> None:
        """See :class:`~.changes.Source`."""

    def settle(self, now: float) -> None:
        """See :class:`~.changes.Source`."""
