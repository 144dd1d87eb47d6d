"""Where Autobahn ends and a subscriber begins: the handshakes, in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from telemetry_twisted.api.websocket.protocol import (
    LARGEST_REQUEST,
    LINGER_SECONDS,
    SubscriberFactory,
    SubscriberProtocol,
)

if TYPE_CHECKING:
    from tests.api.websocket.conftest import Stage, Wire

UPGRADE = (
    b"GET /api/ws HTTP/1.1\r\nHost: telemetry\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
)
TEXT, CLOSE = 1, 8


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A short frame of a client, with a mask that changes nothing."""
    return struct.pack("!BB4x", 0x80 | opcode, 0x80 | len(payload)) + payload


@pytest.fixture
def protocol(stage: Stage, wire: Wire) -> Iterator[SubscriberProtocol]:
    """A client that has been let in and greeted."""
    protocol = cast(SubscriberProtocol, SubscriberFactory(stage).buildProtocol(None))
    protocol.makeConnection(wire)
    protocol.dataReceived(UPGRADE)
    head, _, rest = wire.value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    wire.clear()
    wire.write(rest)
    assert [message["type"] for message in wire.messages()] == ["connected"]
    yield protocol
    if protocol.connected:
        protocol.connectionLost(Failure(ConnectionDone()))


def test_events_and_replies_are_frames_of_the_stream(
    stage: Stage, wire: Wire, protocol: SubscriberProtocol
) -> None:
    stage.publish(1)
    protocol.dataReceived(client_frame(TEXT, b'{"type":"Ping"}'))
    stage.publish(2)
    assert [message["type"] for message in wire.messages()] == ["event", "pong", "batch"]


def test_nothing_follows_the_answer_to_a_close(
    stage: Stage, wire: Wire, protocol: SubscriberProtocol
) -> None:
    """A client that says goodbye and takes nothing must not have the server hold events for it."""
    stage.publish(1)
    wire.clear()
    protocol.dataReceived(client_frame(CLOSE, struct.pack("!H", 1000)))
    stage.publish(100)
    assert wire.frames() == [(CLOSE, struct.pack("!H", 1000))]
    assert wire.disconnecting
    assert wire.producer is None
    assert stage.gone == []
    protocol.connectionLost(Failure(ConnectionDone()))
    assert stage.gone == stage.members


def test_a_server_that_shuts_down_says_so_and_waits_for_the_answer(
    stage: Stage, wire: Wire, protocol: SubscriberProtocol
) -> None:
    stage.publish(1)
    (subscriber,) = stage.members
    subscriber.finish()
    stage.publish(1)
    goodbye = struct.pack("!H", 1001) + b"the server shuts down"
    frames = wire.frames()
    assert [opcode for opcode, _ in frames] == [TEXT, CLOSE]
    assert frames[1] == (CLOSE, goodbye)
    assert not wire.disconnecting
    assert not wire.aborted
    protocol.dataReceived(client_frame(CLOSE, struct.pack("!H", 1001)))
    assert wire.aborted
    protocol.connectionLost(Failure(ConnectionDone()))
    assert stage.gone == [subscriber]


def test_a_connection_that_is_lost_takes_its_subscriber_along(
    stage: Stage, wire: Wire, protocol: SubscriberProtocol
) -> None:
    protocol.connectionLost(Failure(ConnectionLost()))
    assert stage.gone == stage.members
    stage.publish(1)
    assert wire.frames() == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(3, b""), 1002),
        (client_frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (client_frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (struct.pack("!BBQ4x", 0x81, 0x80 | 127, LARGEST_REQUEST + 1), 1009),
    ],
)
def test_a_client_that_breaks_the_protocol_is_told_why(
    stage: Stage, wire: Wire, protocol: SubscriberProtocol, data: bytes, code: int
) -> None:
    """It is told once, is read on without effect until it closes, and has some time for that."""
    protocol.dataReceived(data + client_frame(TEXT, b'{"type":"Ping"}') * 3)
    protocol.dataReceived(client_frame(CLOSE, struct.pack("!H", 1000)) + b"\xff" * 100_000)
    stage.publish(1)
    ((opcode, payload),) = wire.frames()
    assert (opcode, payload[:2]) == (CLOSE, struct.pack("!H", code))
    assert len(payload[2:].decode()) > 10
    assert wire.half_closed
    assert wire.producerState == "producing"
    assert len(protocol.data) < 1000
    stage.time.advance(LINGER_SECONDS - 0.1)
    assert not wire.aborted
    stage.time.advance(0.2)
    assert wire.aborted
    protocol.connectionLost(Failure(ConnectionLost()))
    assert stage.gone == stage.members


def test_a_client_that_closes_when_told_is_not_waited_for(
    stage: Stage, wire: Wire, protocol: SubscriberProtocol
) -> None:
    protocol.dataReceived(client_frame(3, b""))
    protocol.connectionLost(Failure(ConnectionDone()))
    assert stage.gone == stage.members
    stage.time.advance(LINGER_SECONDS * 2)
    assert not wire.aborted
