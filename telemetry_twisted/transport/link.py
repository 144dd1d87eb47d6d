"""What carries records over a stream, in the hub and in its child processes alike.

Most of what the server does passes through here, so a link reads into one buffer that it keeps and
writes pieces as they are, where a transport of Twisted's would allocate and join for each.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IPushProducer, IReadDescriptor, IWriteDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor

from .progress import accepted_bytes
from .reading import RecordReader, cut
from .records import Chunk
from .sender import Sender
from .sink import Piece

LINK_BYTES = 1 << 20
"""How much a link reads at once, and lets wait before it pauses its producer."""

RECORD = "record of a link"
"""The place of mistakes in the handling of a record (:class:`.InternalErrors`)."""

PRODUCER = "producer of a link"
"""The place of mistakes in what goes on when a link has room again."""

_FLUSH_BYTES = LINK_BYTES // 4
_RESUME_BYTES = LINK_BYTES // 4


class Waiting(Protocol):
    """Where links wait until they can be read or written: the reactor, or :class:`.Links`."""

    def addReader(self, link: Link, /) -> None:
        """Have ``link`` read when there is something."""

    def removeReader(self, link: Link, /) -> None:
        """Have it read no more."""

    def addWriter(self, link: Link, /) -> None:
        """Have ``link`` write when there is room."""

    def removeWriter(self, link: Link, /) -> None:
        """Have it write no more."""


class RecordHandler(Protocol):
    """What is told of a link's records."""

    def link_made(self, link: Link) -> None:
        """The link can be written to."""

    def record_received(self, kind: int, body: bytes) -> None:
        """A record has come."""

    def records_done(self) -> None:
        """The records of one turn have all been handed over."""

    def link_lost(self, reason: Failure) -> None:
        """No more records will come."""


def hand_over(data: bytes | memoryview, handler: RecordHandler) -> int:
    """Hand over the whole records in ``data``, which came in another way.

    :returns: the offset where a record begins that is not whole.
    """
    found, at = cut(memoryview(data))
    for record in found:
        assert isinstance(record, tuple)
        handler.record_received(*record)
    return at


@implementer(IReadDescriptor, IWriteDescriptor)
class Link:
    """One end of a stream of records: reads them, and has its :class:`.Sender` write them.

    :param connected: a connected stream socket, which the link closes in the end.
    :param errors: where mistakes in the handling of a record stay.
    :param waiting: where it waits until it can be read or written, if not with the reactor.
    :param chunk_received: is given chunks; without it, they are records as all others.
    """

    def __init__(
        self,
        reactor: IServerReactor,
        connected: socket.socket,
        handler: RecordHandler,
        errors: InternalErrors,
        waiting: Waiting | None = None,
        chunk_received: Callable[[Chunk], None] | None = None,
    ) -> None:
        connected.setblocking(False)
        self._waiting = waiting or reactor
        self._socket = connected
        self._handler = handler
        self._errors = errors
        self._incoming = RecordReader(LINK_BYTES, Chunk if chunk_received else None)
        self._chunk_received = chunk_received
        self._was_read = False
        self._sender = Sender(self, reactor, self._relieve)
        self._awaiting_room = False
        self._producer: IPushProducer | None = None
        self._paused = False
        self._lost = False

    def start(self) -> None:
        """Read and write from now on."""
        self._waiting.addReader(self)
        self._handler.link_made(self)

    @property
    def backlog(self) -> int:
        """How many bytes wait to be sent."""
        return self._sender.backlog

    @property
    def flowing(self) -> bool:
        """Whether what is sent goes out at once."""
        return self._sender.flowing and not self._sender.backlog

    def written_past(self, sent: int, unsent: Sequence[bytes], taken: int) -> None:
        """While it was flowing, its owner has written records to the socket by itself.

        :param sent: bytes of those that have gone whole.
        :param unsent: the others, which are sent from here as there is room.
        :param taken: bytes of ``unsent`` that have gone, or the number of an error, negated.
        """
        self._sender.written_past((), sent, sent)
        if unsent:
            self._sender.written_past((unsent,), sum(map(len, unsent)), taken)
            self._hold_back()

    def register_producer(self, producer: IPushProducer) -> None:
        """Have ``producer`` told when enough waits here, and when there is room again."""
        self._producer = producer

    def send(self, *pieces: bytes) -> None:
        """Send records, whole or in pieces, at once if possible."""
        self._sender.write(pieces)
        if self.backlog:
            self._hold_back()

    def queue(self, *pieces: bytes) -> None:
        """Have records sent by the next :meth:`flush`, or before it when there are many."""
        self._sender.queue(pieces)
        if self.backlog >= _FLUSH_BYTES:
            self._sender.flush()
        self._hold_back()

    def _hold_back(self) -> None:
        """Pause the producer if much is left: the reactor sends that, and resumes it as well."""
        if self.backlog > LINK_BYTES and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def flush(self) -> None:
        """Send what is queued; the reactor does what cannot be done at once."""
        self._sender.flush()

    def close(self) -> None:
        """End the link once what was sent is out."""
        self._sender.close()

    def take(self, pieces: Sequence[Piece]) -> int:
        return self._socket.sendmsg(pieces)

    def await_room(self) -> None:
        if not self._awaiting_room:
            self._awaiting_room = True
            self._waiting.addWriter(self)

    def all_out(self) -> None:
        self._waiting.removeReader(self)
        self._waiting.removeWriter(self)
        self.connectionLost(Failure(CONNECTION_DONE))

    def broken(self) -> None:
        # What the other end wrote before it went is still to be read, and then the end of it.
        pass

    def accepted(self) -> int | None:
        return accepted_bytes(self._socket)

    def doWrite(self) -> None:
        self._awaiting_room = False
        self._sender.room()
        if not self._awaiting_room and not self._lost:
            self._waiting.removeWriter(self)
        self._relieve()

    def _relieve(self) -> None:
        """Let the producer go on if there is room; it may write, so only the reactor calls this."""
        if self._paused and self.backlog <= _RESUME_BYTES and self._sender.takes:
            self._paused = False
            assert self._producer is not None
            with self._errors.kept_at(PRODUCER):
                self._producer.resumeProducing()

    def read_records(self) -> Exception | None:
        """Read what there is, once, and hand over the whole records in it.

        :returns: why nothing will come any more, if so.
        """
        try:
            found = self._incoming.read(self._socket.fileno())
        except EOFError:
            return CONNECTION_DONE
        except OSError:
            return CONNECTION_LOST
        if found is None:
            return None
        self._was_read = True
        chunk_received = self._chunk_received
        for record in found:
            try:
                if isinstance(record, tuple):
                    self._handler.record_received(*record)
                elif chunk_received is not None:
                    chunk_received(record)
            except Exception:  # noqa: PERF203 (it ends nothing but that record)
                self._errors.note(RECORD, Failure())
        return None

    def read_done(self) -> None:
        """The turn is over: say so, if something was read in it."""
        if self._was_read:
            self._was_read = False
            with self._errors.kept_at(RECORD):
                self._handler.records_done()

    # The interfaces say Failure; what reactors take is an exception, as from Twisted's transports.
    def doRead(self) -> Exception | None:  # type: ignore[override]
        end = self.read_records()
        self.read_done()
        return end

    def connectionLost(self, reason: Failure) -> None:
        if self._lost:
            return
        self._lost = True
        self._sender.lost()
        self._socket.close()
        self._handler.link_lost(reason)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "link"
