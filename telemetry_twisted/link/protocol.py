"""What carries records over a stream, in the hub and in its child processes alike."""

from __future__ import annotations

from typing import Protocol as Structural
from typing import cast

from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from .records import PREFIX

LINK_BYTES = 1 << 20
"""How much a link reads, writes and buffers at once.

Twisted reads 64 KiB from each readable socket in a turn and writes at most 128 KiB to each
writable one: sixty-four busy nodes would outrun the one link that carries them.
"""


class RecordHandler(Structural):
    """What is told of a link's records."""

    def link_made(self, link: Link) -> None:
        """The link can be written to."""

    def record_received(self, kind: int, body: memoryview) -> None:
        """A record has come; ``body`` is good until this returns."""

    def records_done(self) -> None:
        """The records of one read have all been handed over."""

    def link_lost(self, reason: Failure) -> None:
        """No more records will come."""


class Link(Protocol):
    """One end of a stream of records."""

    def __init__(self, handler: RecordHandler) -> None:
        self._handler = handler
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._needed = PREFIX.size

    def connectionMade(self) -> None:
        self._transport = cast(Connection, self.transport)
        self._transport.bufferSize = LINK_BYTES
        self._transport.SEND_LIMIT = LINK_BYTES
        self._handler.link_made(self)

    def send(self, *pieces: bytes) -> None:
        """Send a record, given whole or in pieces."""
        self._transport.writeSequence(pieces)

    def close(self) -> None:
        """End the link once what was sent is out."""
        self._transport.loseConnection()

    def register_producer(self, producer: object) -> None:
        """Have ``producer`` (IPushProducer) told when the link takes no more, and when it does."""
        self._transport.registerProducer(producer, True)

    def pause(self) -> None:
        """Read no more until :meth:`resume`."""
        self._transport.pauseProducing()

    def resume(self) -> None:
        """Read on."""
        self._transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        if self._held:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._needed:
                return
            data = b"".join(self._held)
            self._held.clear()
        at = self._hand_over(data)
        if at < len(data):
            self._held.append(data[at:])
            self._held_bytes = len(data) - at
            self._needed = PREFIX.size
            if self._held_bytes >= PREFIX.size:
                self._needed += PREFIX.unpack_from(data, at)[0] - 1
        self._handler.records_done()

    def _hand_over(self, data: bytes) -> int:
        """Hand over the whole records in ``data``; return the offset where the rest begins."""
        handle = self._handler.record_received
        view = memoryview(data)
        at = 0
        while len(data) - at >= PREFIX.size:
            length, kind = PREFIX.unpack_from(data, at)
            end = at + PREFIX.size + length - 1
            if end > len(data):
                break
            handle(kind, view[at + PREFIX.size : end])
            at = end
        return at

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._handler.link_lost(reason)


class _LinkFactory(ServerFactory):
    noisy = False

    def __init__(self, handler: RecordHandler) -> None:
        self._handler = handler

    def buildProtocol(self, _address: object) -> Link:
        return Link(self._handler)


def link_factory(handler: RecordHandler) -> ServerFactory:
    """Makes a :class:`Link` to ``handler`` of a socket that is taken up."""
    return _LinkFactory(handler)
