"""The subscribers of benchmarks count what they are sent, however it comes."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import websocket
from bench.websocket import Buffer, SharedBuffer


def message(number: int) -> bytes:
    return b'{"type":"event","data":{"id":%d,"event":{}},"timestamp":""}' % number


def frame(payload: bytes, first: int = 0x81) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 1 << 16:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


def batch(begin: int, count: int) -> bytes:
    if count == 1:
        return frame(message(begin))
    events = b",".join(map(message, range(begin, begin + count)))
    return frame(b'{"type":"batch","data":[' + events + b'],"timestamp":""}')


class Connection:
    """A socket that gives what is sent in pieces, and one that ends after them."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.sent = b""
        self._pieces = list(pieces)
        self._shaken = False

    def connect(self, _address: object) -> None:
        pass

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def recv(self, _size: int) -> bytes:
        return b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

    def recv_into(self, room: memoryview) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces.pop(0)
        if len(piece) > len(room):
            self._pieces.insert(0, piece[len(room) :])
            piece = piece[: len(room)]
        room[: len(piece)] = piece
        return len(piece)


@pytest.fixture(params=[Buffer, SharedBuffer])
def buffer(request: pytest.FixtureRequest) -> Buffer:
    made: Buffer = request.param()
    return made


def subscriber(
    pieces: Sequence[bytes], buffer: Buffer, patch: pytest.MonkeyPatch
) -> tuple[websocket.Subscriber, Connection]:
    connection = Connection(pieces)
    with patch.context() as context:
        context.setattr(socket, "socket", lambda: connection)
        return websocket.Subscriber("host", 1, buffer), connection


def read_all(reader: websocket.Subscriber) -> Iterator[bytes]:
    while not reader.closed:
        yield bytes(reader.read())


@given(
    counts=st.lists(st.integers(1, 400), max_size=12),
    cuts=st.lists(st.integers(1, 30_000), min_size=1, max_size=8),
    shared=st.booleans(),
)
def test_all_events_are_counted_however_they_are_cut(
    counts: list[int], cuts: list[int], shared: bool
) -> None:
    data = b"".join(batch(10_000 * number, count) for number, count in enumerate(counts))
    pieces: list[bytes] = []
    begin = 0
    while begin < len(data):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(data[begin : begin + size])
        begin += size
    with pytest.MonkeyPatch.context() as patch:
        buffer = SharedBuffer() if shared else Buffer()
        reader, _ = subscriber(pieces, buffer, patch)
        other, _ = subscriber(pieces, buffer, patch)
        assert b"".join(read_all(reader)) == data
        assert b"".join(read_all(other)) == data
    assert reader.events == other.events == sum(counts)
    assert reader.frames == len(counts)


def test_a_frame_that_begins_and_is_long_as_one_before_is_counted_anew(
    buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = batch(1, 100)
    other = once.replace(message(57), message(57).replace(b'"event"', b'"other"'))
    assert len(other) == len(once)
    reader, _ = subscriber([once + once + other + once], buffer, monkeypatch)
    list(read_all(reader))
    assert reader.events == 399


def test_a_frame_larger_than_what_is_read_at_once_is_read_whole(
    buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = batch(1, 3 * websocket.READ_BYTES // len(message(1))) + batch(5, 2)
    reader, _ = subscriber([data], buffer, monkeypatch)
    list(read_all(reader))
    assert reader.events == 3 * websocket.READ_BYTES // len(message(1)) + 2


def test_what_is_not_an_event_is_taken_for_what_it_is(
    buffer: Buffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lagged = frame(b'{"type":"lagged","data":{"skipped":7}}')
    stats = frame(b'{"type":"stats","data":{}}')
    connected = frame(b'{"type":"connected","data":{"total_nodes":3}}')
    ping = frame(b"are you there", 0x89)
    reader, connection = subscriber([connected + lagged + stats + ping], buffer, monkeypatch)
    assert reader.await_message("connected")["data"] == {"total_nodes": 3}
    assert (reader.skipped, reader.events, reader.messages) == (7, 0, [])
    assert connection.sent.endswith(b"\x8a\x8d\0\0\0\0are you there")
    reader, _ = subscriber([frame(b"", 0x88)], buffer, monkeypatch)
    with pytest.raises(ConnectionError, match="closed before connected"):
        reader.await_message("connected")
