"""What the tests of the simulator share: servers that keep what nodes send."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.jip3.node_information import NodeInformation, decode_node_information
from telemetry_twisted.jip3.values import Event, decode_event


@define
class Received:
    """What one node sent: who it is, and its events."""

    data: bytes = b""

    def messages(self) -> list[bytes]:
        """The contents of whole messages; there must be nothing else."""
        contents, at = [], 0
        while at < len(self.data):
            (length,) = struct.unpack_from("<I", self.data, at)
            at += 4 + length
            contents.append(self.data[at - length : at])
        assert at == len(self.data), "the last message is cut short"
        return contents

    @property
    def information(self) -> NodeInformation:
        return decode_node_information(self.messages()[0])

    @property
    def events(self) -> list[Event]:
        node = self.information
        return [decode_event(each, node.cores, node.version) for each in self.messages()[1:]]


class MemoryTransport(StringTransport):
    """Keeps what it is given; pauses its producer once that is more than ``room`` bytes.

    It closes when it is told to, but not if it is ``stuck``.
    """

    def __init__(self, protocol: IProtocol, room: int, stuck: bool) -> None:
        super().__init__()
        self.protocol = protocol
        self.room = room
        self.stuck = stuck

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None and len(self.value()) > self.room:
            self.producer.pauseProducing()

    def loseConnection(self) -> None:
        super().loseConnection()
        if not self.stuck:
            self.close(ConnectionDone())

    def loseWriteConnection(self) -> None:
        """The server has read everything at once, and closes."""
        if not self.stuck:
            self.close(ConnectionDone())

    def abortConnection(self) -> None:
        self.close(ConnectionAborted())

    def close(self, reason: Exception) -> None:
        self.protocol.connectionLost(Failure(reason))


@implementer(IStreamClientEndpoint)
@define
class MemoryServer:
    """An endpoint whose connections are :class:`MemoryTransport`; it refuses ``refusals`` first."""

    refusals: int = 0
    room: int = 1 << 40
    stuck: bool = False
    transports: list[MemoryTransport] = field(factory=list)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        if self.refusals:
            self.refusals -= 1
            return fail(ConnectionRefusedError())
        protocol = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        assert protocol is not None
        transport = MemoryTransport(protocol, self.room, self.stuck)
        self.transports.append(transport)
        protocol.makeConnection(transport)
        return succeed(protocol)

    @property
    def received(self) -> list[Received]:
        return [Received(transport.value()) for transport in self.transports]


@pytest.fixture
def memory_server() -> Callable[..., MemoryServer]:
    """Makes a server without sockets."""
    return MemoryServer


class Sink(ServerFactory):
    """A TCP server that keeps what it is sent; closes connections beyond ``most`` at once."""

    def __init__(self, most: int = 1 << 20) -> None:
        self.most = most
        self.port: Any = None
        self.received: list[Received] = []
        self.open: set[Protocol] = set()
        self._waiting: list[Deferred[None]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port.getHost().port}"

    def buildProtocol(self, addr: object) -> Protocol:
        return SinkProtocol(self)

    def emptied(self) -> Deferred[None]:
        """Fires once no node is connected."""
        if not self.open:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def closed(self, protocol: Protocol) -> None:
        self.open.discard(protocol)
        if not self.open:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)


class SinkProtocol(Protocol):
    """One connection to a :class:`Sink`."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def connectionMade(self) -> None:
        if len(self.sink.received) >= self.sink.most:
            assert self.transport is not None
            self.transport.loseConnection()
            return
        self.sink.open.add(self)
        self.pieces: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        if self in self.sink.open:
            self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self in self.sink.open:
            self.sink.received.append(Received(b"".join(self.pieces)))
            self.sink.closed(self)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A TCP server on a free port."""
    sink = Sink()
    sink.port = reactor.listenTCP(0, sink, backlog=1024, interface="127.0.0.1")
    yield sink
    pytest_twisted.blockon(maybeDeferred(sink.port.stopListening))
