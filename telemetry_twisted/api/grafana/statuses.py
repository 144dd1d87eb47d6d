"""What nodes said of themselves over time, by what history keeps of each 10 s.

Of guarantees it keeps the number on all cores: the least and the most of a core are told as if
cores had as many as they can have alike.
"""

from __future__ import annotations

from typing import Any

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.store.read.statuses import (
    FIGURES,
    figures_in,
    states_at,
    windows_of,
)
from telemetry_twisted.store.schema.tables import NODES
from telemetry_twisted.timestamps import rfc3339

from .given import ChartGiven, Interval, Names, RangeGiven
from .routes import Row, Rows, grafana
from .scope import scope_of

MOST_ROWS = 2500
"""Rows of an answer, at most: of many nodes fewer moments are told."""

MOST_LOOKED_AT = 20_000
"""States that are looked at for an answer, at most."""

MOST_WINDOWS = 200
"""Windows that an answer has, at most."""

BEHIND_SLOTS = 2
"""Who is no more slots behind the newest is in sync."""


class NodesGiven(RangeGiven, frozen=True, kw_only=True):
    """Of which nodes."""

    node: Names | None = None


async def _cores(sources: Sources) -> dict[int, int]:
    """How many cores the network of each node has."""
    rows = await sources.history.query(NODES.select("node", "cores"))
    return {node: max(cores or 1, 1) for node, cores in rows}


@grafana("node-stats")
async def node_stats(sources: Sources, given: NodesGiven) -> Rows:
    """What each node said of itself at the end of each 10 s."""
    scope = await scope_of(sources, given.network)
    numbers = scope.numbers(None if given.node is None else given.node.items)
    if not numbers:
        return []
    most = max(MOST_ROWS // len(numbers), 1)
    moments = windows_of(sources.history, *given.range, 10, most)
    buckets = [bucket for moment in moments for bucket in moment.buckets]
    rows = await states_at(sources.history, buckets, numbers, FIGURES)
    cores = await _cores(sources)
    return [
        {
            "timestamp": rfc3339(bucket),
            "node_id": scope.nodes[node],
            **_status(dict(zip(FIGURES, told, strict=True)), cores.get(node, 1)),
        }
        async for bucket, node, *told in sources.history.turns.steps(rows[:MOST_ROWS])
        if told[0] is not None
    ]


def _status(told: dict[str, Any], cores: int) -> Row:
    guarantees = told.pop("num_guarantees") or 0
    return {
        **{name: value or 0 for name, value in told.items()},
        "min_guarantees": guarantees // cores,
        "max_guarantees": -(-guarantees // cores),
        "avg_guarantees": guarantees / cores,
        "zero_guarantee_cores": max(cores - guarantees, 0),
    }


@grafana("node-stats-aggregate")
async def aggregate(sources: Sources, given: NodesGiven) -> Rows:
    """What nodes said of themselves by the minute: all of them together, or each that is asked
    for."""
    scope = await scope_of(sources, given.network)
    by_node = given.node is not None
    numbers = scope.numbers(None if given.node is None else given.node.items)
    if not numbers:
        return []
    most = max(MOST_LOOKED_AT // len(numbers), 1)
    if by_node:
        most = min(most, max(MOST_ROWS // 2 // len(numbers), 1))
    cores = await _cores(sources)
    rows = []
    for window in windows_of(sources.history, *given.range, 60, min(most, MOST_WINDOWS)):
        for node, count, *told in await figures_in(sources.history, window, numbers, by_node):
            many = cores.get(node if by_node else numbers[0], 1)
            row = _minute(told, count, many)
            if by_node:
                row["node_id"] = scope.nodes[node]
            rows.append({"bucket": rfc3339(window.at), **row})
    return rows


_CALLED = {
    "num_peers": ("peers", True),
    "num_val_peers": ("val_peers", True),
    "num_sync_peers": ("sync_peers", True),
    "num_shards": ("shards", True),
    "shards_size": ("shards_size", False),
    "num_preimages": ("preimages", False),
    "preimages_size": ("preimages_size", False),
}
"""What each figure is called, and whether the least is told."""


def _minute(told: list[Any], count: int, cores: int) -> Row:
    figures = {name: told[at * 3 : at * 3 + 3] for at, name in enumerate(FIGURES)}
    row: Row = {}
    for name, (called, has_least) in _CALLED.items():
        mean, least, greatest = figures[name]
        row[f"avg_{called}"] = round(float(mean or 0))
        if has_least:
            row[f"min_{called}"] = least
        row[f"max_{called}"] = greatest
    mean, least, greatest = figures["num_guarantees"]
    return {
        **row,
        "avg_guarantees": float(mean or 0) / cores,
        "min_guarantees": least // cores,
        "max_guarantees": -(-greatest // cores),
        "max_zero_guarantee_cores": max(cores - least, 0),
        "status_count": count,
    }


class SlowChartGiven(ChartGiven, frozen=True, kw_only=True):
    """In windows of which width."""

    interval: Interval = Interval(300)


@grafana("sync-timeline")
async def sync(sources: Sources, given: SlowChartGiven) -> Rows:
    """How many nodes were in sync over time, by the best block that each said last in a window."""
    scope = await scope_of(sources, given.network)
    numbers = [*scope.nodes]
    step = given.step(1, MOST_WINDOWS)
    most = max(MOST_LOOKED_AT // max(len(numbers), 1), 1)
    rows = []
    windows = windows_of(sources.history, *given.range, step, most)
    at_bucket = {bucket: window.at for window in windows for bucket in window.buckets}
    best: dict[int, dict[int, int]] = {}
    states = await states_at(sources.history, [*at_bucket], numbers, ("best",))
    async for bucket, node, slot in sources.history.turns.steps(states):
        if slot is not None:
            of_window = best.setdefault(at_bucket[bucket], {})
            of_window[node] = max(of_window.get(node, 0), slot)
    for at, slots in sorted(best.items()):
        newest = max(slots.values())
        synced = sum(slot >= newest - BEHIND_SLOTS for slot in slots.values())
        rows.append(
            {
                "ts": rfc3339(at),
                "total_nodes": len(slots),
                "synced_nodes": synced,
                "behind_nodes": len(slots) - synced,
                "sync_percentage": 100 * synced / len(slots),
                "network_slot": newest,
            }
        )
    return rows


ENDPOINTS: tuple[Endpoint, ...] = (node_stats, aggregate, sync)
