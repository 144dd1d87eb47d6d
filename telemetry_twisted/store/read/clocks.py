"""By how much the clocks of nodes are off, as far as what they send tells."""

from __future__ import annotations

from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.sum_tables import OF_NODES
from telemetry_twisted.timestamps import rfc3339

from .history import History
from .latencies import node_ids
from .networks import Network
from .ranges import whole
from .shapes import Answer, Genesis, Next, NodeId, Range
from .sums import rows_of

MOST_LISTED = 6
"""Buckets that a list of all nodes reads, at most, unless only those of a day are there."""

LONGEST_DAYS = 2
"""Days over which the clocks of all nodes are told, at most."""


class NodeClock(Answer):
    """By how much events of a node arrived after the time that it gave them, at least and at most,
    in milliseconds. A clock that is ahead makes it negative; the least is the clock's offset and
    the shortest way together, which nothing tells apart."""

    node_id: NodeId
    least_ms: float
    greatest_ms: float


class Clocks(Range):
    """The clocks of nodes, those first that are off the most."""

    genesis: Genesis | None
    clocks: list[NodeClock]
    next: Next


async def clocks(
    history: History, network: Network, begin: float, end: float, offset: int, limit: int
) -> Clocks:
    """The clocks of nodes over a range, or over the last :data:`LONGEST_DAYS` of it."""
    begin = max(begin, end - LONGEST_DAYS * DAY)
    span = whole(begin, end, history.now(), history.policy.sums, MOST_LISTED)
    bounds: dict[int, tuple[int, int]] = {}
    columns = ("node", "clock_least", "clock_greatest")
    for _, node, least, greatest in await rows_of(
        history, OF_NODES, span, columns, {"network": network.number}
    ):
        if least is not None:
            before = bounds.get(node, (least, greatest))
            bounds[node] = min(before[0], least), max(before[1], greatest)
    ranked = sorted(bounds, key=lambda node: (-abs(bounds[node][0]), node))
    shown = ranked[offset : offset + limit]
    ids = await node_ids(history, shown)
    return Clocks(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        genesis=network.genesis,
        clocks=[
            NodeClock(
                node_id=ids[node],
                least_ms=bounds[node][0] / 1000,
                greatest_ms=bounds[node][1] / 1000,
            )
            for node in shown
            if node in ids
        ],
        next=offset + limit if len(ranked) > offset + limit else None,
    )
