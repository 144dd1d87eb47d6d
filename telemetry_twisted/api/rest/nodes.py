"""Questions about the nodes and the network that they are."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.store.read import network as read_network
from telemetry_twisted.store.read import nodes as read_nodes
from telemetry_twisted.store.read import timeline as read_timeline

from .asked import After, Asked, Limit, NodeId, RangeAsked
from .endpoint import Sources, endpoint, unknown

NodeInPath = Annotated[NodeId, Meta(description="The node.")]


class NodesAsked(Asked, frozen=True, kw_only=True):
    """Which nodes."""

    connected: (
        Annotated[
            bool,
            Meta(description="Only nodes that are connected now, or only those that are not."),
        ]
        | None
    ) = None
    implementation: (
        Annotated[
            str,
            Meta(min_length=1, max_length=100, description="Only nodes of this implementation."),
        ]
        | None
    ) = None
    limit: Limit = 100
    cursor: After = 0


class NodeAsked(Asked, frozen=True, kw_only=True):
    """Which node."""

    node_id: NodeInPath


class TimelineAsked(RangeAsked, frozen=True, kw_only=True):
    """Which node, and when."""

    node_id: NodeInPath


@endpoint("/api/network")
async def network(sources: Sources, _: Asked) -> read_network.Network:
    """The network as its nodes tell of it."""
    return await read_network.network(sources.history, sources.connected)


@endpoint("/api/nodes")
async def nodes(sources: Sources, asked: NodesAsked) -> read_nodes.Nodes:
    """The nodes, in the order in which they first came."""
    return await read_nodes.nodes(
        sources.history,
        asked.cursor,
        asked.limit,
        sources.connected,
        asked.connected,
        asked.implementation,
    )


@endpoint("/api/nodes/{node_id}", may_miss=True)
async def node(sources: Sources, asked: NodeAsked) -> read_nodes.NodeInDetail:
    """All that is known of a node."""
    found = await read_nodes.node(sources.history, asked.node_id, sources.connected)
    if found is None:
        raise unknown(asked.node_id)
    return found


@endpoint("/api/nodes/{node_id}/timeline", may_miss=True)
async def timeline(sources: Sources, asked: TimelineAsked) -> read_timeline.Timeline:
    """What a node sent, its state, and its connections over time."""
    span = asked.range(sources.now())
    number = await sources.number_of(asked.node_id)
    return await read_timeline.timeline(sources.history, number, asked.node_id, *span)
