"""The connections of one ingestion process, from being accepted until they end."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import ServerFactory

from telemetry_twisted.addresses import read_address
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.networks import Networks
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link

from .node import LEFT, Ending, NodeProtocol

NO_DESCRIPTOR = Ending(
    "unserved", "no file descriptors are left; raise the limit on open files (ulimit -n)"
)

CROWDED_OUT = Ending(
    "crowded_out", "it had said nothing, and there was no room for as many that say nothing"
)


class Connections:
    """Takes up what is accepted, and tells the hub of each connection's beginning and end.

    ``nodes`` holds those that are open, by the number that each has in this process.

    :param networks: where connections may come from; None for anywhere.
    :param build: makes the protocol of a connection with a number.
    :param most_silent: connections that have not introduced themselves, at most. One more, and the
        oldest of them ends: strangers that say nothing hold no place that a node could have.
    :param secured: makes a factory of those that speak TLS, where it is spoken.
    """

    def __init__(
        self,
        reactor: IServerReactor,
        link: Link,
        build: Callable[[int], NodeProtocol],
        most_silent: int,
        networks: Networks | None = None,
        secured: Callable[[ServerFactory], Any] | None = None,
    ) -> None:
        self.nodes: dict[int, NodeProtocol] = {}
        self._reactor = reactor
        self._link = link
        self._build = build
        self._most_silent = most_silent
        self._networks = networks
        self._secured = secured
        self._silent: dict[int, NodeProtocol] = {}
        self._last = 0

    def connection_accepted(self, accepted: socket.socket, host: str) -> None:
        with accepted:
            number = self._begin(host)
            if not self._allows(host):
                reason = f"{host} is in none of the networks of --allow-node-networks"
                self._end(number, Ending("network_not_allowed", reason))
                return
            factory = self._factory(number)
            try:
                self._reactor.adoptStreamConnection(accepted.fileno(), accepted.family, factory)
            except OSError as error:
                # A connection that was reset meanwhile has no peer any more.
                exhausted = error.errno in (errno.EMFILE, errno.ENFILE)
                self._end(number, NO_DESCRIPTOR if exhausted else LEFT)

    def _factory(self, number: int) -> Any:
        factory = _NodeFactory(self, number)
        return factory if self._secured is None else self._secured(factory)

    def _allows(self, host: str) -> bool:
        return self._networks is None or read_address(host) in self._networks

    def connection_shed(self, host: str) -> None:
        self._end(self._begin(host), NO_DESCRIPTOR)

    def turn_done(self) -> None:
        self._link.flush()

    def permits_returned(self, count: int) -> None:
        self._link.send(records.encode_json(records.RETURNED, {"count": count, "more": False}))

    def permits_wanted(self) -> None:
        self._link.send(records.encode_json(records.RETURNED, {"count": 0, "more": True}))

    def _begin(self, host: str) -> int:
        self._last += 1
        begun = {"connection": self._last, "host": host}
        self._link.queue(records.encode_json(records.ACCEPTED, begun))
        return self._last

    def build_node(self, number: int) -> NodeProtocol:
        """The protocol of a connection that has been accepted."""
        node = self.nodes[number] = self._silent[number] = self._build(number)
        if len(self._silent) > self._most_silent:
            self._silent.pop(next(iter(self._silent))).end(CROWDED_OUT)
        return node

    def introduced(self, node: NodeProtocol) -> None:
        """It is silent no more."""
        self._silent.pop(node.connection, None)

    def ended(self, node: NodeProtocol, ending: Ending) -> None:
        """It is gone, and all that it sent has been handed on."""
        del self.nodes[node.connection]
        self._silent.pop(node.connection, None)
        self._end(node.connection, ending)

    def _end(self, number: int, ending: Ending) -> None:
        gone = {"connection": number, "kind": ending.kind, "reason": ending.reason}
        self._link.send(records.encode_json(records.GONE, gone))


class _NodeFactory(ServerFactory):
    noisy = False

    def __init__(self, connections: Connections, number: int) -> None:
        self._connections = connections
        self._number = number

    def buildProtocol(self, _address: object) -> NodeProtocol:
        return self._connections.build_node(self._number)
