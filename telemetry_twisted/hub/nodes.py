"""The nodes that are connected, whichever process serves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from attrs import define

from telemetry_twisted.clock import Now


class Server(Protocol):
    """The ingestion process of a node, as the table sees it."""

    def admit(self, connection: int, slot: int, after_id: int) -> None:
        """Let the node's events come, under ``slot``, with ids above ``after_id``."""

    def dismiss(self, connection: int, kind: str, reason: str) -> None:
        """Close the connection; its end will be reported."""


@define(eq=False)
class Node:
    """A connected node.

    ``slot`` stands for it on the links, ``connected`` is Unix time, ``info`` what it said of itself
    (JIP-3, node information). ``best``, ``finalized`` (``{slot, hash}``) and ``synced`` are the
    newest that it reported, None before that.
    """

    node_id: str
    slot: int
    server: Server
    connection: int
    address: str
    connected: float
    info: dict[str, Any]
    best: dict[str, Any] | None = None
    finalized: dict[str, Any] | None = None
    synced: bool | None = None


@define(eq=False)
class _Applicant:
    """A connection that has introduced itself as ``node_id``."""

    server: Server
    connection: int
    node_id: str
    address: str
    info: dict[str, Any]


class Watcher(Protocol):
    """Who is told of nodes that come and go.

    ``last_id`` is the highest id of an event so far.
    """

    last_id: int

    def node_connected(self, node: Node) -> None:
        """``node`` was admitted; its events follow."""

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        """``node`` is gone; its last event was before this."""

    def node_refused(self, node_id: str, reason: str) -> None:
        """There is no room for ``node_id``."""


class NodeTable:
    """Admits at most ``max_nodes`` nodes, one connection each: the newest wins.

    A newcomer that takes over an ID is admitted when the older connection has ended, so that the
    events of the two do not mix.
    """

    def __init__(self, max_nodes: int, watcher: Watcher, now: Now) -> None:
        self.max_nodes = max_nodes
        self._now = now
        self._watcher = watcher
        self._nodes: dict[str, Node] = {}
        self._by_connection: dict[tuple[Server, int], Node] = {}
        self._by_slot: dict[int, Node] = {}
        self._successors: dict[str, _Applicant] = {}
        self._free_slots: list[int] = []

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def get(self, node_id: str) -> Node | None:
        """The connected node of that ID."""
        return self._nodes.get(node_id)

    def at_slot(self, slot: int) -> Node | None:
        """The node that ``slot`` stands for."""
        return self._by_slot.get(slot)

    def apply(
        self,
        server: Server,
        connection: int,
        node_id: str,
        address: str,
        info: dict[str, Any],
    ) -> None:
        """A connection has introduced itself: admit it, let it wait for its turn, or refuse it."""
        applicant = _Applicant(server, connection, node_id, address, info)
        holder = self._nodes.get(node_id)
        if holder is not None:
            earlier = self._successors.get(node_id)
            self._successors[node_id] = applicant
            replaced = earlier or holder
            replaced.server.dismiss(
                replaced.connection, "replaced", f"a newer connection came from {address}"
            )
        elif len(self._nodes) >= self.max_nodes:
            reason = f"{self.max_nodes} nodes are connected, as many as --max-nodes allows"
            server.dismiss(connection, "refused", reason)
            self._watcher.node_refused(node_id, reason)
        else:
            self._admit(applicant)

    def _admit(self, applicant: _Applicant) -> None:
        slot = self._free_slots.pop() if self._free_slots else len(self._by_slot)
        node = Node(
            applicant.node_id,
            slot,
            applicant.server,
            applicant.connection,
            applicant.address,
            self._now(),
            applicant.info,
        )
        self._nodes[node.node_id] = node
        self._by_slot[slot] = node
        self._by_connection[node.server, node.connection] = node
        self._watcher.node_connected(node)
        node.server.admit(node.connection, slot, self._watcher.last_id)

    def ended(self, server: Server, connection: int, kind: str, reason: str) -> None:
        """A connection has ended, whatever state it was in."""
        node = self._by_connection.pop((server, connection), None)
        if node is None:
            for node_id, applicant in self._successors.items():
                if (applicant.server, applicant.connection) == (server, connection):
                    del self._successors[node_id]
                    return
            return
        del self._nodes[node.node_id]
        del self._by_slot[node.slot]
        self._free_slots.append(node.slot)
        self._watcher.node_gone(node, kind, reason)
        successor = self._successors.pop(node.node_id, None)
        if successor is not None:
            self._admit(successor)

    def server_lost(self, server: Server) -> None:
        """All connections of an ingestion process have ended with it."""
        for node_id, applicant in list(self._successors.items()):
            if applicant.server is server:
                del self._successors[node_id]
        for holder, connection in list(self._by_connection):
            if holder is server:
                self.ended(server, connection, "lost", "its ingestion process ended")
