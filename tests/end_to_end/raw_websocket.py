"""A WebSocket client that sends whatever it is told to, and accepts only what RFC 6455 allows."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from attrs import define, field, frozen

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
"""Kinds of frames (RFC 6455, 5.2)."""

HANDSHAKE = (
    b"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
)


def frame(
    opcode: int,
    payload: bytes = b"",
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x01\x80\xff\x37",
    length: int | None = None,
) -> bytes:
    """One frame of a client.

    :param mask: four bytes, or None for a frame that is not masked.
    :param length: what the header says the payload's length is, if it is to lie.
    """
    size = len(payload) if length is None else length
    masked = 0x80 if mask is not None else 0
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if size < 126:
        head = struct.pack("!BB", first, masked | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, masked | 126, size)
    else:
        head = struct.pack("!BBQ", first, masked | 127, size)
    return head + payload if mask is None else head + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """``payload`` masked, or unmasked (RFC 6455, 5.3)."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def fragments(opcode: int, payload: bytes, size: int) -> Iterable[bytes]:
    """``payload`` as a message in frames of ``size`` bytes."""
    for begin in range(0, len(payload), size) or [0]:
        yield frame(
            opcode if begin == 0 else CONTINUATION,
            payload[begin : begin + size],
            fin=begin + size >= len(payload),
        )


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """What a close frame holds."""
    return struct.pack("!H", code) + reason


@frozen
class Received:
    """A frame of the server."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int | None:
        """The status code of a close frame."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


@define
class RawClient:
    """A connection to the endpoint."""

    socket: socket.socket
    _data: bytearray = field(factory=bytearray)

    def upgrade(self, early: bytes = b"") -> RawClient:
        """Shake hands, with ``early`` in one segment with the request."""
        self.socket.sendall(HANDSHAKE % self.socket.getpeername()[1] + early)
        while b"\r\n\r\n" not in self._data:
            assert self._more(), bytes(self._data)
        head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
        self._data = bytearray(rest)
        return self

    def send(self, *data: bytes, chop: int = 0) -> None:
        """Send ``data`` as it is, ``chop`` bytes in a segment if that is not 0."""
        joined = memoryview(b"".join(data))
        if not chop:
            self.socket.sendall(joined)
            return
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin in range(0, len(joined), chop):
            self.socket.sendall(joined[begin : begin + chop])

    def flood(self, data: bytes) -> None:
        """Send ``data`` again and again until the server refuses it (``ConnectionError``)."""
        while True:
            self.socket.sendall(data)

    def receive(self) -> Received | None:
        """The next frame; None when the server has closed the connection, orderly."""
        head = self._take(2)
        if head is None:
            return None
        opcode, size = head[0] & 0x0F, head[1]
        assert head[0] & 0x70 == 0, "a reserved bit is set"
        assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG), opcode
        assert head[0] & 0x80, "a fragment"
        assert size < 128, "a masked frame"
        if size > 125:
            assert opcode < CLOSE, "a long control frame"
            width = 2 if size == 126 else 8
            size = int.from_bytes(self._must_take(width), "big")
            assert size > (125 if width == 2 else 0xFFFF), "a length that is not minimal"
        return Received(opcode, self._must_take(size))

    def receive_close(self) -> Received:
        """The next frame, which is the last one: a close frame with the end of the connection."""
        received = self.receive()
        assert received is not None, "closed without a close frame"
        assert received.opcode == CLOSE, received
        received.payload[2:].decode()
        self.send_quietly(frame(CLOSE, received.payload[:2]))
        assert self.receive() is None, "a frame behind the close frame"
        return received

    def send_quietly(self, data: bytes, chop: int = 0) -> None:
        """Send ``data``, unless the server has gone already."""
        with suppress(ConnectionError):
            self.send(data, chop=chop)

    def _must_take(self, size: int) -> bytes:
        data = self._take(size)
        assert data is not None, "closed within a frame"
        return data

    def _take(self, size: int) -> bytes | None:
        while len(self._data) < size:
            if not self._more():
                assert not self._data, "closed within a frame"
                return None
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    def _more(self) -> bool:
        data = self.socket.recv(1 << 18)
        self._data += data
        return bool(data)
