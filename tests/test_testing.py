"""The test doubles: a parser that forgave something would prove nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.testing import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameParser,
    MemoryTransport,
    ProtocolViolation,
    ReceivedFrame,
    client_frame,
)


class FrameParserTests(SynchronousTestCase):
    def refuse(self, data: bytes, words: str) -> None:
        """``data`` is not what a server may send, whole and byte by byte."""
        for size in (len(data), 1):
            parser = FrameParser()
            with self.assertRaises(ProtocolViolation) as raised:
                for at in range(0, len(data), size):
                    parser.feed(data[at : at + size])
            self.assertIn(words, str(raised.exception))

    def test_what_a_server_must_not_send(self) -> None:
        self.refuse(b"\xc1\x00", "reserved bits")
        self.refuse(b"\x83\x00", "unknown opcode 0x3")
        self.refuse(b"\x8b\x00", "unknown opcode 0xb")
        self.refuse(client_frame(TEXT, b"x"), "masked")
        self.refuse(b"\x09\x00", "control frame is fragmented")
        self.refuse(b"\x89\x7e\x00\x7e" + b"x" * 126, "longer than 125")
        self.refuse(b"\x81\x7e\x00\x7d" + b"x" * 125, "shortest form")
        self.refuse(b"\x81\x7f" + bytes(6) + b"\xff\xff" + b"x" * 65_535, "shortest form")
        self.refuse(b"\x81\x7f\x80" + bytes(7), "shortest form")
        self.refuse(b"\x80\x00", "do not follow")
        self.refuse(b"\x01\x00\x81\x00", "do not follow")
        self.refuse(b"\x81\x01\xff", "not UTF-8")
        self.refuse(b"\x01\x01\xc3\x80\x01x", "not UTF-8")
        self.refuse(b"\x88\x01\x03", "half a code")
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
            self.refuse(b"\x88\x02" + code.to_bytes(2, "big"), f"close code {code}")
        self.refuse(b"\x88\x03\x03\xe8\xff", "not UTF-8")
        self.refuse(b"\x88\x00\x89\x00", "follows the close frame")

    def test_control_frames_may_stand_within_a_message_but_not_within_a_frame(self) -> None:
        data = b"\x01\x02\xc3\xa9\x89\x00\x80\x01x\x8a\x01p\x88\x02\x03\xe8"
        frames = [
            ReceivedFrame(TEXT, "é".encode(), fin=False),
            ReceivedFrame(PING, b""),
            ReceivedFrame(CONTINUATION, b"x"),
            ReceivedFrame(PONG, b"p"),
            ReceivedFrame(CLOSE, b"\x03\xe8"),
        ]
        parser = FrameParser()
        self.assertEqual(parser.feed(data), frames)
        self.assertEqual(frames[-1].close_code, 1000)
        self.assertTrue(parser.closed)
        self.assertEqual(parser.offset, len(data))

    @given(
        st.lists(st.sampled_from([0, 1, 125, 126, 300, 65_535, 65_536]), max_size=6),
        st.lists(st.integers(0, 140_000), max_size=8),
    )
    def test_frames_may_be_split_anywhere(self, sizes: list[int], cuts: list[int]) -> None:
        frames = [ReceivedFrame(BINARY, b"x" * size) for size in sizes]
        data = b"".join(map(unmasked, frames))
        parser = FrameParser()
        received: list[ReceivedFrame] = []
        begin = 0
        for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
            received += parser.feed(data[begin:cut])
            begin = cut
        self.assertEqual(received, frames)
        self.assertFalse(parser.unfinished)


def unmasked(frame: ReceivedFrame) -> bytes:
    """``frame`` as a server sends it."""
    masked = client_frame(frame.opcode, frame.payload)
    head = len(masked) - len(frame.payload) - 4
    return bytes([masked[0], masked[1] & 0x7F]) + masked[2:head] + frame.payload


class MemoryTransportTests(SynchronousTestCase):
    def test_it_takes_no_more_than_there_is_room_for(self) -> None:
        wire = MemoryTransport(None)  # type: ignore[arg-type]
        wire.fill(3)
        wire.write(b"abcdef")
        wire.pump()
        self.assertEqual(wire.received(), b"abc")
        self.assertTrue(wire.writing)
        wire.drain()
        self.assertEqual(wire.received(), b"def")
        self.assertFalse(wire.writing)
