"""What clients get that break the WebSocket protocol (RFC 6455), or strain it, at ``/api/ws``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from telemetry_twisted.testing import BINARY, CLOSE, CONTINUATION, PING, TEXT
from tests.end_to_end.raw_websocket import RawClient, close_payload, frame

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartServer, Subscriber

PROTOCOL_ERROR, INVALID_PAYLOAD, TOO_BIG = 1002, 1007, 1009
"""Status codes of close frames (RFC 6455, 7.4.1)."""

LONGEST = 1 << 17
"""Bytes in a message of a client, at most."""

SLACK = 20.0
"""Seconds by which a busy machine may be late."""

PING_REQUEST = frame(TEXT, b'{"type":"Ping"}')

BROKEN = {
    **{f"reserved opcode {opcode}": (frame(opcode), PROTOCOL_ERROR) for opcode in (3, 7, 11, 15)},
    "long reserved control opcode": (frame(11, b"x" * 126), PROTOCOL_ERROR),
    "reserved bit": (frame(TEXT, b"{}", rsv=4), PROTOCOL_ERROR),
    "unmasked frame": (frame(TEXT, b"{}", mask=None), PROTOCOL_ERROR),
    "unmasked ping": (frame(PING, b"x", mask=None), PROTOCOL_ERROR),
    "fragmented ping": (frame(PING, b"x", fin=False), PROTOCOL_ERROR),
    "fragmented close": (frame(CLOSE, close_payload(1000), fin=False), PROTOCOL_ERROR),
    "ping of 126 bytes": (frame(PING, b"x" * 126), PROTOCOL_ERROR),
    "ping of 4 GiB": (frame(PING, b"x", length=1 << 32), PROTOCOL_ERROR),
    "continuation of nothing": (frame(CONTINUATION, b"x"), PROTOCOL_ERROR),
    "message within a message": (
        frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
        PROTOCOL_ERROR,
    ),
    "close of one byte": (frame(CLOSE, b"x"), PROTOCOL_ERROR),
    **{
        f"close code {code}": (frame(CLOSE, close_payload(code)), PROTOCOL_ERROR)
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
    },
    "close reason that is not UTF-8": (
        frame(CLOSE, close_payload(1000, b"\xc3")),
        INVALID_PAYLOAD,
    ),
    "text that is not UTF-8": (frame(TEXT, b"\xff"), INVALID_PAYLOAD),
    "text that ends within a character": (frame(TEXT, b"\xe2\x82"), INVALID_PAYLOAD),
    "text that cannot become UTF-8": (frame(TEXT, b"\xed\xa0", fin=False), INVALID_PAYLOAD),
    "longer frame than the limit": (frame(TEXT, b"{", length=LONGEST + 1), TOO_BIG),
    "frame of 8 EiB": (frame(BINARY, b"{", length=(1 << 63) - 1), TOO_BIG),
    "fragments longer than the limit": (
        frame(TEXT, b" " * LONGEST, fin=False) + frame(CONTINUATION, b" "),
        TOO_BIG,
    ),
}


@pytest.fixture
def client(server: Server) -> RawClient:
    """A client that has been let in and greeted."""
    client = RawClient(server.connect_socket("api")).upgrade()
    greeting = client.receive()
    assert greeting is not None
    assert json.loads(greeting.payload)["type"] == "connected"
    return client


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
def test_a_client_that_breaks_the_protocol_is_told_why(
    server: Server, client: RawClient, data: bytes, code: int
) -> None:
    """Whatever stands behind it has no effect, and neither has it on the connection's end."""
    client.send(data, PING_REQUEST * 1000)
    closing = client.receive_close()
    assert closing.close_code == code
    assert closing.payload[2:]
    assert server.stats()["active_subscribers"] >= 1
    assert "dropping connection" not in server.log


def test_a_client_that_does_not_close_when_told_is_cut_off(client: RawClient) -> None:
    client.send(frame(3))
    closing = client.receive()
    assert closing is not None
    assert closing.close_code == PROTOCOL_ERROR
    with pytest.raises(ConnectionError):
        client.flood(b"\xff" * 10_000)


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(4999, b"enough")])
def test_a_client_that_closes_is_answered_with_its_own_code(
    client: RawClient, payload: bytes
) -> None:
    client.send(frame(CLOSE, payload), PING_REQUEST)
    assert client.receive_close().payload == payload


def test_the_longest_message_is_read_and_a_longer_one_is_told_so(
    subscriber: Subscriber, server: Server
) -> None:
    longest = '{"type":"Ping","note":"' + "x" * (LONGEST - 25) + '"}'
    assert len(longest) == LONGEST
    assert subscriber.ask(longest)["type"] == "pong"
    with server.subscriber() as other, pytest.raises(ConnectionClosedError) as caught:
        other.ask(longest + " ")
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == TOO_BIG
    assert str(LONGEST) in caught.value.rcvd.reason
    assert subscriber.ask({"type": "Ping"})["type"] == "pong"


def test_a_client_that_sends_early_is_served(server: Server) -> None:
    """Frames in one segment with the handshake, the last of them cut anywhere."""
    for cut in (len(PING_REQUEST), 1, 3, 10):
        client = RawClient(server.connect_socket("api")).upgrade(PING_REQUEST + PING_REQUEST[:cut])
        client.send(PING_REQUEST[cut:])
        types: list[str] = []
        while types.count("pong") < 2:
            received = client.receive()
            assert received is not None
            types.append(json.loads(received.payload)["type"])
        assert types == ["connected", "pong", "pong"]


def test_a_client_may_ask_for_small_frames(start_server: StartServer, node_id: str) -> None:
    server = start_server("--ws-batch", "50", procs=1)
    with (
        server.subscriber(query="?batch=1") as one,
        server.subscriber(query="?batch=7") as few,
        server.subscriber() as many,
    ):
        server.connect_node(node_id).report_best(range(500))
        for subscriber in (one, few, many):
            subscriber.receive_events(500)
        assert set(one.widths) == {1}
        assert max(few.widths) <= 7
        assert 7 < max(many.widths) <= 50
    with pytest.raises(InvalidStatus) as caught, server.subscriber(query="?batch=51"):
        pass
    assert caught.value.response.status_code == 400
    assert b"1 to 50 (--ws-batch)" in caught.value.response.body


def test_a_quiet_client_hears_pings_as_often_as_asked(start_server: StartServer) -> None:
    """It is not to be taken for dead on the way; whether it answers does not matter."""
    server = start_server("--ping-seconds", "1", procs=1)
    client = RawClient(server.connect_socket("api")).upgrade()
    greeting = client.receive()
    assert greeting is not None
    assert greeting.opcode == TEXT
    before = time.monotonic()
    for _ in range(4):
        ping = client.receive()
        assert ping is not None
        assert ping.opcode == PING
    assert time.monotonic() - before < 4 + SLACK


def test_without_ping_seconds_there_are_none(start_server: StartServer) -> None:
    server = start_server("--ping-seconds", "0", procs=1)
    client = RawClient(server.connect_socket("api")).upgrade()
    client.receive()
    client.socket.settimeout(3)
    with pytest.raises(TimeoutError):
        client.receive()
