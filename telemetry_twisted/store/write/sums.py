"""Takes what was observed of chains of events, and adds it up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import define, field

from telemetry_twisted.jip3.observations import CoreRow, LatencyRow, Observations, OutcomeRow
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
    BIN_BITS,
    COUNT,
    NUMBERS_FROM,
    OUTCOME_BITS,
    Tally,
    add,
    cost_key,
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
    """What came within the narrowest bucket since it was added up last; what is of nodes and cores
    is of their networks as well, to which it is added then."""

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
        bucket = seconds - seconds % narrowest
        fresh = self._fresh.get(bucket)
        if fresh is None:
            fresh = self._fresh[bucket] = _Fresh()
        places = _Places(fresh, origin_at)
        lost = _take_outcomes(observations.outcomes, places)
        lost += _take_latencies(observations.latencies, places)
        lost += _take_cores(observations.cores, places)
        _take_costs(observations, fresh)
        for handle, least, greatest in observations.clocks:
            if (place := places[handle]) is not None:
                place.node.bound(least, greatest)
        for handle, what, count in observations.withheld:
            if (place := places[handle]) is None:
                lost += count
            else:
                _count(place.node.withheld, what, count)
        if lost:
            self._lost["observations"] += lost

    def fold(self) -> None:
        """Add what came since the last time to the buckets."""
        for seconds, fresh in self._fresh.items():
            for node, of_node in fresh.nodes.items():
                self._added_up(node, of_node, seconds)
                self.nodes.add(seconds, node, of_node)
                fresh.networks[node[1]].add_node(of_node)
            for (genesis, core), of_core in fresh.cores.items():
                add(fresh.networks[genesis].events, of_core.events)
                self.cores.add(seconds, (genesis, core), of_core)
            for service, of_service in fresh.services.items():
                self.services.add(seconds, service, of_service)
            for genesis, of_network in fresh.networks.items():
                for buckets in self.networks.values():
                    buckets.add(seconds, genesis, of_network)
        self._fresh.clear()


@define
class _Place:
    """Where what is observed of a node is added, and what of it belongs to a core."""

    node_id: str
    node: NodeSums
    latencies: Tally
    totals: Tally
    cores: _Cores


class _Cores(dict[int, CoreSums]):
    """Where what belongs to the cores of a network is added, by their numbers."""

    def __init__(self, genesis: str, fresh: _Fresh) -> None:
        self._genesis = genesis
        self._fresh = fresh

    def __missing__(self, number: int) -> CoreSums:
        sums = self[number] = self._fresh.cores[self._genesis, number]
        return sums


class _Places(dict[int, _Place | None]):
    """Where what comes under each handle is added, None if nobody knows whose it is."""

    def __init__(self, fresh: _Fresh, origin_at: OriginAt) -> None:
        self._fresh = fresh
        self._origin_at = origin_at
        self._cores: dict[str, _Cores] = {}

    def __missing__(self, handle: int) -> _Place | None:
        origin = self._origin_at(handle)
        place = self[handle] = None if origin is None else self._place(origin)
        return place

    def _place(self, origin: Origin) -> _Place:
        genesis = origin.genesis
        node = self._fresh.nodes[origin.node_id, genesis]
        cores = self._cores.get(genesis)
        if cores is None:
            cores = self._cores[genesis] = _Cores(genesis, self._fresh)
        return _Place(origin.node_id, node, node.latencies, node.totals, cores)


# Of each of these there are tens of thousands of rows in a second, so that calls in them would
# take as long as what they are for. They return of how many it is unknown whose they are.


def _take_outcomes(rows: Iterable[OutcomeRow], places: _Places) -> int:
    lost = 0
    for handle, root, outcome, core, count in rows:
        place = places[handle]
        if place is None:
            lost += count
            continue
        key = root << OUTCOME_BITS | outcome
        tally = place.node.outcomes
        tally[key] = tally.get(key, 0) + count
        if core != NO_CORE:
            tally = place.cores[core].outcomes
            tally[key] = tally.get(key, 0) + count
    return lost


def _take_latencies(rows: Iterable[LatencyRow], places: _Places) -> int:
    lost = 0
    for handle, latency, core, number, count, microseconds in rows:
        place = places[handle]
        if place is None:
            lost += count
            continue
        key = latency << BIN_BITS | number
        seen = latency | NUMBERS_FROM
        tally, totals = place.latencies, place.totals
        tally[key] = tally.get(key, 0) + count
        totals[latency] = totals.get(latency, 0) + microseconds
        totals[seen] = totals.get(seen, 0) + count
        if core != NO_CORE:
            of_core = place.cores[core]
            tally, totals = of_core.latencies, of_core.totals
            tally[key] = tally.get(key, 0) + count
            totals[latency] = totals.get(latency, 0) + microseconds
            totals[seen] = totals.get(seen, 0) + count
    return lost


def _take_cores(rows: Iterable[CoreRow], places: _Places) -> int:
    lost = 0
    for handle, kind, core, count in rows:
        place = places[handle]
        if place is None:
            lost += count
            continue
        of_core = place.cores[core]
        tally = of_core.events
        tally[kind] = tally.get(kind, 0) + count
        if kind == GUARANTEE_BUILT:
            of_core.guarantees(place.node_id, count)
    return lost


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
