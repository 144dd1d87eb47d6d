"""A WebSocket parser that forgives nothing, and what makes a client's frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from attrs import frozen

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes of frames (RFC 6455, 5.2)."""

_LONGEST_CONTROL = 125

NO_CHANGE = b"\x00\x00\x00\x00"
"""The mask that changes nothing."""


class ProtocolViolation(Exception):
    """What a server sent is not WebSocket; the message says how, and at which offset."""


@frozen
class ReceivedFrame:
    """A frame as it came; ``fin`` says whether it ends its message."""

    opcode: int
    payload: bytes
    fin: bool = True

    @property
    def is_control(self) -> bool:
        """Whether it is a close, ping or pong frame."""
        return self.opcode >= CLOSE

    @property
    def close_code(self) -> int | None:
        """The status code of a close frame, if it carries one."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


class FrameParser:
    """Takes the stream of a WebSocket server apart, after the opening handshake, by the letter.

    It accepts what RFC 6455 allows a server that has agreed to no extension, and nothing else:
    known opcodes, no reserved bits, no mask (5.1), lengths in their shortest form (5.2), control
    frames that are whole and short (5.5), messages whose frames follow one another (5.4), text in
    UTF-8 (8.1), close frames with a code that may be sent (7.4), and nothing after one (5.5.1).

    ``offset`` is how many bytes have been taken apart, ``closed`` whether a close frame came.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.closed = False
        self._rest = b""
        self._message: list[bytes] = []
        self._message_opcode: int | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the stream so far ends within a frame."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[ReceivedFrame]:
        """The frames that ``data``, the next part of the stream, completes.

        :raises ProtocolViolation: at the first byte that must not be there.
        """
        self._rest += data
        frames = list(self._frames())
        if self.closed and self._rest:
            raise self._violation("something follows the close frame")
        return frames

    def _frames(self) -> Iterator[ReceivedFrame]:
        view = self._rest
        at = 0
        while not self.closed and (begin := self._payload_begin(view[at : at + 10])) is not None:
            end = at + begin[0] + begin[1]
            if end > len(view):
                break
            frame = ReceivedFrame(view[at] & 0x0F, view[at + begin[0] : end], bool(view[at] & 0x80))
            self._check(frame)
            self.offset += end - at
            at = end
            yield frame
        self._rest = view[at:]

    def _payload_begin(self, head: bytes) -> tuple[int, int] | None:
        """How long the header and the payload of a frame are; None if ``head`` ends before that."""
        if not head:
            return None
        opcode = head[0] & 0x0F
        if head[0] & 0x70:
            raise self._violation(f"reserved bits are set in {head[0]:#04x}")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise self._violation(f"unknown opcode {opcode:#x}")
        if opcode >= CLOSE and not head[0] & 0x80:
            raise self._violation("a control frame is fragmented")
        if len(head) < 2:
            return None
        if head[1] & 0x80:
            raise self._violation("a server's frame is masked")
        length = head[1]
        if opcode >= CLOSE and length > _LONGEST_CONTROL:
            raise self._violation("a control frame is longer than 125 bytes")
        if length < 126:
            return 2, length
        size, least = (2, 126) if length == 126 else (8, 1 << 16)
        if len(head) < 2 + size:
            return None
        length = int.from_bytes(head[2 : 2 + size], "big")
        if length < least or length >> 63:
            raise self._violation(f"length {length} is not in its shortest form")
        return 2 + size, length

    def _check(self, frame: ReceivedFrame) -> None:
        if frame.opcode == CLOSE:
            self._check_close(frame)
            self.closed = True
        if frame.is_control:
            return
        if (frame.opcode == CONTINUATION) != (self._message_opcode is not None):
            raise self._violation("frames of a message do not follow one another")
        if self._message_opcode is None:
            self._message_opcode = frame.opcode
        self._message.append(frame.payload)
        if frame.fin:
            if self._message_opcode == TEXT:
                self._check_text(b"".join(self._message))
            self._message_opcode = None
            self._message.clear()

    def _check_close(self, frame: ReceivedFrame) -> None:
        code = frame.close_code
        if code is None:
            return
        if len(frame.payload) < 2:
            raise self._violation("a close frame holds half a code")
        if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
            raise self._violation(f"close code {code} must not be sent")
        self._check_text(frame.payload[2:])

    def _check_text(self, text: bytes) -> None:
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise self._violation(f"text is not UTF-8 ({error})") from None

    def _violation(self, what: str) -> ProtocolViolation:
        return ProtocolViolation(f"{what}, at offset {self.offset}")


def client_frame(
    opcode: int,
    payload: bytes = b"",
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = NO_CHANGE,
    length: int | None = None,
) -> bytes:
    """A frame of a client, which is a whole message unless it is told otherwise (RFC 6455, 5.2).

    :param mask: four bytes, which by default change nothing, or None for a frame without a mask.
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
    return head + payload if mask is None else head + mask + _apply_mask(payload, mask)


def _apply_mask(payload: bytes, mask: bytes) -> bytes:
    """``payload`` with ``mask`` applied, or taken off again (RFC 6455, 5.3)."""
    size = len(payload)
    if mask == NO_CHANGE or not size:
        return payload
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
