"""How many events there were, over time and in all, by type, group of types, or node."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import add
from typing import Any

from msgspec import UNSET, UnsetType

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import COUNTS, NO_NODE, NODES, TOTALS
from telemetry_twisted.timestamps import rfc3339

from .history import History
from .ranges import Span
from .shapes import Answer, Group, NodeId, Range, Series, Steps, event_name, group_of

MOST_BUCKETS = 1500
"""Buckets that an answer reads, at most."""

MOST_PROBES = 4000
"""Buckets of all nodes together that an answer about several nodes reads, at most."""

NODES_SHOWN = 10
"""Nodes of a chart by node for which none were asked for."""


class GroupSeries(Series):
    """The events of a group of types."""

    group: Group


class AnySeries(Series, kw_only=True):
    """The events of a type, with its name, of a group of types, or of a node."""

    event_type: int | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    group: Group | UnsetType = UNSET
    node_id: NodeId | UnsetType = UNSET


class Chart(Steps):
    """Events over time."""

    series: list[AnySeries]


class TypeCount(Answer):
    """A type of events, and how often it came."""

    event_type: int
    name: str
    group: Group
    has_reason: bool
    count: int


class EventTypes(Range):
    """All types of events, in the order of the table."""

    event_types: list[TypeCount]


Counts = dict[int, list[int]]
"""Events by type, a number for each step."""


async def by_type(
    history: History,
    begin: float,
    end: float,
    types: Collection[int] | None,
    nodes: Sequence[int] | None,
) -> Chart:
    """Events over time by type, of some nodes or all together."""
    span, series = await _of_nodes(history, begin, end, types, nodes)
    return _chart(
        span,
        [
            AnySeries(event_type=kind, name=event_name(kind), total=sum(counts), counts=counts)
            for kind, counts in sorted(series.items())
        ],
    )


async def by_group(
    history: History,
    begin: float,
    end: float,
    types: Collection[int] | None,
    nodes: Sequence[int] | None,
) -> Chart:
    """Events over time by group of types, of some nodes or all together."""
    span, series = await _of_nodes(history, begin, end, types, nodes)
    return _chart(
        span,
        [
            AnySeries(group=each.group, total=each.total, counts=each.counts)
            for each in groups_of(series)
        ],
    )


async def by_node(history: History, begin: float, end: float, nodes: Sequence[int] | None) -> Chart:
    """Events over time by node: those asked for, or those that sent most in the last hour."""
    shown = await _busiest(history, end) if nodes is None else list(nodes)
    span = _span(history, begin, end, shown)
    if not shown:
        return _chart(span, [])
    series = {number: [0] * len(span.times) for number in shown}
    table = COUNTS[span.width]
    there, buckets = history.over(table, span)
    rows = await history.query(
        f"{table.select('bucket', 'node', 'events')} WHERE {there} AND node IN ({marks(shown)})",
        (*buckets, *shown),
    )
    async for bucket, number, events in history.turns.steps(rows):
        series[number][span.index(bucket)] += events
    ids = dict(
        await history.query(
            f"{NODES.select('node', 'node_id')} WHERE node IN ({marks(shown)})", shown
        )
    )
    return _chart(
        span,
        [
            AnySeries(node_id=ids[number], total=sum(counts), counts=counts)
            for number, counts in series.items()
            if number in ids  # a node that was forgotten meanwhile has no ID any more
        ],
    )


async def _busiest(history: History, end: float) -> list[int]:
    """The nodes that sent most in the last hour of a range."""
    last = int(min(end, history.now())) - 1
    rows = await history.query(
        f"{COUNTS[3600].select('node')} WHERE bucket = ? AND node <> ? "
        "GROUP BY node ORDER BY sum(events) DESC, node LIMIT ?",
        (last - last % 3600, NO_NODE, NODES_SHOWN),
    )
    return [number for (number,) in rows]


async def event_types(history: History, begin: float, end: float) -> EventTypes:
    """The types of events, and how often each came over a range, of all nodes."""
    span = history.span(begin, end, MOST_BUCKETS)
    series = await counts_by_type(history, span, None, None)
    return EventTypes(
        from_=rfc3339(begin),
        to=rfc3339(end),
        event_types=[
            TypeCount(
                event_type=event.discriminator,
                name=event.name,
                group=event.group,
                has_reason=event.has_reason,
                count=sum(series.get(event.discriminator, ())),
            )
            for event in TABLE.events.values()
        ],
    )


async def _of_nodes(
    history: History,
    begin: float,
    end: float,
    types: Collection[int] | None,
    nodes: Sequence[int] | None,
) -> tuple[Span, Counts]:
    span = _span(history, begin, end, nodes)
    return span, await counts_by_type(history, span, nodes, types)


def _span(history: History, begin: float, end: float, nodes: Sequence[int] | None) -> Span:
    return history.span(begin, end, min(MOST_BUCKETS, MOST_PROBES // max(len(nodes or ()), 1)))


async def counts_by_type(
    history: History,
    span: Span,
    nodes: Sequence[int] | None,
    types: Collection[int] | None,
) -> Counts:
    """The events of some nodes or all together by type, or of just some ``types``, in each step of
    ``span``."""
    steps: dict[int, list[bytes]] = {}
    for bucket, packed in await _rows(history, span, nodes):
        steps.setdefault(span.index(bucket), []).append(packed)
    series: Counts = {}
    async for index, step in history.turns.steps(steps.items()):
        for kind, count in add_up(step).items():
            if kind in series:
                series[kind][index] = count
            elif types is None or kind in types:
                series[kind] = [0] * len(span.times)
                series[kind][index] = count
    return series


async def _rows(history: History, span: Span, nodes: Sequence[int] | None) -> list[tuple[Any, ...]]:
    """Buckets of some nodes, or of all together, with their packed counts."""
    if nodes is None:
        return await history.query(
            f"{TOTALS[span.width].select('bucket', 'counts')} WHERE bucket >= ? AND bucket < ?",
            (span.begin, span.end),
        )
    table = COUNTS[span.width]
    there, buckets = history.over(table, span)
    return await history.query(
        f"{table.select('bucket', 'counts')} WHERE {there} AND node IN ({marks(nodes)})",
        (*buckets, *nodes),
    )


def groups_of(series: Mapping[int, Sequence[int]]) -> list[GroupSeries]:
    """Counts of event types added up by the group that each type is in."""
    groups: dict[str, list[int]] = {}
    for kind, counts in sorted(series.items()):
        name = group_of(kind)
        before = groups.get(name)
        groups[name] = list(counts) if before is None else list(map(add, before, counts))
    return [
        GroupSeries(group=name, total=sum(counts), counts=counts) for name, counts in groups.items()
    ]


def _chart(span: Span, series: list[AnySeries]) -> Chart:
    return Chart(
        from_=rfc3339(span.begin), to=rfc3339(span.end), resolution_seconds=span.step, series=series
    )
