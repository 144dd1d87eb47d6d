"""The link: records over a real socket pair, pressure, mistakes, and how it ends."""

from __future__ import annotations

import socket
from itertools import pairwise
from typing import Any, cast

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.testing import RecordCollector
from telemetry_twisted.transport.link import LINK_BYTES, Link
from telemetry_twisted.transport.records import encode_record


@implementer(IPushProducer)
@define
class Producer:
    """Notes whether it may produce."""

    said: list[str] = field(factory=list)

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")

    def stopProducing(self) -> None:
        raise AssertionError


class Ends:
    """A link and the raw socket at its other end."""

    def __init__(self) -> None:
        here, self.far = socket.socketpair()
        self.reactor = MemoryReactorClock()
        self.errors = InternalErrors(self.reactor)
        self.handler = RecordCollector()
        self.link = Link(cast(Any, self.reactor), here, self.handler, self.errors)
        self.link.start()
        self.far.setblocking(False)

    @property
    def wants_to_write(self) -> bool:
        return self.link in self.reactor.getWriters()

    def turn(self) -> None:
        """Let the link write, if it wants to."""
        self.reactor.advance(0)
        if self.wants_to_write:
            self.link.doWrite()

    def drain(self) -> bytes:
        """Let the link write what it has, reading all that comes."""
        whole = self.read()
        while self.link.backlog or self.wants_to_write:
            self.turn()
            whole += self.read()
        return whole

    def read(self) -> bytes:
        try:
            return self.far.recv(1 << 24)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.far.close()
        self.link.connectionLost(Failure(CONNECTION_DONE))


class ReadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ends = Ends()
        self.addCleanup(self.ends.close)

    @given(
        st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=20),
        st.lists(st.integers(0, 6000), max_size=10),
    )
    def test_records_may_be_split_anywhere(
        self, records: list[tuple[int, bytes]], cuts: list[int]
    ) -> None:
        ends = Ends()
        stream = b"".join(encode_record(kind, body) for kind, body in records)
        bounds = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
        for begin, end in pairwise(bounds):
            ends.far.sendall(stream[begin:end])
            self.assertIsNone(ends.link.doRead())
        self.assertEqual(ends.handler.records, records)
        self.assertEqual(ends.handler.reads, len(bounds) - 1)
        ends.far.close()
        self.assertIs(ends.link.doRead(), CONNECTION_DONE)
        ends.close()

    def test_a_record_may_be_larger_than_the_buffer(self) -> None:
        body = bytes(range(256)) * (LINK_BYTES // 100)
        stream = encode_record(7, body) + encode_record(8, b"after")
        while stream or len(self.ends.handler.records) < 2:
            if stream:
                stream = stream[self.ends.far.send(stream) :]
            self.ends.link.doRead()
        self.assertEqual(self.ends.handler.records, [(7, body), (8, b"after")])

    def test_a_mistake_with_a_record_stays_with_that_record(self) -> None:
        taken: list[int] = []

        def take(kind: int) -> None:
            if kind == 13:
                raise KeyError(kind)
            taken.append(kind)

        self.patch(RecordCollector, "record_received", lambda _, kind, _body: take(kind))
        self.ends.far.sendall(b"".join(encode_record(kind % 20, b"x") for kind in range(1024)))
        self.assertIsNone(self.ends.link.doRead())
        self.assertEqual(taken, [kind % 20 for kind in range(1024) if kind % 20 != 13])
        self.assertEqual(self.ends.errors.counts, {"record of a link": 51})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.ends.handler.lost, [])

    def test_a_mistake_with_all_records_of_a_read_stays_there_too(self) -> None:
        self.patch(RecordCollector, "records_done", lambda _: [][0])
        for _ in range(2):
            self.ends.far.sendall(encode_record(1, b"x"))
            self.assertIsNone(self.ends.link.doRead())
        self.assertEqual(self.ends.handler.records, [(1, b"x")] * 2)
        self.assertEqual(self.ends.errors.counts, {"record of a link": 2})
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)


class WritingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ends = Ends()
        self.link = self.ends.link
        self.addCleanup(self.ends.close)

    def test_what_is_sent_goes_out_at_once(self) -> None:
        self.link.send(b"one", b"two")
        self.assertFalse(self.ends.wants_to_write)
        self.assertEqual(self.ends.read(), b"onetwo")

    def test_what_is_queued_waits_to_be_flushed(self) -> None:
        self.link.queue(b"one")
        self.link.queue(b"two")
        self.assertEqual(self.ends.read(), b"")
        self.link.flush()
        self.assertEqual(self.ends.read(), b"onetwo")
        self.assertFalse(self.ends.wants_to_write)

    def test_many_pieces_go_out_in_order(self) -> None:
        self.link.send(*(b"%d," % number for number in range(5000)))
        self.assertGreater(self.link.backlog, 0)
        whole = b"".join(b"%d," % number for number in range(5000))
        self.assertEqual(self.ends.drain(), whole)
        self.assertFalse(self.ends.wants_to_write)

    def test_a_producer_is_paused_while_too_much_waits(self) -> None:
        producer = Producer()
        self.link.register_producer(producer)
        self.link.queue(b"x" * LINK_BYTES)
        self.assertEqual(producer.said, [])
        self.link.queue(b"x" * LINK_BYTES)
        self.assertEqual(producer.said, ["pause"])
        self.assertEqual(len(self.ends.drain()), 2 * LINK_BYTES)
        self.assertEqual(producer.said, ["pause", "resume"])
        self.assertFalse(self.ends.wants_to_write)

    def test_a_producer_is_resumed_by_the_reactor_alone(self) -> None:
        """One that sends at once when it is resumed does not go deeper with each round."""
        producer = Producer()
        self.link.register_producer(producer)
        self.link.queue(b"x" * (2 * LINK_BYTES))
        self.assertEqual(producer.said, ["pause"])
        while self.ends.read():
            self.link.flush()
        self.assertEqual(producer.said, ["pause"])
        self.ends.drain()
        self.assertEqual(producer.said, ["pause", "resume"])

    def test_a_producer_of_a_broken_link_is_not_resumed(self) -> None:
        """What it has would be lost; it will be told that the link is."""
        producer = Producer()
        self.link.register_producer(producer)
        self.link.queue(b"x" * (2 * LINK_BYTES))
        self.ends.far.close()
        self.ends.turn()
        self.assertEqual(producer.said, ["pause"])
        self.assertFalse(self.ends.wants_to_write)

    def test_a_mistake_of_the_producer_does_not_end_the_link(self) -> None:
        producer = Producer()
        self.patch(Producer, "resumeProducing", lambda _: 1 / 0)
        self.link.register_producer(producer)
        self.link.queue(b"x" * (2 * LINK_BYTES))
        self.ends.drain()
        self.assertEqual(self.ends.errors.counts, {"producer of a link": 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.link.send(b"more")
        self.assertEqual(self.ends.drain(), b"more")


class EndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ends = Ends()
        self.link = self.ends.link
        self.lost = self.ends.handler.lost
        self.addCleanup(self.ends.close)

    def test_what_was_sent_goes_out_before_the_link_closes(self) -> None:
        self.link.queue(b"last")
        self.link.close()
        self.link.send(b"too late")
        self.assertEqual(self.ends.read(), b"last")
        self.assertEqual([reason.value for reason in self.lost], [CONNECTION_DONE])
        self.assertEqual(self.ends.read(), b"")
        self.assertEqual(self.ends.reactor.getReaders(), [])

    def test_a_full_link_closes_when_it_is_empty(self) -> None:
        self.link.queue(b"x" * (2 * LINK_BYTES))
        self.link.close()
        self.assertEqual(self.lost, [])
        self.assertEqual(len(self.ends.drain()), 2 * LINK_BYTES)
        self.assertEqual(len(self.lost), 1)

    def test_an_idle_link_closes_at_once(self) -> None:
        self.link.close()
        self.assertEqual(len(self.lost), 1)

    def test_what_the_other_end_wrote_before_it_went_is_read(self) -> None:
        """That it takes nothing any more shows before the end of what it sent does."""
        self.ends.far.sendall(encode_record(1, b"last words") * 3)
        self.ends.far.close()
        self.link.send(b"x")
        self.ends.turn()
        self.link.send(b"nobody reads this")
        self.assertEqual(self.link.backlog, 0)
        self.assertFalse(self.ends.wants_to_write)
        self.assertIn(self.link, self.ends.reactor.getReaders())
        self.assertIsNone(self.link.doRead())
        self.assertEqual(self.ends.handler.records, [(1, b"last words")] * 3)
        # Linux tells of what was not read by the other end before it tells of the end.
        self.assertIn(self.link.doRead(), (CONNECTION_DONE, CONNECTION_LOST))
        self.link.connectionLost(Failure(CONNECTION_LOST))
        self.link.connectionLost(Failure(CONNECTION_LOST))
        self.assertEqual(len(self.lost), 1)
        self.assertEqual(self.ends.handler.made, [self.link])
