"""The nodes that are connected, whichever process serves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

from attrs import define

from telemetry_twisted.addresses import host_of
from telemetry_twisted.clock import Now
from telemetry_twisted.networks import share_of

LIVE_SECONDS = 10.0
"""A connection that has sent something within so long is live (protocol, "What bad input gets")."""


class Server(Protocol):
    """The ingestion process of a node, as the table sees it."""

    def admit(self, connection: int, handle: int, after_id: int) -> None:
        """Let the node's events come, under ``handle``, with ids above ``after_id``."""

    def dismiss(self, connection: int, kind: str, reason: str) -> None:
        """Close the connection; its end will be reported."""

    def challenge(self, connection: int) -> None:
        """Ask when the connection last sent something (:meth:`NodeTable.answered`)."""


@define(eq=False)
class Node:
    """A connected node.

    ``handle`` stands for it on the links, ``connected`` is Unix time, ``info`` what it said of
    itself (JIP-3, node information). ``best``, ``finalized`` (``{slot, hash}``), ``synced`` and the
    number of its ``peers`` are the newest that it reported, None before that; its slots may be any.
    """

    node_id: str
    handle: int
    server: Server
    connection: int
    address: str
    connected: float
    info: dict[str, Any]
    best: dict[str, Any] | None = None
    finalized: dict[str, Any] | None = None
    synced: bool | None = None
    peers: int | None = None

    @property
    def network(self) -> str:
        """The genesis hash of its network, ``0x`` and 64 hex digits."""
        return str(self.info.get("genesis", ""))


@define(eq=False)
class _Applicant:
    """A connection that has introduced itself as ``node_id``."""

    server: Server
    connection: int
    node_id: str
    address: str
    info: dict[str, Any]

    def dismiss(self, kind: str, reason: str) -> None:
        self.server.dismiss(self.connection, kind, reason)


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
        """A connection that introduced itself as ``node_id`` may not stay."""


class NodeTable:
    """Admits at most ``max_nodes`` nodes, one connection each.

    Anyone can introduce himself as any node, since JIP-3 proves nothing. So a newcomer takes an ID
    over from a connection of its own address, or from one that is not live; one that is live stays,
    and the newcomer is refused. Whether it is live is known to the process that serves it, which is
    asked at that moment and at no other. A newcomer that takes over is admitted when the older
    connection has ended, so that the events of the two do not mix.

    :param takeover_any: let newcomers take over from live connections of other addresses as well.
    """

    def __init__(
        self, max_nodes: int, watcher: Watcher, now: Now, takeover_any: bool = False
    ) -> None:
        self.max_nodes = max_nodes
        self._now = now
        self._watcher = watcher
        self._takeover_any = takeover_any
        self._nodes: dict[str, Node] = {}
        self._by_connection: dict[tuple[Server, int], Node] = {}
        self._by_handle: dict[int, Node] = {}
        self._free_handles: list[int] = []
        self._waiting: dict[tuple[Server, int], _Applicant] = {}
        self._successors: dict[str, _Applicant] = {}
        self._contenders: dict[str, list[_Applicant]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def get(self, node_id: str) -> Node | None:
        """The connected node of that ID."""
        return self._nodes.get(node_id)

    def at_handle(self, handle: int) -> Node | None:
        """The node that ``handle`` stands for."""
        return self._by_handle.get(handle)

    def of(self, server: Server, connection: int) -> Node | None:
        """The node that a connection is of, None if it was not admitted."""
        return self._by_connection.get((server, connection))

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
        if holder is None:
            if len(self._nodes) < self.max_nodes:
                self._admit(applicant)
            else:
                reason = f"{self.max_nodes} nodes are connected, as many as --max-nodes allows"
                self._refuse(applicant, "refused", reason)
            return
        successor = self._successors.get(node_id)
        older = successor or holder
        if self._takeover_any or _same_place(older.address, address):
            self._take_over(applicant, older)
        elif successor is not None:
            self._refuse_as_taken(applicant, successor.address)
        else:
            self._contend(applicant, holder)

    def _take_over(self, applicant: _Applicant, older: Node | _Applicant) -> None:
        self._successors[applicant.node_id] = applicant
        self._waiting[applicant.server, applicant.connection] = applicant
        older.server.dismiss(
            older.connection, "replaced", f"a newer connection came from {applicant.address}"
        )

    def _contend(self, applicant: _Applicant, holder: Node) -> None:
        contenders = self._contenders.setdefault(applicant.node_id, [])
        contenders.append(applicant)
        self._waiting[applicant.server, applicant.connection] = applicant
        if len(contenders) == 1:
            holder.server.challenge(holder.connection)

    def answered(self, server: Server, connection: int, silent: float) -> None:
        """The connection that was asked has been silent for so many seconds."""
        holder = self._by_connection.get((server, connection))
        contenders = [] if holder is None else self._contenders.pop(holder.node_id, [])
        if holder is None or not contenders:
            return
        if silent >= LIVE_SECONDS and holder.node_id not in self._successors:
            self._take_over(contenders.pop(), holder)
        for contender in contenders:
            self._refuse_as_taken(contender, holder.address)

    def _refuse_as_taken(self, applicant: _Applicant, address: str) -> None:
        reason = (
            f"a connection from {address} has the same node ID and is live, and --takeover is quiet"
        )
        self._refuse(applicant, "id_taken", reason)

    def _refuse(self, applicant: _Applicant, kind: str, reason: str) -> None:
        self._waiting.pop((applicant.server, applicant.connection), None)
        applicant.dismiss(kind, reason)
        self._watcher.node_refused(applicant.node_id, reason)

    def _admit(self, applicant: _Applicant) -> None:
        handle = self._free_handles.pop() if self._free_handles else len(self._by_handle)
        node = Node(
            applicant.node_id,
            handle,
            applicant.server,
            applicant.connection,
            applicant.address,
            self._now(),
            applicant.info,
        )
        self._nodes[node.node_id] = node
        self._by_handle[handle] = node
        self._by_connection[node.server, node.connection] = node
        self._watcher.node_connected(node)
        node.server.admit(node.connection, handle, self._watcher.last_id)

    def ended(self, server: Server, connection: int, kind: str, reason: str) -> None:
        """A connection has ended, whatever state it was in."""
        node = self._by_connection.pop((server, connection), None)
        if node is None:
            self._forget(server, connection)
            return
        del self._nodes[node.node_id]
        del self._by_handle[node.handle]
        self._free_handles.append(node.handle)
        self._watcher.node_gone(node, kind, reason)
        contenders = self._contenders.pop(node.node_id, [])
        successor = self._successors.pop(node.node_id, None)
        if successor is None and contenders:
            successor = contenders.pop()
        if successor is not None:
            del self._waiting[successor.server, successor.connection]
            self._admit(successor)
            for contender in contenders:
                self._refuse_as_taken(contender, successor.address)

    def _forget(self, server: Server, connection: int) -> None:
        """A connection has ended that was not admitted."""
        applicant = self._waiting.pop((server, connection), None)
        if applicant is None:
            return
        if self._successors.get(applicant.node_id) is applicant:
            del self._successors[applicant.node_id]
        contenders = self._contenders.get(applicant.node_id, [])
        if applicant in contenders:
            contenders.remove(applicant)
            if not contenders:
                del self._contenders[applicant.node_id]

    def server_lost(self, server: Server) -> None:
        """All connections of an ingestion process have ended with it."""
        for holder, connection in list(self._waiting):
            if holder is server:
                self._forget(server, connection)
        with ExitStack() as endings:  # all of them, whatever goes wrong with one
            for holder, connection in list(self._by_connection):
                if holder is server:
                    reason = "its ingestion process ended"
                    endings.callback(self.ended, server, connection, "lost", reason)


def _same_place(address: str, other: str) -> bool:
    """Whether two addresses with ports are those of one customer of the internet."""
    return share_of(host_of(address)) == share_of(host_of(other))
