"""Questions about events: themselves, while they are kept, and how many there were."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from telemetry_twisted.api.websocket.frames import recent_event
from telemetry_twisted.store.read import counts, raw
from telemetry_twisted.store.read.raw_search import NEWEST, Wanted
from telemetry_twisted.store.read.shapes import Answer, NodeId, Range, Time
from telemetry_twisted.timestamps import rfc3339

from .asked import AfterPlace, BadRequest, Limit, OnlyNode, RangeAsked, TypesAsked
from .asked import NodeId as GivenNodeId
from .endpoint import Sources, endpoint
from .nodes import NodeInPath


class Event(Answer):
    """A raw event."""

    id: int
    node_id: NodeId
    event_id: int
    event_type: int
    timestamp: Time
    event: dict[str, Any]


class Events(Range):
    """Raw events, and how many of the range were seen and kept; ``next`` is where to go on."""

    count: int
    sampled: raw.Share
    events: list[Event]
    next: str | None


class PageAsked(TypesAsked, frozen=True, kw_only=True):
    """Which events, and how many."""

    limit: Limit = 100
    cursor: AfterPlace | None = None


class EventsAsked(PageAsked, frozen=True, kw_only=True):
    """Which events of which node."""

    node: OnlyNode | None = None


class NodeEventsAsked(PageAsked, frozen=True, kw_only=True):
    """Which events of a node."""

    node_id: NodeInPath


class ChartAsked(TypesAsked, frozen=True, kw_only=True):
    """Which events, and how to tell them apart."""

    group_by: Annotated[
        Literal["type", "group", "node"],
        Meta(description="A series for each type of event, group of types, or node."),
    ] = "group"
    node: Annotated[list[GivenNodeId], Meta(description="Only these nodes; may be repeated.")] = (
        msgspec.field(default_factory=list)
    )


@endpoint("/api/events", may_miss=True)
async def events(sources: Sources, asked: EventsAsked) -> Events:
    """Raw events, the newest first; a page may be short though there are more."""
    return await _events(sources, asked, asked.node)


@endpoint("/api/nodes/{node_id}/events", may_miss=True)
async def node_events(sources: Sources, asked: NodeEventsAsked) -> Events:
    """Raw events of a node, the newest first."""
    return await _events(sources, asked, asked.node_id)


async def _events(sources: Sources, asked: PageAsked, node_id: str | None) -> Events:
    begin, end = asked.range(sources.now())
    node = await sources.number_of(node_id) if node_id else None
    wanted = Wanted(node, asked.types, int(begin * 1_000_000), int(end * 1_000_000))
    before = asked.cursor.place if asked.cursor else NEWEST
    async with sources.searches:
        found = await raw.browse(sources.history, wanted, before, asked.limit)
    return Events(
        from_=rfc3339(begin),
        to=rfc3339(end),
        count=len(found.messages),
        sampled=await raw.share(sources.history, begin, end),
        # They are JSON already, and sent as they are.
        events=cast(list[Event], [msgspec.Raw(recent_event(each)) for each in found.messages]),
        next=None if found.next is None else str(found.next),
    )


@endpoint("/api/event-types")
async def event_types(sources: Sources, asked: RangeAsked) -> counts.EventTypes:
    """The types of events, and how often each came."""
    return await counts.event_types(sources.history, *asked.range(sources.now()))


@endpoint("/api/metrics/timeseries", may_miss=True)
async def timeseries(sources: Sources, asked: ChartAsked) -> counts.Chart:
    """Events over time, by type, group or node, at a resolution that follows the range."""
    span = asked.range(sources.now())
    nodes = [await sources.number_of(node_id) for node_id in dict.fromkeys(asked.node)] or None
    if asked.group_by == "node":
        if asked.types is not None:
            raise BadRequest("type and group go with group_by=type or group_by=group only")
        return await counts.by_node(sources.history, *span, nodes)
    by = counts.by_group if asked.group_by == "group" else counts.by_type
    return await by(sources.history, *span, asked.types, nodes)
