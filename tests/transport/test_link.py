"""The link: records over a real socket pair, pressure, and how it ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import pairwise

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IPushProducer
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.transport.link import LINK_BYTES, Link
from telemetry_twisted.transport.records import encode_record


@define
class Handler:
    """Notes what it is told."""

    records: list[tuple[int, bytes]] = field(factory=list)
    reads: int = 0
    made: list[Link] = field(factory=list)
    lost: list[Failure] = field(factory=list)

    def link_made(self, link: Link) -> None:
        self.made.append(link)

    def record_received(self, kind: int, body: memoryview) -> None:
        self.records.append((kind, bytes(body)))

    def records_done(self) -> None:
        self.reads += 1

    def link_lost(self, reason: Failure) -> None:
        self.lost.append(reason)


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
        self.handler = Handler()
        self.link = Link(self.reactor, here, self.handler, InternalErrors(self.reactor))
        self.link.start()
        self.far.setblocking(False)

    @property
    def wants_to_write(self) -> bool:
        return self.link in self.reactor.getWriters()

    def drain(self) -> bytes:
        """Let the link write while it wants to, reading all that comes."""
        whole = self.read()
        while self.wants_to_write:
            assert self.link.doWrite() is None
            whole += self.read()
        return whole

    def read(self) -> bytes:
        try:
            return self.far.recv(1 << 24)
        except BlockingIOError:
            return b""


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.far.close()
    ends.link.connectionLost(Failure(CONNECTION_DONE))


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=20),
    st.lists(st.integers(0, 6000), max_size=10),
)
def test_records_may_be_split_anywhere(records: list[tuple[int, bytes]], cuts: list[int]) -> None:
    ends = Ends()
    stream = b"".join(encode_record(kind, body) for kind, body in records)
    bounds = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for begin, end in pairwise(bounds):
        ends.far.sendall(stream[begin:end])
        assert ends.link.doRead() is None
    assert ends.handler.records == records
    assert ends.handler.reads == len(bounds) - 1
    ends.far.close()
    assert ends.link.doRead() is CONNECTION_DONE


def test_a_record_may_be_larger_than_the_buffer(ends: Ends) -> None:
    body = bytes(range(256)) * (LINK_BYTES // 100)
    stream = encode_record(7, body) + encode_record(8, b"after")
    while stream or len(ends.handler.records) < 2:
        if stream:
            stream = stream[ends.far.send(stream) :]
        ends.link.doRead()
    assert ends.handler.records == [(7, body), (8, b"after")]


def test_what_is_sent_goes_out_at_once(ends: Ends) -> None:
    ends.link.send(b"one", b"two")
    assert not ends.wants_to_write
    assert ends.read() == b"onetwo"


def test_what_is_queued_waits_to_be_flushed(ends: Ends) -> None:
    ends.link.queue(b"one")
    ends.link.queue(b"two")
    assert ends.read() == b""
    ends.link.flush()
    assert ends.read() == b"onetwo"
    assert not ends.wants_to_write


def test_many_pieces_go_out_in_order(ends: Ends) -> None:
    ends.link.send(*(b"%d," % number for number in range(5000)))
    assert ends.wants_to_write
    assert ends.drain() == b"".join(b"%d," % number for number in range(5000))
    assert not ends.wants_to_write


def test_a_producer_is_paused_while_too_much_waits(ends: Ends) -> None:
    producer = Producer()
    ends.link.register_producer(producer)
    ends.link.queue(b"x" * LINK_BYTES)
    assert producer.said == []
    ends.link.queue(b"x" * LINK_BYTES)
    assert producer.said == ["pause"]
    assert len(ends.drain()) == 2 * LINK_BYTES
    assert producer.said == ["pause", "resume"]
    assert not ends.wants_to_write


def test_a_producer_is_resumed_by_the_reactor_alone(ends: Ends) -> None:
    """One that sends at once when it is resumed does not go deeper with each round."""
    producer = Producer()
    ends.link.register_producer(producer)
    ends.far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    ends.link.queue(b"x" * (LINK_BYTES + 1))
    while ends.read():
        ends.link.flush()
    assert producer.said == ["pause"]
    ends.drain()
    assert producer.said == ["pause", "resume"]


def test_what_was_sent_goes_out_before_the_link_closes(ends: Ends) -> None:
    ends.link.queue(b"last")
    ends.link.close()
    ends.link.send(b"too late")
    assert ends.read() == b"last"
    assert [reason.value for reason in ends.handler.lost] == [CONNECTION_DONE]
    assert ends.read() == b""
    assert ends.reactor.getReaders() == []


def test_a_full_link_closes_when_it_is_empty(ends: Ends) -> None:
    ends.link.queue(b"x" * (2 * LINK_BYTES))
    ends.link.close()
    assert ends.handler.lost == []
    assert len(ends.drain()) == 2 * LINK_BYTES
    assert len(ends.handler.lost) == 1


def test_an_idle_link_closes_at_once(ends: Ends) -> None:
    ends.link.close()
    assert len(ends.handler.lost) == 1


def test_a_link_whose_other_end_is_gone(ends: Ends) -> None:
    ends.far.close()
    ends.link.send(b"x")
    assert ends.wants_to_write
    assert ends.link.doWrite() is CONNECTION_LOST
    ends.link.connectionLost(Failure(CONNECTION_LOST))
    ends.link.connectionLost(Failure(CONNECTION_LOST))
    assert len(ends.handler.lost) == 1
    ends.link.send(b"nobody reads this")
    assert ends.handler.made == [ends.link]
