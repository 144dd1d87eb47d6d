"""The transport of a subscriber: what Autobahn writes goes the way that events go.

Autobahn makes the opening handshake and reads what the client sends; what it writes meanwhile, and
how it ends the connection, comes here, and from here to the connection's
:class:`~telemetry_twisted.transport.sender.Sender`, beside which nothing writes to the client.

The connection's own transport goes on to read, and to tell when there is room. A client that does
not take the answers that it is sent is not read from either, so what it asks for waits with itself.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from twisted.internet.interfaces import (
    IAddress,
    IPullProducer,
    IPushProducer,
    IReactorTime,
    ITransport,
)
from zope.interface import implementer

from telemetry_twisted.transport.progress import accepted_bytes, socket_under
from telemetry_twisted.transport.sender import Sender, State
from telemetry_twisted.transport.sink import Piece, Sink

TURN_BYTES = 1 << 20
"""How much is written to one subscriber before the others have their turn."""

UNSENT_BYTES = 1 << 18
"""How much the system holds, at most, that it has not sent.

Left to itself it takes 4 MiB and more of what a slow client does not read yet. A pong would go out
behind all of that, which is longer than clients wait for it.
"""

_CLOSE = b"\x88"
"""How close frames begin (RFC 6455, 5.2)."""

_AHEAD = (b"H", b"\x89", b"\x8a")
"""How the answer to the handshake begins, which no frame may overtake, and ping and pong frames."""


class StreamTransport(Protocol):
    """The transport under a WebSocket connection: TCP, UNIX or TLS."""

    def getHandle(self) -> object:
        """The socket, or what stands for it."""

    def getPeer(self) -> IAddress:
        """Where the client is."""

    def getHost(self) -> IAddress:
        """Where it came to."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small segments at once."""

    def startWriting(self) -> None:
        """Have the producer told when there is room; plain sockets alone have this."""

    def writeSequence(self, pieces: Iterable[Piece]) -> None:
        """Write ``pieces``."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Have ``producer`` told when there is room."""

    def unregisterProducer(self) -> None:
        """Tell it no more."""

    def pauseProducing(self) -> None:
        """Read no more."""

    def resumeProducing(self) -> None:
        """Read on."""

    def loseConnection(self) -> None:
        """Close when all is written."""

    def loseWriteConnection(self) -> None:
        """Close for writing when all is written; plain sockets alone have this."""

    def abortConnection(self) -> None:
        """Close at once."""


@implementer(ITransport)
class SubscriberTransport:
    """Stands before the transport of a WebSocket connection.

    ``sender`` is what frames are written to; ``reads_on`` says whether the client is to close the
    connection when all is out that goes to it.

    :param ready: called when the sender flows again.
    """

    def __init__(
        self, transport: StreamTransport, clock: IReactorTime, ready: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._held = False
        self.reads_on = False
        plain = _plain_socket(transport)
        sink: _Sink
        if plain is None:
            sink, state = _StreamSink(self, transport), State.OPEN
        else:
            sink, state = _SocketSink(self, transport, plain), State.BLOCKED
        descriptor = None if plain is None else plain.fileno()
        self.sender = Sender(sink, clock, ready, TURN_BYTES, state, descriptor)
        # The HTTP channel that served the upgrade is still registered; until it is not, the
        # transport tells it, not the sender, that the client is slow.
        transport.unregisterProducer()
        sink.start()

    def hold(self, held: bool) -> None:
        """Read no more, until this is taken back."""
        if held is not self._held:
            self._held = held
            if held:
                self._transport.pauseProducing()
            else:
                self._transport.resumeProducing()

    def write(self, data: bytes) -> None:
        """Send the answer to the opening handshake, or a frame, whole."""
        begin = data[:1]
        if begin == _CLOSE:
            self.sender.end((data,))
        elif begin in _AHEAD:
            self.sender.write_ahead(begin, (data,))
        else:
            self.sender.write((data,))

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        """Close when all that waits is out."""
        self.sender.close()

    def loseWriteConnection(self) -> None:
        """Send no more when all that waits is out, and read until the client closes."""
        self.reads_on = True
        self.sender.close()

    def abortConnection(self) -> None:
        """Close at once."""
        self.sender.lost()
        self._transport.abortConnection()

    def unregisterProducer(self) -> None:
        """Nothing: Autobahn says this before it closes, whether it has registered one or not."""

    def getPeer(self) -> IAddress:
        return self._transport.getPeer()

    def getHost(self) -> IAddress:
        return self._transport.getHost()

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._transport.setTcpNoDelay(enabled)


class _Sink(Sink):
    """What the two kinds of transports have in common as sinks, and as consumers of a producer."""

    def __init__(self, front: SubscriberTransport, transport: StreamTransport) -> None:
        self._front = front
        self._transport = transport
        self._handle = socket_under(transport)
        if self._handle is not None:
            _hold_little(self._handle)

    def start(self) -> None:
        """Be told of room from now on."""
        raise NotImplementedError

    def all_out(self) -> None:
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def broken(self) -> None:
        self._transport.abortConnection()

    def accepted(self) -> int | None:
        return None if self._handle is None else accepted_bytes(self._handle)

    def stopProducing(self) -> None:
        self._front.sender.lost()


@implementer(IPullProducer)
class _SocketSink(_Sink):
    """A plain socket, written to past its transport, which would join every frame once more.

    As a pull producer the sink is told whenever there is room and the transport has nothing to
    write itself; all that it ever has is what was left of the answers before the upgrade.
    """

    def __init__(
        self, front: SubscriberTransport, transport: StreamTransport, plain: socket.socket
    ) -> None:
        super().__init__(front, transport)
        self._plain = plain
        self._started = False

    def start(self) -> None:
        self._transport.registerProducer(self, False)  # calls resumeProducing, which tells nothing
        self._started = True
        if self._front.sender.takes:  # it is still there
            self._transport.startWriting()

    def take(self, pieces: Sequence[Piece]) -> int:
        return self._plain.sendmsg(pieces)

    def await_room(self) -> None:
        self._transport.startWriting()

    def all_out(self) -> None:
        if not self._front.reads_on:
            super().all_out()
            return
        self._transport.unregisterProducer()
        self._transport.loseWriteConnection()
        self._transport.resumeProducing()

    def resumeProducing(self) -> None:
        if self._started:
            self._front.sender.room()


@implementer(IPushProducer)
class _StreamSink(_Sink):
    """A transport that has to see all that is written, to encrypt it."""

    _full = False

    def start(self) -> None:
        self._transport.registerProducer(self, True)

    def take(self, pieces: Sequence[Piece]) -> int:
        if self._full:
            raise BlockingIOError
        self._transport.writeSequence(pieces)
        return sum(map(len, pieces))

    def await_room(self) -> None:
        """Nothing: a producer that streams is told anyway."""

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        self._front.sender.room()


def _plain_socket(transport: StreamTransport) -> socket.socket | None:
    """The socket under ``transport``, unless what is written to it has to be encrypted."""
    handle = transport.getHandle()
    if isinstance(handle, socket.socket) and not getattr(transport, "TLS", False):
        return handle
    return None


def _hold_little(handle: socket.socket) -> None:
    """Have the system tell that there is no room when it holds :data:`UNSENT_BYTES`."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and handle.family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):  # the client is gone, or the system has no such option
            handle.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
