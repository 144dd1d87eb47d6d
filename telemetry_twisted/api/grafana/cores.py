"""Cores, and who guarantees for them: events whose chain tells of a core.

Ranges are widened to whole minutes, hours or days; what was last is told by the beginning of the
minute, hour or day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from heapq import nsmallest

from attrs import define

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.store.read.latencies import NUMBERS
from telemetry_twisted.store.read.packages import packages_in
from telemetry_twisted.store.read.ranges import whole
from telemetry_twisted.store.read.services import phases_of
from telemetry_twisted.store.read.sums import Subject, rows_of
from telemetry_twisted.store.schema.policy import HOUR
from telemetry_twisted.store.schema.sum_tables import OF_CORES, OF_LATENCIES
from telemetry_twisted.store.tallies import sum_alike, sum_packed, unpack_tally
from telemetry_twisted.timestamps import rfc3339

from .events import described
from .given import CoreGiven, CoreInPath, RangeGiven
from .latencies import seen_over
from .packages import package_row
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

MOST_BUCKETS = 12
"""Buckets of each core that are read, at most, unless only those of a day are there."""

RECENT = 100
"""Packages that are shown with a core."""

MOST_GUARANTORS = 200
"""Nodes of which that is told, at most."""

MOST_CORES = 150
"""Cores that are listed of a guarantor, at most."""


def _work(core: int, events: dict[int, int]) -> Row:
    return {
        "core": core,
        "work_packages": events.get(94, 0),
        "guarantees": events.get(105, 0),
        "failures": events.get(92, 0),
    }


@grafana("cores")
async def cores(sources: Sources, given: CoreGiven) -> Rows:
    """What became of work on each core."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    span = whole(*given.range, history.now(), history.policy.sums, MOST_BUCKETS)
    packed: defaultdict[int, list[bytes]] = defaultdict(list)
    last: dict[int, int] = {}
    only = {"network": scope.network.number}
    for bucket, core, events in await rows_of(history, OF_CORES, span, ("core", "events"), only):
        if given.core in (None, core) and events:
            packed[core].append(events)
            last[core] = max(last.get(core, 0), bucket)
    return [
        {**_work(core, sum_packed(rows)), "last_activity": rfc3339(last[core])}
        async for core, rows in history.turns.steps(sorted(packed.items()))
    ]


@grafana("cores/{core_id}")
async def core(sources: Sources, given: CoreInPath) -> Row:
    """What became of work on one core, and its newest packages."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    subject = Subject(scope.network, core=given.core_id)
    span = subject.whole(history, *given.range)
    rows = await subject.rows(history, span, ("events",))
    found = await packages_in(history, subject, *given.range, RECENT)
    return {
        **_work(given.core_id, sum_packed(events for _, events in rows)),
        "recent_work_packages": [package_row(each) for each in found],
    }


@grafana("cores/{core_id}/metrics")
async def core_metrics(sources: Sources, given: CoreInPath) -> Row:
    """How well a core fares: its packages, how long they take, and the gas of refining them."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    subject = Subject(scope.network, core=given.core_id)
    span = subject.whole(history, *given.range)
    rows = await subject.rows(history, span, ("events", "costs"))
    events = sum_packed(row[1] for row in rows)
    refined, failed = events.get(101, 0), events.get(92, 0)
    ended = refined + failed
    seen = await seen_over(history, subject, *given.range, ["pipeline"])
    p50, p95 = seen.at("pipeline", (0.5, 0.95))
    return {
        "core": given.core_id,
        "processing_efficiency_pct": 100.0 * refined / ended if ended else 100.0,
        "p50_latency_ms": p50,
        "p95_latency_ms": p95,
        "average_completion_time_ms": seen.mean("pipeline"),
        "total_gas_used": phases_of(sum_packed(row[2] for row in rows))["refine"].gas_used,
        "work_packages_processed": events.get(94, 0),
    }


@define
class Guarantor:
    """The guarantees of a node: how many it built, when the last bucket began in which it did, and
    how many for each core, of some of them."""

    count: int
    cores: Counter[int]
    last: int = 0


async def guarantors(
    sources: Sources, scope: Scope, begin: float, end: float, core: int
) -> dict[int, Guarantor]:
    """Who guaranteed for a core, those first who built the most, by the numbers of nodes."""
    history = sources.history
    span = whole(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    only = {"network": scope.network.number, "core": core}
    rows = await rows_of(history, OF_CORES, span, ("guarantors",), only)
    return await _ranked(sources, scope, rows, len(scope.nodes))


async def _ranked(
    sources: Sources, scope: Scope, rows: Sequence[tuple[int, bytes]], most: int
) -> dict[int, Guarantor]:
    """How many guarantees nodes built, in buckets with tallies by node: of those who built most."""
    counts = sum_alike(packed for _, packed in rows)
    there = [node for node in counts if node in scope.nodes]
    ranked = nsmallest(most, there, key=lambda node: (-counts[node], node))
    found = {node: Guarantor(counts[node], Counter()) for node in ranked}
    unknown = {*found}
    async for bucket, packed in sources.history.turns.steps(sorted(rows, reverse=True)):
        if not unknown:
            break
        for node in unknown & unpack_tally(packed).keys():
            found[node].last = bucket
            unknown.discard(node)
    return found


async def _of_all_cores(
    sources: Sources, scope: Scope, begin: float, end: float
) -> dict[int, Guarantor]:
    """Who built the most guarantees for any core; for which, of the last hour in which somebody
    built one alone."""
    history = sources.history
    span = whole(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    asked = {"network": scope.network.number, "latency": NUMBERS["guarantee"]}
    rows = await rows_of(history, OF_LATENCIES, span, ("node_counts",), asked)
    found = await _ranked(sources, scope, rows, MOST_GUARANTORS)
    newest = max((each.last for each in found.values()), default=0)
    until = min(end, newest + span.width)
    hour = whole(until - 1, until, history.now(), {HOUR: history.policy.sums[HOUR]}, 1)
    only = {"network": scope.network.number}
    of_cores = await rows_of(history, OF_CORES, hour, ("core", "guarantors"), only)
    async for _, number, packed in history.turns.steps(of_cores):
        counts = unpack_tally(packed)
        for node in counts.keys() & found.keys():
            found[node].cores[number] += counts[node]
    return found


@grafana("cores/{core_id}/validators")
async def core_validators(sources: Sources, given: CoreInPath) -> Row:
    """Who guaranteed for a core."""
    scope = await scope_of(sources, given.network)
    found = await guarantors(sources, scope, *given.range, given.core_id)
    known = await described(sources, [*found])
    names = ("implementation_name", "implementation_version", "is_connected")
    rows = [
        {
            "node_id": scope.nodes[node],
            "guarantee_count": each.count,
            "last_guarantee": rfc3339(each.last),
            **{name: known[node][name] for name in names},
        }
        for node, each in found.items()
        if node in known
    ]
    return {"core": given.core_id, "validators": rows, "total_active": len(rows)}


@grafana("guarantees/by-guarantor")
async def by_guarantor(sources: Sources, given: RangeGiven) -> Row:
    """Who guaranteed how often, those who did most, and for which cores in the last hour."""
    scope = await scope_of(sources, given.network)
    found = await _of_all_cores(sources, scope, *given.range)
    return {
        "guarantors": [
            {
                "node_id": scope.nodes[node],
                "primary_core": min(each.cores, default=None),
                "guarantee_count": each.count,
                "last_guarantee": rfc3339(each.last),
                "cores_active": sorted(each.cores)[:MOST_CORES],
            }
            for node, each in found.items()
        ],
        "total_guarantors": len(found),
    }


@grafana("validators/cores")
async def validators_cores(sources: Sources, given: RangeGiven) -> Rows:
    """For which core those who guaranteed most built the fewest guarantees in the last hour, which
    is the one that JamTART names."""
    scope = await scope_of(sources, given.network)
    found = await _of_all_cores(sources, scope, *given.range)
    return [
        {
            "node_id": scope.nodes[node],
            "primary_core": min(
                each.cores, key=lambda core: (each.cores[core], core), default=None
            ),
            "guarantee_count": each.count,
        }
        for node, each in found.items()
    ]


ENDPOINTS: tuple[Endpoint, ...] = (
    cores,
    core,
    core_metrics,
    core_validators,
    by_guarantor,
    validators_cores,
)
