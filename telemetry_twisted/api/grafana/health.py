"""How the network fares, and what fails."""

from __future__ import annotations

import msgspec

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.store.read import windows
from telemetry_twisted.store.read.shapes import event_name
from telemetry_twisted.timestamps import rfc3339

from .given import FAILURES, ChartGiven, Interval, RangeGiven
from .raw_events import raw_rows
from .routes import Row, Rows, grafana
from .scope import scope_of

MOST_NODES = 20
"""Nodes that are told with their failures, at most."""

MOST_RECENT = 20
"""Failures that are shown, at most, of the last :data:`RECENT_SECONDS`."""

RECENT_SECONDS = 300

MOST_WINDOWS = 500

CATEGORIES = {
    "block_authoring": ((40, 42), (41, 44, 46)),
    "tickets": ((80, 82, 84), (81, 83)),
    "work_packages": ((94,), (92, 99)),
    "guarantees": ((105, 108, 109), (107, 111, 113)),
    "shards": ((120, 125), (122,)),
    "assurances": ((126,), (127,)),
}
"""The events of each category that are attempts, and that are failures."""

COUNTED = frozenset(
    (40, 41, 42, 44, 46, 80, 81, 83, 92, 94, 99, 105, 107, 108, 109, 111, 113, 120, 122, 125, 126)
) | {127}
FAILED = frozenset((41, 44, 46, 81, 83, 92, 99, 107, 111, 113, 122, 127))

COMPONENTS = {
    "block_production": ((42,), (41, 44, 46)),
    "work_packages": ((94,), (92, 99)),
    "data_availability": ((125,), (122,)),
}
"""The events of each component that are well, and that are not."""


def _rate(failures: int, attempts: int) -> float:
    return failures / attempts if attempts else 0.0


@grafana("failure-rates")
async def failure_rates(sources: Sources, given: RangeGiven) -> Row:
    """How much fails: in all, by category, by node, and what failed last."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    counts = await windows.counts_over(history, *given.range, scope.counted)
    each = await windows.each_over(history, *given.range, scope.nodes.keys())
    events, failed = windows.sum_of(counts, COUNTED), windows.sum_of(counts, FAILED)
    categories = []
    for name, kinds in CATEGORIES.items():
        attempts, failures = (windows.sum_of(counts, some) for some in kinds)
        rate = _rate(failures, attempts)
        categories.append(
            {"category": name, "attempts": attempts, "failures": failures, "rate": rate}
        )
    nodes = []
    for node, of_node in each.items():
        failures, all_events = (windows.sum_of(of_node, some) for some in (FAILED, COUNTED))
        if failures:
            nodes.append(
                {
                    "node_id": scope.nodes[node],
                    "total_events": all_events,
                    "failures": failures,
                    "failure_rate": _rate(failures, all_events),
                }
            )
    nodes.sort(key=lambda row: -int(str(row["failures"])))
    return {
        "overall": {
            "total_events": events,
            "failed_events": failed,
            "failure_rate": _rate(failed, events),
        },
        "by_category": categories,
        "by_node": nodes[:MOST_NODES],
        "recent_failures": await _recent(sources, {*scope.nodes.values()}),
    }


async def _recent(sources: Sources, nodes: set[str]) -> Rows:
    now = sources.now()
    rows = await raw_rows(sources, now - RECENT_SECONDS, now + 1, FAILURES, None, MOST_RECENT)
    found = []
    for row in rows:
        data = msgspec.convert(row["data"], dict[str, dict[str, object]])
        reason = next(iter(data.values()), {}).get("reason")
        if row["node_id"] in nodes:
            found.append(
                {
                    "event_type": row["event_type"],
                    "event_name": event_name(row["event_type"]) or "Unknown",
                    "node_id": row["node_id"],
                    "timestamp": row["ts"],
                    "reason": reason if isinstance(reason, str) else None,
                }
            )
    return found


@grafana("network-health")
async def network_health(sources: Sources, given: RangeGiven) -> Row:
    """A score of five components, as JamTART has it. What is wrong in particular is told at
    ``/api/networks/health``."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    counts = await windows.counts_over(history, *given.range, scope.counted)
    scores = {}
    for name, kinds in COMPONENTS.items():
        well, badly = (windows.sum_of(counts, some) for some in kinds)
        scores[name] = 100 * well / (well + badly) if well + badly else 100.0
    present = sources.connected & {*scope.nodes.values()}
    scores["connectivity"] = 100 * len(present) / len(scope.nodes) if scope.nodes else 100.0
    looked_at = {kind for kinds in COMPONENTS.values() for some in kinds for kind in some}
    scores["event_throughput"] = 100.0 if windows.sum_of(counts, looked_at) else 0.0
    score = sum(scores.values()) / len(scores)
    blocks = scores["block_production"]
    alerts = []
    if blocks < 95:
        alerts.append(
            {
                "severity": "warning" if blocks >= 80 else "error",
                "message": f"block production is at {blocks:.1f} %",
                "component": "block_production",
            }
        )
    return {
        "health_score": score,
        "overall_health": "healthy" if score >= 90 else "degraded" if score >= 70 else "unhealthy",
        "components": [
            {"name": name, "score": each, "status": _status(name, each), "issues": []}
            for name, each in scores.items()
        ],
        "alerts": alerts,
    }


def _status(name: str, score: float) -> str:
    if name == "event_throughput":
        return "healthy" if score else "unhealthy"
    well, fairly = (90, 70) if name == "connectivity" else (95, 80)
    return "healthy" if score >= well else "degraded" if score >= fairly else "unhealthy"


class SlowChartGiven(ChartGiven, frozen=True, kw_only=True):
    """In windows of which width."""

    interval: Interval = Interval(300)


@grafana("connections-timeline")
async def connections(sources: Sources, given: SlowChartGiven) -> Row:
    """Connections between nodes that began and ended over time, and how many nodes there are."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    step = given.step(1, MOST_WINDOWS)
    found = await windows.counts_of_each(history, *given.range, step, scope.nodes.keys())
    timeline = []
    for at, of_nodes in sorted(found.items()):
        began = sum(windows.sum_of(counts, (23, 26)) for counts in of_nodes.values())
        ended = sum(counts.get(27, 0) for counts in of_nodes.values())
        active = sum(any(kind in counts for kind in (23, 26, 27)) for counts in of_nodes.values())
        if active:
            timeline.append(
                {
                    "ts": rfc3339(at),
                    "connections": began,
                    "disconnections": ended,
                    "active_nodes": active,
                }
            )
    present = sources.connected & {*scope.nodes.values()}
    return {
        "timeline": timeline,
        "health_stats": {
            "total_nodes_seen": len(scope.nodes),
            "currently_connected": len(present),
        },
    }


ENDPOINTS: tuple[Endpoint, ...] = (failure_rates, network_health, connections)
