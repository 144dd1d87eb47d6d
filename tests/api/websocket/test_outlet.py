"""The outlet over a real socket: what goes past the transport, and what is left to it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from telemetry_twisted.api.websocket.outlet import TURN_BYTES, Outlet


@define(eq=False)
class Transport:
    """A plain transport around ``near`` that sends what is left to it when it is told to."""

    near: socket.socket
    TLS: bool = False
    bufferSize: int = 1 << 16
    SEND_LIMIT: int = 1 << 17
    waiting: bytes = b""
    reading: bool = True
    producer: Any = None
    streaming: bool = False

    def getHandle(self) -> object:
        return self.near

    def writeSequence(self, pieces: Any) -> None:
        self.waiting += b"".join(pieces)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        self.producer, self.streaming = producer, streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True

    def abortConnection(self) -> None:
        raise AssertionError

    def send(self) -> None:
        """Send what waits, as far as the socket takes it."""
        try:
            self.waiting = self.waiting[self.near.send(self.waiting) :]
        except BlockingIOError:
            return
        if not self.waiting and self.producer is not None:
            self.producer.resumeProducing()


class Pipe:
    """An outlet into a socket, and the other end of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ready = 0
        near, self.far = socket.socketpair()
        near.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.far.setblocking(False)
        self.transport = Transport(near)
        self.outlet = Outlet(self.transport, self.clock, self.note_ready)
        self.transport.writeSequence((b"HTTP/1.1 101",))
        self.outlet.open()
        self.outlet.write((b" greeting",))
        assert not self.outlet.flowing
        self.transport.send()
        assert self.read() == b"HTTP/1.1 101 greeting"
        assert self.outlet.flowing
        assert self.transport.reading
        self.ready = 0

    def note_ready(self) -> None:
        self.ready += 1

    def read(self) -> bytes:
        try:
            return self.far.recv(1 << 24)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.transport.near.close()
        self.far.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_what_the_socket_takes_never_touches_the_transport(pipe: Pipe) -> None:
    pipe.outlet.write((b"head", b"events", b"end"))
    assert pipe.read() == b"headeventsend"
    assert pipe.transport.waiting == b""
    assert pipe.outlet.flowing
    assert not pipe.transport.streaming


def test_what_it_does_not_take_waits_in_the_transport_and_then_it_flows_again(pipe: Pipe) -> None:
    sent = b""
    while pipe.outlet.flowing:
        pipe.outlet.write((b"a" * 1000, b"b" * 1000))
        sent += b"a" * 1000 + b"b" * 1000
    assert 0 < len(pipe.transport.waiting) <= 2000
    assert not pipe.transport.reading
    pipe.outlet.write((b"late",))
    received = b""
    while pipe.transport.waiting:
        received += pipe.read()
        pipe.transport.send()
    received += pipe.read()
    assert received == sent + b"late"
    assert pipe.outlet.flowing
    assert pipe.transport.reading
    assert pipe.ready == 1


@given(st.lists(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), max_size=20))
def test_the_bytes_arrive_whole_and_in_order_however_they_are_cut(
    frames: list[list[bytes]],
) -> None:
    pipe = Pipe()
    received = b""
    for pieces in frames:
        pipe.outlet.write(pieces)
        if sum(map(len, pieces)) % 2:
            received += pipe.read()
            pipe.transport.send()
    while len(received) < sum(len(piece) for pieces in frames for piece in pieces):
        received += pipe.read()
        pipe.transport.send()
    assert received == b"".join(piece for pieces in frames for piece in pieces)
    pipe.close()


def test_one_client_does_not_keep_the_others_waiting(pipe: Pipe) -> None:
    written = 0
    while pipe.outlet.flowing:
        pipe.outlet.write((b"x" * 1000,))
        written += len(pipe.read())
    assert written >= TURN_BYTES
    assert pipe.transport.waiting == b""
    assert pipe.transport.reading
    assert pipe.ready == 0
    pipe.clock.advance(0)
    assert pipe.outlet.flowing
    assert pipe.ready == 1


def test_a_lost_connection_is_left_to_the_transport_to_find(pipe: Pipe) -> None:
    pipe.far.close()
    pipe.outlet.write((b"frame",))
    assert pipe.transport.waiting == b"frame"
    assert not pipe.outlet.flowing


def test_under_tls_everything_goes_through_the_transport() -> None:
    near, far = socket.socketpair()
    with near, far:
        transport = Transport(near, TLS=True)
        outlet = Outlet(transport, Clock(), lambda: None)
        outlet.open()
        outlet.write((b"secret",))
        assert transport.waiting == b"secret"
        assert transport.streaming
        outlet.pauseProducing()
        assert not outlet.flowing
        assert not transport.reading
        outlet.resumeProducing()
        assert outlet.flowing


def test_once_closed_it_does_not_flow_again(pipe: Pipe) -> None:
    while pipe.outlet.flowing:
        pipe.outlet.write((b"x" * 1000,))
        pipe.read()
    pipe.outlet.close()
    pipe.clock.advance(1)
    assert not pipe.outlet.flowing
    assert pipe.ready == 0
    assert pipe.transport.producer is None
