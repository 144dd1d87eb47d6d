"""Who is connected, and under which handle of the link: what comings and goings tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from telemetry_twisted.jip3.cores import believed

from .changes import Changes
from .facts import Origin
from .text import clean

MOST_NODES = 20_000
"""Nodes of which it waits to be written what they said of themselves; each takes some kilobytes."""

END_LOST = "its end was lost"
"""Why a connection ended of which it is only known that it is no more."""


@frozen
class Connection:
    """A connection of a node: where from, and how it ended if it has. Times in microseconds."""

    node_id: str
    started: int
    address: str
    ended: int | None = None
    reason: str | None = None

    def over(self, at: int, reason: str) -> Connection:
        """The connection, ended ``at`` a time, and not before it began, for a reason."""
        return evolve(self, ended=max(at, self.started), reason=clean(reason))


@frozen
class Node:
    """What a node said of itself when it last connected, and when it was seen (microseconds)."""

    address: str
    info: dict[str, Any]
    cores: int | None
    version: int
    first_seen: int
    last_seen: int


def _read(body: Mapping[str, Any]) -> tuple[Node, Connection]:
    """What a ``NODE_CONNECTED`` record says."""
    started, address = body["connected"], clean(body["address"])
    cores = believed(body["cores"])
    node = Node(address, body["info"], cores, body["version"], started, started)
    return node, Connection(body["node_id"], started, address)


def _nobody(_: Connection) -> None:
    """Who is told of connections that end where nobody wants to know."""


class Presence:
    """The nodes that are connected, and what changes of ``nodes`` and ``connections``.

    A handle goes on standing for a node that has gone, for what is still on its way from its
    process, until another node has it.

    :param lost: where changes are counted that are let go of, for there are too many.
    :param over: is told of each connection that has ended.
    """

    def __init__(self, lost: Counter[str], over: Callable[[Connection], object] = _nobody) -> None:
        self._over = over
        self._origins: dict[int, Origin] = {}
        self._connected: dict[int, tuple[Node, Connection]] = {}
        self.connections: Changes[tuple[str, int], Connection] = Changes(
            "connections", lost, spared=lambda _, connection: connection.ended is None
        )
        self.nodes: Changes[str, Node] = Changes("nodes", lost, MOST_NODES)

    @property
    def origins(self) -> Mapping[int, Origin]:
        """Whose messages come under which handle."""
        return self._origins

    def networks(self) -> dict[str, str]:
        """The network, a genesis hash, of each node that is connected, by its ID."""
        handles = self._connected
        return {
            origin.node_id: origin.genesis
            for handle, origin in self._origins.items()
            if handle in handles
        }

    def origin(self, handle: int) -> Origin | None:
        """Whose messages come under ``handle``, if it is known."""
        return self._origins.get(handle)

    def node_at(self, handle: int) -> str:
        """The ID of the node that ``handle`` stands for, empty if there was none."""
        origin = self._origins.get(handle)
        return origin.node_id if origin else ""

    def connected(self, body: Mapping[str, Any]) -> None:
        """Take a ``NODE_CONNECTED`` record."""
        handle, (node, connection) = body["handle"], _read(body)
        before = self._connected.get(handle)
        if before is not None and before[1] != connection:
            self._end(handle, connection.started, END_LOST)
        self._origins[handle] = Origin(
            connection.node_id,
            node.cores,
            node.version,
            clean(node.info.get("genesis", "")),
            connection.started,
        )
        self._connected[handle] = node, connection
        self._change(node, connection)

    def gone(self, body: Mapping[str, Any]) -> str | None:
        """Take a ``NODE_GONE`` record; return the ID of the node, None if it was not there."""
        _, connection = self._connected.get(body["handle"], (None, None))
        if connection is None or connection.node_id != body["node_id"]:
            return None  # its coming was lost on the way here
        self._end(body["handle"], body["disconnected"], body["reason"])
        return connection.node_id

    def resume(self, bodies: Iterable[Mapping[str, Any]], now: int) -> list[str]:
        """Take the nodes of a ``RESUME`` record: these are there at ``now``, and no others.

        Returns the IDs of those that are there no longer.
        """
        there = {body["handle"]: body for body in bodies}
        gone = []
        for handle, (_, connection) in list(self._connected.items()):
            if handle not in there or _read(there[handle])[1] != connection:
                self._end(handle, now, END_LOST)
                gone.append(connection.node_id)
        for body in there.values():
            self.connected(body)
        return gone

    def learn_cores(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Take a ``STATE`` record: it tells core counts that were not known."""
        for handle, state in states.items():
            node, connection = self._connected.get(int(handle), (None, None))
            cores = state.get("cores")
            if connection is not None and node is not None and node.cores is None and cores:
                node = evolve(node, cores=cores)
                self._connected[int(handle)] = node, connection
                self.nodes[connection.node_id] = node

    def repeat(self) -> None:
        """Say again who is there: another server may have taken this one for dead."""
        for node, connection in self._connected.values():
            self._change(node, connection)

    def end_all(self, now: int, reason: str) -> None:
        """Nobody is there any more."""
        for handle in list(self._connected):
            self._end(handle, now, reason)

    def _end(self, handle: int, at: int, reason: str) -> None:
        node, connection = self._connected.pop(handle)
        ended = connection.over(at, reason)
        assert ended.ended is not None
        self._over(ended)
        self._change(evolve(node, last_seen=ended.ended), ended)

    def _change(self, node: Node, connection: Connection) -> None:
        self.nodes[connection.node_id] = node
        self.connections[connection.node_id, connection.started] = connection
