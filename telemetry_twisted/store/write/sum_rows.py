"""How sums of observations become rows of their tables; see :mod:`.rows`."""

from __future__ import annotations

from telemetry_twisted.store.schema.sum_tables import MINUTE
from telemetry_twisted.store.schema.table import Row
from telemetry_twisted.store.tallies import Tally, pack_tally

from .counts import Place
from .listed import CostOfServices, LatencyOfNodes
from .rows import Keys
from .sum_values import ByNode, CoreSums, NetworkSums, NodeSums, ServiceSums


def network_sums_row(item: tuple[Place, str, NetworkSums], keys: Keys) -> Row:
    (stretch, bucket), genesis, sums = item
    return (
        bucket,
        genesis,
        keys.runs[stretch],
        pack_tally(sums.outcomes),
        pack_tally(sums.events),
        pack_tally(sums.withheld),
        pack_tally(sums.totals),
        pack_tally(sums.latencies),
    )


def node_sums_row(item: tuple[Place, tuple[str, str], NodeSums], keys: Keys) -> Row:
    (stretch, bucket), (node_id, genesis), sums = item
    least, greatest = sums.clock or (None, None)
    return (
        bucket,
        node_id,
        genesis,
        keys.runs[stretch],
        least,
        greatest,
        pack_tally(sums.outcomes),
        pack_tally(sums.withheld),
        pack_tally(sums.totals),
        pack_tally(sums.latencies),
    )


def core_sums_row(item: tuple[Place, tuple[str, int], CoreSums], keys: Keys) -> Row:
    (stretch, bucket), (genesis, core), sums = item
    return (
        bucket,
        genesis,
        core,
        keys.runs[stretch],
        pack_tally(sums.events),
        pack_tally(sums.outcomes),
        ByNode(dict(sums.guarantors)),
        pack_tally(sums.costs),
        pack_tally(sums.totals),
        pack_tally(sums.latencies),
    )


def service_sums_row(item: tuple[Place, tuple[str, int], ServiceSums], keys: Keys) -> Row:
    (stretch, bucket), (genesis, service), sums = item
    return (bucket, genesis, service, keys.runs[stretch], pack_tally(sums.costs))


def latency_sums_row(item: tuple[Place, tuple[str, int], LatencyOfNodes], keys: Keys) -> Row:
    (stretch, bucket), (genesis, latency), sums = item
    run = keys.runs[stretch]
    return (bucket, genesis, latency, run, ByNode(sums.counts), ByNode(sums.totals))


def event_sums_row(item: tuple[Place, tuple[str, int], Tally], keys: Keys) -> Row:
    (stretch, bucket), (genesis, kind), by_core = item
    return (bucket, genesis, kind, keys.runs[stretch], pack_tally(by_core))


def phase_sums_row(item: tuple[Place, tuple[str, int], CostOfServices], keys: Keys) -> Row:
    (stretch, bucket), (genesis, phase), costs = item
    return (bucket, genesis, phase, keys.runs[stretch], *map(pack_tally, costs))


def open_row(item: tuple[int, Place], keys: Keys) -> Row:
    kind, (stretch, bucket) = item
    return (bucket, kind, MINUTE, keys.runs[stretch])
