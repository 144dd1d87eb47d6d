"""How far work packages come, and how long each stage takes.

Packages are counted one by one while there are not too many in the range. Times of stages are those
of each guarantor's own chain, by its own clock, within 5 %.
"""

from __future__ import annotations

from collections import Counter

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.store.read import windows
from telemetry_twisted.store.read.packages import (
    FAILED,
    Reached,
    newest_in,
    package_counts,
    reached,
)
from telemetry_twisted.store.read.sums import Subject
from telemetry_twisted.timestamps import rfc3339

from .given import CoreChartGiven, CoreGiven, RangeGiven
from .latencies import MOST_WINDOWS, Seen, seen_in, seen_over
from .routes import Row, Rows, grafana
from .scope import scope_of

ALL = 1 << 40
"""A window that is wider than any range, in seconds."""

STAGES = {
    "received": 94,
    "authorized": 95,
    "refined": 101,
    "report_built": 102,
    "guarantee_built": 105,
    "distributed": 109,
    "failed": FAILED,
}
"""How far a package came, by the event that says so."""

TIMED = {
    "authorize": "authorize",
    "refine": "refine",
    "report": "report",
    "guarantee": "guarantee",
    "distribute": "distribute",
    "pipeline_total": "pipeline",
}
"""What each stage's time is called among latencies."""

SHARES = (0.5, 0.95)

NOTHING = Seen({}, {}, {})


def told(found: Reached) -> Row:
    """How many came how far."""
    return {name: found[kind] for name, kind in STAGES.items()}


async def reached_in_all(sources: Sources, subject: Subject, begin: float, end: float) -> Reached:
    """How many packages of a range came how far."""
    found = await reached(sources.history, subject, begin, end, ALL)
    return sum(found.values(), Counter())


@grafana("wp-funnel")
async def funnel(sources: Sources, given: RangeGiven) -> Row:
    """How far the packages of a range came."""
    scope = await scope_of(sources, given.network)
    found = await reached_in_all(sources, Subject(scope.network), *given.range)
    return {"total": found[0], **told(found)}


@grafana("wp-funnel-timeseries")
async def funnel_over_time(sources: Sources, given: CoreChartGiven) -> Rows:
    """How far packages came, by when they were heard of first."""
    scope = await scope_of(sources, given.network)
    subject = Subject(scope.network, core=given.core)
    step = given.step(1, MOST_WINDOWS)
    found = await reached(sources.history, subject, *given.range, step)
    return [{"ts": rfc3339(at), "total": each[0], **told(each)} for at, each in found.items()]


@grafana("bottlenecks")
async def bottlenecks(sources: Sources, given: CoreGiven) -> Rows:
    """How long the stages of packages take, and how many fail: one object, in a list."""
    scope = await scope_of(sources, given.network)
    subject = Subject(scope.network, core=given.core)
    seen = await seen_over(sources.history, subject, *given.range, [*TIMED.values()])
    found = await reached_in_all(sources, subject, *given.range)
    timing = {}
    for stage, name in TIMED.items():
        p50, p95 = seen.at(name, SHARES)
        timing[stage] = {"p50_ms": p50, "p95_ms": p95}
    return [
        {
            "stage_timing": timing,
            "failure_rate": min(found[FAILED] / found[94], 1.0) if found[94] else 0.0,
            "total_wps": found[94],
            "failed_wps": found[FAILED],
            "avg_pipeline_ms": seen.mean("pipeline"),
        }
    ]


@grafana("bottlenecks-timeseries")
async def bottlenecks_over_time(sources: Sources, given: CoreChartGiven) -> Rows:
    """How long stages take over time, and how many packages came and failed."""
    scope = await scope_of(sources, given.network)
    subject = Subject(scope.network, core=given.core)
    step = given.step(1, MOST_WINDOWS)
    names = [*TIMED.values()]
    seen = await seen_in(sources.history, subject, *given.range, step, names)
    found = await reached(sources.history, subject, *given.range, step)
    rows = []
    for at in sorted({*(at for at, each in seen.items() if each.bins), *found}):
        row: Row = {"ts": rfc3339(at)}
        for stage, name in TIMED.items():
            p50, p95 = seen.get(at, NOTHING).at(name, SHARES)
            prefix = stage.removesuffix("_total")
            row |= {f"{prefix}_p50": p50, f"{prefix}_p95": p95}
        counted: Reached = found.get(at, Counter())
        rows.append({**row, "total_wps": counted[94], "failed_wps": counted[FAILED]})
    return rows


@grafana("wp-stats")
async def stats(sources: Sources, given: RangeGiven) -> Row:
    """Submissions, shares and duplicates, how far packages came, and how many each core had."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    counts = await windows.counts_over(history, *given.range, scope.counted)
    found = await reached_in_all(sources, Subject(scope.network), *given.range)
    newest = await newest_in(history, scope.network, *given.range)
    cores = await package_counts(history, newest, ("core",))
    return {
        "totals": {
            "submissions": counts.get(90, 0),
            "being_shared": counts.get(91, 0),
            "duplicates": counts.get(93, 0),
            **told(found),
        },
        "by_core": [
            {"core": core, "count": count}
            for core, count, _ in sorted(row for row in cores if row[0] is not None)
        ],
    }


ENDPOINTS: tuple[Endpoint, ...] = (
    funnel,
    funnel_over_time,
    bottlenecks,
    bottlenecks_over_time,
    stats,
)
