"""A WebSocket client that sends whatever it is told to, and accepts only what RFC 6455 allows."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from attrs import define, field

from telemetry_twisted.testing import (
    CLOSE,
    CONTINUATION,
    FrameParser,
    ReceivedFrame,
    client_frame,
)

HANDSHAKE = (
    b"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
)


RECEIVE_BYTES = 1 << 18

frame = partial(client_frame, mask=b"\x01\x80\xff\x37")
"""A frame of a client, with a mask that makes a difference."""


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


@define
class RawClient:
    """A connection to the endpoint."""

    socket: socket.socket
    _parser: FrameParser = field(factory=FrameParser)
    _frames: deque[ReceivedFrame] = field(factory=deque)

    def upgrade(self, early: bytes = b"") -> RawClient:
        """Shake hands, with ``early`` in one segment with the request."""
        self.socket.sendall(HANDSHAKE % self.socket.getpeername()[1] + early)
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = self.socket.recv(RECEIVE_BYTES)
            assert data, answer
            answer += data
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
        self._frames += self._parser.feed(rest)
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

    def receive(self) -> ReceivedFrame | None:
        """The next frame; None when the server has closed the connection, orderly."""
        while not self._frames:
            data = self.socket.recv(RECEIVE_BYTES)
            if not data:
                assert not self._parser.unfinished, "closed within a frame"
                return None
            self._frames += self._parser.feed(data)
        received = self._frames.popleft()
        assert received.fin, "a fragment"
        return received

    def receive_close(self) -> ReceivedFrame:
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
