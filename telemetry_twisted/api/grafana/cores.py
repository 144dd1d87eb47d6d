"""Cores, and who guarantees for them: events whose chain tells of a core.

Ranges are widened to whole minutes, hours or days; what was last is told by the beginning of the
minute, hour or day.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from attrs import define

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.store.read.packages import packages_in
from telemetry_twisted.store.read.ranges import whole
from telemetry_twisted.store.read.services import phases_of
from telemetry_twisted.store.read.sums import Subject, rows_of
from telemetry_twisted.store.schema.sum_tables import OF_CORES
from telemetry_twisted.store.tallies import sum_packed
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
    """The guarantees of a node: how many it built for each core, and when it was last."""

    cores: Counter[int]
    last: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.cores.values())


async def guarantors(
    sources: Sources, scope: Scope, begin: float, end: float, core: int | None = None
) -> dict[int, Guarantor]:
    """Who guaranteed for which core, those first who built the most, by the numbers of nodes; the
    last is when the last for any of their cores was built."""
    history = sources.history
    span = whole(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    only = {"network": scope.network.number}
    if core is not None:
        only["core"] = core
    found: defaultdict[int, Guarantor] = defaultdict(lambda: Guarantor(Counter()))
    of_cores: defaultdict[int, list[bytes]] = defaultdict(list)
    last: dict[int, int] = {}
    for bucket, number, packed in await rows_of(
        history, OF_CORES, span, ("core", "guarantors"), only
    ):
        of_cores[number].append(packed)
        last[number] = max(last.get(number, 0), bucket)
    async for number, rows in history.turns.steps(of_cores.items()):
        for node, count in sum_packed(rows).items():
            found[node].cores[number] = count
            found[node].last = max(found[node].last, last[number])
    ranked = sorted(found.items(), key=lambda each: (-each[1].count, each[0]))
    return {node: each for node, each in ranked if node in scope.nodes}


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
    """Who guaranteed, and for which cores."""
    scope = await scope_of(sources, given.network)
    found = await guarantors(sources, scope, *given.range)
    return {
        "guarantors": [
            {
                "node_id": scope.nodes[node],
                "primary_core": min(each.cores),
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
    """For which core each guarantor built the fewest guarantees: JamTART names that one."""
    scope = await scope_of(sources, given.network)
    found = await guarantors(sources, scope, *given.range)
    return [
        {
            "node_id": scope.nodes[node],
            "primary_core": min(each.cores, key=lambda core: (each.cores[core], core)),
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
