"""A record as it is kept for the store, and what it says of who is connected."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.transport import records

from .tally import Gap

RECORD_BYTES = 200
"""What a record takes in memory beside its own bytes, and a connection in a state."""


@define(eq=False)
class Connection:
    """A connection of a node: ``body`` is that of its ``NODE_CONNECTED``.

    With record ``number`` committed, its row is there; None while no record says so.
    """

    handle: int
    node_id: str
    body: bytes
    number: int | None = None


State = dict[int, Connection]
"""Who is connected, by handle."""


@define(eq=False)
class Record:
    """A record with its number, and when it came (microseconds of Unix time).

    ``size`` is what it takes in memory, in bytes. ``connection`` is the one that begins or ends
    with it. A ``RESUME`` has no bytes before it is sent: it tells of ``state``, and of a ``gap`` if
    there was one.
    """

    number: int
    kind: int
    whole: bytes
    came: int
    connection: Connection | None = None
    gap: Gap | None = None
    state: State | None = None
    size: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.size = len(self.whole) + RECORD_BYTES * (1 + len(self.state or ()))

    @property
    def body(self) -> memoryview:
        """Its body, unless it tells of a gap."""
        return memoryview(self.whole)[records.PREFIX.size :]

    def encode(self) -> bytes:
        """As it goes over the link."""
        if self.state is None:
            return self.whole
        head = b'{"first":%d,"nodes":[' % (self.number + 1)
        nodes = b",".join(connection.body for connection in self.state.values())
        gap = b"null" if self.gap is None else records.json_body(self.gap.as_json())
        return records.encode_record(records.RESUME, head, nodes, b'],"gap":%s}' % gap)

    def enter(self, state: State) -> tuple[State, Sequence[Connection]]:
        """The state after this record, and the connections that have ended with it.

        :param state: before it; not to be used any more.
        """
        if self.state is not None:
            after = self.state
            return after, [each for each in state.values() if after.get(each.handle) is not each]
        if self.connection is None:
            return state, ()
        ended = state.pop(self.connection.handle, None)
        if self.kind == records.NODE_CONNECTED:
            state[self.connection.handle] = self.connection
        return state, () if ended is None else (ended,)


def connected_body(node: Node) -> bytes:
    """The body of ``node``'s ``NODE_CONNECTED``."""
    return records.json_body(
        {
            "handle": node.handle,
            "node_id": node.node_id,
            "connection": node.connection,
            "address": node.address,
            "info": node.info,
            "cores": node.info["params"]["core_count"],
            "version": node.info["version"],
            "connected": int(node.connected * 1_000_000),
        }
    )


def gone_body(node: Node, now: float, reason: str) -> bytes:
    """The body of the ``NODE_GONE`` of ``node``, which goes at ``now``, in Unix time."""
    return records.json_body(
        {
            "handle": node.handle,
            "node_id": node.node_id,
            "connection": node.connection,
            "disconnected": int(now * 1_000_000),
            "reason": reason,
        }
    )
