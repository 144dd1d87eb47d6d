"""Events: which there are, and how many of them over time and by node."""

from __future__ import annotations

from collections import defaultdict

from telemetry_twisted.api.rest.asked import Asked, BadRequest
from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.read import windows
from telemetry_twisted.store.read.shapes import event_name, micros
from telemetry_twisted.store.read.sums import Subject, rows_of
from telemetry_twisted.store.schema.sum_tables import OF_CORES
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import NODES
from telemetry_twisted.store.tallies import Tally, add_packed
from telemetry_twisted.timestamps import rfc3339

from .given import GROUP_OF, ChartGiven, Core, Count, RangeGiven, Text, Types
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

MOST_SHOWN = 6000
"""Rows of an answer over time, at most: windows are as wide as it takes."""

NONE = Types(frozenset())


class KindsGiven(Asked, frozen=True, kw_only=True):
    """Which types."""

    group: Types | None = None


@grafana("event-types")
async def event_types(_: Sources, given: KindsGiven) -> Rows:
    """The types of events and their groups."""
    wanted = TABLE.events.keys() if given.group is None else given.group.numbers
    return [
        {"id": number, "name": event.name, "group": GROUP_OF[number]}
        for number, event in TABLE.events.items()
        if number in wanted and number in GROUP_OF
    ]


class SeriesGiven(ChartGiven, frozen=True, kw_only=True):
    """Which events, in windows of which width, told apart by what."""

    group_by: Text = "event_type"
    node: Text | None = None
    event_types: Types = NONE
    core: Core | None = None


@grafana("timeseries")
async def timeseries(sources: Sources, given: SeriesGiven) -> Rows:
    """Events over time, a row for each window and type, core or node that has some."""
    if given.group_by not in ("event_type", "core", "node_id", "node"):
        raise BadRequest("group_by is none of event_type, core, node_id")
    types = given.event_types.numbers or frozenset(TABLE.events)
    scope = await scope_of(sources, given.network)
    if given.group_by == "core":
        return await _by_core(sources, given, scope, types)
    if given.group_by != "event_type":
        return await _by_node(sources, given, scope, types)
    if given.core is not None:
        return await _of_core(sources, given, scope, given.core, types)
    nodes = scope.counted if given.node is None else scope.numbers((given.node,))
    step = given.step(len(types), MOST_SHOWN)
    found = await windows.counts_in(sources.history, *given.range, step, nodes)
    return _rows(found, types)


def _rows(found: dict[int, Tally], types: frozenset[int]) -> Rows:
    return [
        {
            "ts": rfc3339(at),
            "count": count,
            "event_type": kind,
            "event_type_name": event_name(kind) or "Unknown",
        }
        for at, counts in sorted(found.items())
        for kind, count in sorted(counts.items())
        if kind in types
    ]


async def _of_core(
    sources: Sources, given: SeriesGiven, scope: Scope, core: int, types: frozenset[int]
) -> Rows:
    """Events whose chain tells of a core."""
    subject = Subject(scope.network, core=core)
    window = subject.window(sources.history, *given.range, given.step(20, MOST_SHOWN))
    found: defaultdict[int, Tally] = defaultdict(dict)
    for bucket, events in await subject.rows(sources.history, window, ("events",)):
        add_packed(found[window.at(bucket)], events)
    return _rows(found, types)


async def _by_core(
    sources: Sources, given: SeriesGiven, scope: Scope, types: frozenset[int]
) -> Rows:
    history = sources.history
    ((cores,),) = await history.query(f"SELECT coalesce(max(cores), 1) FROM {NODES.name}")
    step = max(given.step(cores, MOST_SHOWN), 60)
    begin, end = given.range
    most = max(MOST_SHOWN // cores, 1)
    window = Subject(scope.network, core=0).window(history, begin, end, step, most)
    found: defaultdict[tuple[int, int], Tally] = defaultdict(dict)
    only = {"network": scope.network.number}
    rows = await rows_of(history, OF_CORES, window, ("core", "events"), only)
    async for bucket, core, events in history.turns.steps(rows):
        add_packed(found[window.at(bucket), core], events)
    return [
        {"ts": rfc3339(at), "count": count, "core": core}
        for (at, core), events in sorted(found.items())
        if (count := windows.sum_of(events, types))
    ]


async def _by_node(
    sources: Sources, given: SeriesGiven, scope: Scope, types: frozenset[int]
) -> Rows:
    numbers = scope.numbers(None if given.node is None else (given.node,))
    step = given.step(len(numbers), MOST_SHOWN)
    found = await windows.counts_of_each(sources.history, *given.range, step, set(numbers))
    return [
        {"ts": rfc3339(at), "count": count, "node_id": scope.nodes[number]}
        for at, of_nodes in sorted(found.items())
        for number, counts in of_nodes.items()
        if (count := windows.sum_of(counts, types))
    ]


class RankingGiven(RangeGiven, frozen=True, kw_only=True):
    """Which events, and how many nodes."""

    event_types: Types = NONE
    limit: Count | None = None


@grafana("events-by-node")
async def events_by_node(sources: Sources, given: RankingGiven) -> Rows:
    """How many events of some types each node sent, those first that sent most; of many nodes in a
    range that is widened to whole minutes or hours, of which some stand for all in long ones."""
    scope = await scope_of(sources, given.network)
    types = given.event_types.numbers or frozenset(TABLE.events)
    found = await windows.each_over(sources.history, *given.range, scope.nodes.keys())
    counts = {node: windows.sum_of(of_node, types) for node, of_node in found.items()}
    total = sum(counts.values())
    ranked = sorted(filter(counts.__getitem__, counts), key=lambda node: (-counts[node], node))
    shown = ranked if given.limit is None else ranked[: given.limit]
    known = await described(sources, shown)
    return [
        {
            "node_id": scope.nodes[node],
            "count": counts[node],
            "share": counts[node] / total,
            **known[node],
        }
        for node in shown
        if node in known
    ]


async def described(sources: Sources, numbers: list[int]) -> dict[int, Row]:
    """What nodes said of themselves when they came, and whether they are there, by number."""
    if not numbers:
        return {}
    columns = ("node", "node_id", "address", "implementation", "implementation_version")
    rows = await sources.history.query(
        f"{NODES.select(*columns, 'last_seen')} WHERE node IN ({marks(numbers)})", numbers
    )
    present = sources.connected
    now = micros(int(sources.now() * 1_000_000))
    return {
        node: {
            "address": address,
            "implementation_name": name,
            "implementation_version": version,
            "is_connected": node_id in present,
            "last_seen_at": now if node_id in present else micros(seen),
        }
        for node, node_id, address, name, version, seen in rows
    }


ENDPOINTS: tuple[Endpoint, ...] = (event_types, timeseries, events_by_node)
