"""The connection of one node: its life, from being accepted until it ends.

What is read passes through three states, each a method that takes it and returns how much was
consumed: ``_node_information`` until the first message is whole, ``_admission`` until the hub has
said that the node may stay, and ``_events`` from then on. An admitted node's socket is read by the
pool, where there is one, and the connection is told of its end; otherwise, and over TLS, what the
transport reads goes through here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol as Structural
from typing import cast

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from telemetry_twisted.addresses import host_and_port
from telemetry_twisted.deadline import Deadline
from telemetry_twisted.jip3.codec import FrameTooLong
from telemetry_twisted.jip3.node_information import (
    NodeInformation,
    NodeInformationError,
    decode_node_information,
)

from .assembler import Assembler, Source
from .gate import Gate
from .pool import READ_BYTES
from .pool_reader import PoolReader
from .unfinished import Unfinished

INFORMATION_TIMEOUT = 10.0
"""Seconds within which a node has to introduce itself (protocol, "What bad input gets")."""

_LENGTH = struct.Struct("<I")


@frozen
class Ending:
    """Why a connection ended: ``kind`` is counted, ``reason`` is read by people."""

    kind: str
    reason: str


LEFT = Ending("left", "the node closed the connection")

TLS_ERROR = "OpenSSL.SSL.Error"
"""By its name: where TLS is not spoken, OpenSSL is not even imported."""

NO_TLS = Ending("no_tls", "it did not agree on TLS, which an ssl: --telemetry-endpoint expects")

MISTAKE = Ending("server_mistake", "the server made a mistake with it, which its log tells of")


class Registry(Structural):
    """Who is told of the connections of this process."""

    def node_introduced(self, node: NodeProtocol, information: NodeInformation) -> None:
        """The first message is in; the connection waits for :meth:`NodeProtocol.admit`."""

    def node_ended(self, node: NodeProtocol, ending: Ending) -> None:
        """The connection is gone."""

    def node_failed(self, node: NodeProtocol, failure: Failure) -> None:
        """A mistake of the server's own was made with what it sent; its connection is closed."""


class NodeProtocol(Protocol):
    """Reads one node's frames, split over reads at any byte, until the pool does.

    :param connection: number of the connection in this process.
    :param pool: what reads from an admitted node, or None where the transport does.
    :param max_message_size: longest message content, in bytes.
    :param rate_limit: events a second, 0 where there is no limit.
    """

    source: Source | None = None

    def __init__(
        self,
        connection: int,
        registry: Registry,
        assembler: Assembler,
        pool: PoolReader | None,
        gate: Gate,
        clock: IReactorTime,
        max_message_size: int,
        rate_limit: int,
    ) -> None:
        self.connection = connection
        self._registry = registry
        self._assembler = assembler
        self._pool = pool
        self._gate = gate
        self._clock = clock
        self._max_message_size = max_message_size
        self._rate_limit = rate_limit
        self._consume: Callable[[bytes], int] = self._node_information
        self._held = Unfinished(max_message_size)
        self._reading = True
        self._pooled = False
        self._ended = False
        self._heard = clock.seconds()
        self._ending = LEFT
        self._due = Deadline(clock, self._timed_out)

    def connectionMade(self) -> None:
        self._transport = cast(Connection, self.transport)
        self._transport.bufferSize = READ_BYTES
        self._transport.setTcpKeepAlive(True)
        self._due.set(INFORMATION_TIMEOUT)

    @property
    def address(self) -> str:
        """Where the node connects from, as ``host:port``."""
        peer = self._transport.getPeer()
        return host_and_port(peer.host, peer.port)

    @property
    def silent(self) -> float:
        """For how many seconds it has sent nothing; 0 while it is not read from, which can be why.

        Raw bytes count, whether they make a whole frame or not.
        """
        if self._pool is not None and self._pooled:
            return self._pool.silent(self)
        return self._clock.seconds() - self._heard if self._reading else 0.0

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._clock.seconds()
        if not self._reading:
            # What came in one read comes piece by piece over TLS, and cannot be stopped within.
            self._held.add(data)
            return
        if self._held:
            self._held.add(data)
            if not self._held.whole:
                return
            data = self._held.take()
        if self._gate.closed:
            if self._keep(data, 0):
                self._gate.hold(self)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            consumed = self._consume(data)
        except FrameTooLong as error:
            self._end_too_long(error)
        except Exception:
            # It stays with this node, whoever has called: others that were held are to go on.
            self.failed(Failure())
        else:
            if consumed < len(data):
                self._keep(data, consumed)

    def _keep(self, data: bytes, start: int) -> bool:
        """Hold ``data`` from ``start`` on until its first frame is whole; False if it is over."""
        try:
            self._held.keep(data, start)
        except FrameTooLong as error:
            self._end_too_long(error)
            return False
        return True

    def _end_too_long(self, error: FrameTooLong) -> None:
        self.end(Ending("too_long", str(error)))

    def hold(self) -> None:
        """Stop reading until :meth:`go_on`, for which nothing is due."""
        self._reading = False
        self._due.set(None)
        self._transport.pauseProducing()

    def go_on(self) -> None:
        """Consume what was held and read on, unless that was the node's introduction."""
        was_reading, self._reading = self._reading, True
        if self._consume == self._node_information:
            self._due.set(INFORMATION_TIMEOUT)
        if self._held:
            self._take(self._held.take())
        if self._reading and not was_reading and not self._ended:
            if self._pool is not None and self.source is not None:
                self._join(self._pool, self.source)
            else:
                self._transport.resumeProducing()

    def _join(self, pool: PoolReader, source: Source) -> None:
        """Have the socket read by ``pool`` from now on."""
        rest = self._held.take()
        try:
            pool.join(self, source, rest, self._rate_limit)
        except OSError:
            self.failed(Failure())
        else:
            self._pooled = True

    def fileno(self) -> int:
        """Implements :meth:`.Pooled.fileno`."""
        return self._transport.fileno()

    def reading_ended(self, why: Exception | None) -> None:
        """Implements :meth:`.Pooled.reading_ended`."""
        if why is None or isinstance(why, OSError):
            # The transport does not read, so it does not see this for itself.
            self._transport.connectionLost(
                Failure(CONNECTION_DONE if why is None else CONNECTION_LOST)
            )
        elif isinstance(why, FrameTooLong):
            self._end_too_long(why)
        else:
            self.failed(Failure(why))

    def failed(self, failure: Failure) -> None:
        """Implements :meth:`.Pooled.failed`."""
        self._registry.node_failed(self, failure)
        self.end(MISTAKE)

    def _node_information(self, data: bytes) -> int:
        if len(data) < _LENGTH.size:
            return 0
        length: int = _LENGTH.unpack_from(data)[0]
        if length > self._max_message_size:
            raise FrameTooLong(length, self._max_message_size)
        end = _LENGTH.size + length
        if len(data) < end:
            return 0
        self._due.set(None)
        try:
            information = decode_node_information(data[_LENGTH.size : end])
        except NodeInformationError as error:
            self.end(Ending("bad_information", str(error)))
            return len(data)
        self._consume = self._admission
        self.hold()
        self._registry.node_introduced(self, information)
        return end

    def _admission(self, _data: bytes) -> int:
        return 0

    def admit(self, source: Source) -> None:
        """The node may stay: its events go to ``source`` from now on."""
        self.source = source
        self._consume = self._events
        if self._gate.closed:
            self._gate.hold(self)
        else:
            self.go_on()

    def _events(self, data: bytes) -> int:
        assert self.source is not None
        return self._assembler.feed(self.source, data)

    def end(self, ending: Ending) -> None:
        """Close the connection because of ``ending``."""
        self._ending = ending
        self._ended = True
        self._consume = len
        self._held.clear()
        self._due.set(None)
        if self._pool is not None:
            self._pool.leave(self)
        self._transport.abortConnection()

    def _timed_out(self) -> None:
        self.end(
            Ending("no_information", f"no node information within {INFORMATION_TIMEOUT:.0f} s")
        )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._due.is_set and reason.check(TLS_ERROR) is not None:
            self._ending = NO_TLS
        self._due.set(None)
        if self.source is not None and self._held:
            # The gate held it back, and there will be no other time.
            self._take(self._held.take())
            self._held.clear()
        self._consume = len
        self._registry.node_ended(self, self._ending)
