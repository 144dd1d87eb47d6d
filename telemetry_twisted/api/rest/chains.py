"""Questions about chains of events: how they ended, how long they took, and by which clocks."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.store.read import chains as read_chains
from telemetry_twisted.store.read import clocks as read_clocks
from telemetry_twisted.store.read import latencies as read_latencies
from telemetry_twisted.store.read.sums import Subject

from .asked import After, BadRequest, Limit, NetworkAsked, OnlyNode, PlaceAsked
from .endpoint import NotFound, Sources, endpoint

LatencyInPath = Annotated[
    str, Meta(min_length=1, max_length=50, description="Its name, as /api/latencies lists it.")
]


class LatencyAsked(PlaceAsked, frozen=True, kw_only=True):
    """Which latency, and of what."""

    name: LatencyInPath


class LatencyNodesAsked(NetworkAsked, frozen=True, kw_only=True):
    """Which latency, and how nodes are compared."""

    name: LatencyInPath
    limit: Limit = 50
    cursor: After = 0


class ConnectionsAsked(NetworkAsked, frozen=True, kw_only=True):
    """Whose attempts to connect."""

    node: OnlyNode | None = None


class ClocksAsked(NetworkAsked, frozen=True, kw_only=True):
    """Which clocks, and how many."""

    limit: Limit = 100
    cursor: After = 0


async def subject_of(sources: Sources, asked: PlaceAsked) -> Subject:
    """What a question is about.

    :raises BadRequest: if it names both a node and a core.
    """
    if asked.node is not None and asked.core is not None:
        raise BadRequest("node and core do not go together: give one of them, or neither")
    node = None if asked.node is None else await sources.number_of(asked.node)
    return Subject(await sources.network_of(asked.network), node, asked.core)


def _known(name: str) -> str:
    if name not in read_latencies.NUMBERS:
        names = ", ".join(read_latencies.NUMBERS)
        raise NotFound(f"there is no latency {name}; there are {names}")
    return name


@endpoint("/api/latencies", may_miss=True)
async def latencies(sources: Sources, asked: PlaceAsked) -> read_latencies.Latencies:
    """How long what nodes did took, over a range, of a network, a node or a core.

    Each is the time from one event to another of the same chain on the same node, by its own clock,
    so counts and means are exact; percentiles are those of an additive histogram, within 5 %. The
    range is widened to whole minutes, hours, or, beyond 60 hours, days.
    """
    subject = await subject_of(sources, asked)
    return await read_latencies.latencies(sources.history, subject, *asked.range(sources.now()))


@endpoint("/api/latencies/{name}", may_miss=True)
async def latency(sources: Sources, asked: LatencyAsked) -> read_latencies.LatencyChart:
    """How long something took over time, of a network, a node or a core.

    What it is made of, and how exact, is as with /api/latencies. Of a network there are steps from
    10 s, of a node or a core from a minute; of no more than 200 buckets: steps of a minute in an
    hour, of an hour in a week, of a day in a month.
    """
    name = _known(asked.name)
    subject = await subject_of(sources, asked)
    return await read_latencies.chart(sources.history, subject, name, *asked.range(sources.now()))


@endpoint("/api/latencies/{name}/nodes", may_miss=True)
async def latency_nodes(sources: Sources, asked: LatencyNodesAsked) -> read_latencies.LatencyNodes:
    """How long something took each node, those first that took longest on average.

    What it is made of, and how exact, is as with /api/latencies. The range is widened to whole
    hours, beyond 2 hours to whole days, and no more than the last 2 days of it are told.
    """
    name = _known(asked.name)
    network = await sources.network_of(asked.network)
    span = asked.range(sources.now())
    return await read_latencies.nodes(
        sources.history, network, name, *span, asked.cursor, asked.limit
    )


@endpoint("/api/chains", may_miss=True)
async def chains(sources: Sources, asked: PlaceAsked) -> read_chains.Chains:
    """How chains of events ended, by the type of event that they begin with.

    Exact counts of chains that ended: well or badly by the event that says so; unfinished where
    none came within 60 s of the last (10 minutes for work packages) or the connection ended;
    forgotten where a node had more than 4,096 open. Each counts when it ended.
    """
    subject = await subject_of(sources, asked)
    return await read_chains.chains(sources.history, subject, *asked.range(sources.now()))


@endpoint("/api/connections", may_miss=True)
async def connections(sources: Sources, asked: ConnectionsAsked) -> read_chains.Connections:
    """Attempts of nodes to connect with each other: how they ended, and how long they took.

    Chains that begin with ConnectingIn and ConnectingOut, counted exactly when they ended. How long
    the successful ones took is by each node's own clock, with percentiles within 5 %. Why attempts
    failed is told by /api/failures.
    """
    node = None if asked.node is None else await sources.number_of(asked.node)
    subject = Subject(await sources.network_of(asked.network), node)
    return await read_chains.connections(sources.history, subject, *asked.range(sources.now()))


@endpoint("/api/clocks", may_miss=True)
async def clocks(sources: Sources, asked: ClocksAsked) -> read_clocks.Clocks:
    """By how much the clocks of nodes are off, those first that are off the most.

    The least and the greatest difference, in microseconds, between when the server read an event
    and when the node says it was, of all events within a day of the server's clock. The least is
    the clock's offset and the shortest time on the way. Beyond 6 hours it is told in whole days, of
    which no more than the last 2.
    """
    network = await sources.network_of(asked.network)
    span = asked.range(sources.now())
    return await read_clocks.clocks(sources.history, network, *span, asked.cursor, asked.limit)
