"""A node that connects, sends what the account is told of, and connects again."""

from __future__ import annotations

import time
from random import Random
from typing import Any, cast

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from telemetry_twisted.jip3.encoder import encode_node_information, frame
from telemetry_twisted.jip3.table import TABLE

from .account import Account, NodeConnection

AGAIN_SECONDS = (0.1, 2.0)
"""How long a node that lost its connection waits before it connects again."""


def information(node_id: str) -> bytes:
    """The first message of a node, as it is sent."""
    parameters: dict[str, Any] = {name: 0 for name, _ in TABLE.parameters["gp-0.7"]}
    told = {
        "params": {**parameters, "core_count": 2},
        "genesis": "0x" + "00" * 32,
        "details": {"peer_id": f"0x{node_id}", "peer_address": {"ipv6": "10.0.0.7", "port": 1}},
        "flags": 0,
        "implementation_name": "soak",
        "implementation_version": "1",
        "gp_version": "0.7.2",
        "additional_info": "",
    }
    return frame(encode_node_information(told, layout="gp-0.7", version=0))


class Node(Protocol):
    """One node through all its connections, one at a time."""

    def __init__(
        self, reactor: Any, port: int, node_id: str, account: Account, random: Random
    ) -> None:
        self.node_id = node_id
        self.connection: NodeConnection | None = None
        self._reactor = reactor
        self._endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self._account = account
        self._random = random
        self._leaving = "cut"
        self._ended = False

    def connect(self) -> None:
        """Connect now; a connection that is refused is tried again."""
        if self._ended:
            return
        factory = Factory.forProtocol(lambda: self)
        factory.noisy = False
        self._endpoint.connect(factory).addErrback(lambda _: self._later())

    def _later(self) -> None:
        if not self._ended:
            cast(IReactorTime, self._reactor).callLater(
                self._random.uniform(*AGAIN_SECONDS), self.connect
            )

    def connectionMade(self) -> None:
        self._leaving = "cut"
        self.connection = self._account.open(self.node_id)
        self._transport.write(information(self.node_id))

    @property
    def _transport(self) -> Connection:
        return cast(Connection, self.transport)

    def report(self, count: int) -> None:
        """Send ``count`` events, if connected."""
        if self.connection is not None:
            self._transport.write(self.connection.events(count))
            self._account.done["events sent"] += count

    def leave(self, kind: str) -> None:
        """Close the connection: ``left`` in peace, after what was sent, or ``reset`` at once."""
        if self.connection is None:
            return
        self._leaving = kind
        if kind == "left":
            self._transport.loseConnection()
        else:
            self._transport.abortConnection()

    def end(self) -> None:
        """Close the connection for good."""
        self._ended = True
        self.leave("left")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.connection is not None
        self.connection.ended = self._leaving
        self.connection.ended_at = time.monotonic()
        self._account.done[f"connections {self._leaving}"] += 1
        self.connection = None
        self._later()
