"""What stands at the ends of a link between processes."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure

from telemetry_twisted.transport.link import Link, hand_over


class MemoryLink(Link):
    """A link without a socket, for what writes records: ``sent`` is what was sent, as records.

    ``producer`` is who is to be told of pressure, ``closed`` says whether it was closed.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.producer: IPushProducer | None = None
        self.closed = False

    @property
    def backlog(self) -> int:
        """Nothing ever waits."""
        return 0

    def register_producer(self, producer: IPushProducer) -> None:
        self.producer = producer

    def send(self, *pieces: bytes) -> None:
        collected = RecordCollector()
        data = b"".join(pieces)
        assert hand_over(memoryview(data), collected) == len(data), "half a record was sent"
        self.sent += collected.records

    def queue(self, *pieces: bytes) -> None:
        self.send(*pieces)

    def flush(self) -> None:
        """All is sent."""

    def close(self) -> None:
        self.closed = True


@define
class RecordCollector:
    """A record handler that notes what it is told: records, ends of reads, and the link's ends."""

    records: list[tuple[int, bytes]] = field(factory=list)
    reads: int = 0
    made: list[Link] = field(factory=list)
    lost: list[Failure] = field(factory=list)

    def link_made(self, link: Link) -> None:
        self.made.append(link)

    def record_received(self, kind: int, body: bytes) -> None:
        self.records.append((kind, bytes(body)))

    def records_done(self) -> None:
        self.reads += 1

    def link_lost(self, reason: Failure) -> None:
        self.lost.append(reason)
