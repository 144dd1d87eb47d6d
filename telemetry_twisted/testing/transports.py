"""Twisted's transports on a socket in memory, whose other end is the test."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from errno import EPIPE, EWOULDBLOCK
from itertools import count
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from telemetry_twisted.transport.sink import Piece

from .websocket import FrameParser, ReceivedFrame

_FIRST_NUMBER = 1 << 30
"""Above what descriptors of real sockets are."""


class MemorySocket(socket.socket):
    """A stream socket whose other end is the test, and whose descriptor :meth:`send_to_all` knows.

    ``room`` is how many bytes it takes before it would block, None for any number; ``broken`` says
    whether writing fails. ``sent`` is what was written to it, ``incoming`` what is there to read.
    """

    _all: ClassVar[WeakValueDictionary[int, MemorySocket]] = WeakValueDictionary()
    _numbers = count(_FIRST_NUMBER)

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX)
        os.close(self.detach())
        self._number = next(self._numbers)
        self._all[self._number] = self
        self.room: int | None = None
        self.broken = False
        self.sent = bytearray()
        self.incoming = bytearray()

    def fileno(self) -> int:
        return self._number

    @classmethod
    def send_to_all(
        cls, descriptors: Sequence[int], pieces: Sequence[Piece], /
    ) -> list[tuple[int, int]]:
        """As :class:`~telemetry_twisted.transport.fan_out.SendToAll` says, to those in memory."""
        data = b"".join(pieces)
        behind = []
        for place, descriptor in enumerate(descriptors):
            try:
                taken = cls._all[descriptor].send(data)
            except OSError as error:
                taken = -(error.errno or 0)
            if taken != len(data):
                behind.append((place, taken))
        return behind

    def setblocking(self, flag: bool, /) -> None:
        """It never blocks."""

    def sendmsg(self, buffers: Iterable[Any], *_: Any) -> int:
        return self.send(b"".join(buffers))

    def send(self, data: Any, *_: Any) -> int:
        if self.broken:
            raise BrokenPipeError(EPIPE, "the other end is gone")
        taken = bytes(data[: self.room])
        if data and not taken:
            raise BlockingIOError(EWOULDBLOCK, "there is no room")
        self.sent += taken
        if self.room is not None:
            self.room -= len(taken)
        return len(taken)

    def recv(self, size: int, *_: Any) -> bytes:
        if not self.incoming:
            raise BlockingIOError(EWOULDBLOCK, "there is nothing to read")
        data = bytes(self.incoming[:size])
        del self.incoming[:size]
        return data


class MemoryTransport(Connection):
    """Twisted's TCP transport on a :class:`MemorySocket`, and a reactor that acts when it is told.

    ``ended`` is why the connection was lost, once it was; ``half_closed`` says whether nothing more
    will be written; ``parser`` reads what is received as :meth:`frames`.

    :param reactor: shared with what else belongs to the test; its clock is advanced by nothing but
        calls that are due.
    """

    def __init__(self, protocol: IProtocol, reactor: MemoryReactorClock | None = None) -> None:
        self.wire = MemorySocket()
        self.parser = FrameParser()
        self.clock = reactor or MemoryReactorClock()
        self.ended: BaseException | None = None
        self.half_closed = False
        super().__init__(self.wire, protocol, self.clock)
        self.connected = 1
        self.startReading()

    @property
    def reading(self) -> bool:
        """Whether what the other end sends would be read."""
        return self in self.clock.getReaders()

    @property
    def writing(self) -> bool:
        """Whether the reactor is to tell when there is room."""
        return self in self.clock.getWriters()

    def pump(self) -> None:
        """Let the reactor do what there is to do: read, write, and make the calls that are due."""
        again = True
        while again:
            again = False
            self.clock.advance(0)
            if self.reading and self.wire.incoming:
                again = True
                self._act(self.doRead())
            if self.writing and (self.wire.room is None or self.wire.room or self.wire.broken):
                again = True
                self._act(self.doWrite())
            if any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
                again = True

    def _act(self, why: BaseException | None) -> None:
        if why is not None:
            self.lose(why)

    def lose(self, why: BaseException) -> None:
        """The connection is lost."""
        self.connectionLost(Failure(why))

    def connectionLost(self, reason: Failure) -> None:
        if self.ended is None:
            self.ended = reason.value
            super().connectionLost(reason)

    def _closeWriteConnection(self) -> None:
        self.half_closed = True

    def fill(self, room: int = 0) -> None:
        """Have the other end take no more than ``room`` bytes."""
        self.wire.room = room

    def drain(self, room: int | None = None) -> None:
        """Have the other end take ``room`` bytes more, or all there are."""
        self.wire.room = room
        self.pump()

    def deliver(self, data: bytes) -> None:
        """The other end sends ``data``, which is read when it is being read at all."""
        self.wire.incoming += data
        self.pump()

    def received(self) -> bytes:
        """What the other end has received since the last call."""
        data = bytes(self.wire.sent)
        self.wire.sent.clear()
        return data

    def head(self) -> bytes:
        """The head of an HTTP answer that the other end has received, which is taken away."""
        head, _, rest = bytes(self.wire.sent).partition(b"\r\n\r\n")
        self.wire.sent[:] = rest
        return head

    def frames(self) -> list[ReceivedFrame]:
        """What the other end has received since the last call, as WebSocket frames.

        :raises ProtocolViolation: if it is anything else.
        """
        return self.parser.feed(self.received())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 5)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8080)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There are no segments."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """There is nothing to keep alive."""


class StreamTransport(MemoryTransport):
    """A transport that hides its socket, as one that encrypts does: all goes through its buffer.

    It tells its producer to pause when more than 64 bytes are left in the buffer, and reads as many
    at once.
    """

    bufferSize = 64

    def getHandle(self) -> Any:
        return None
