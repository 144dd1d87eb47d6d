"""Mutated messages: flipped, cut, spliced, grown.

``FUZZ_FRAMES`` sets how many of them (200,000 unless set), ``FUZZ_SEED`` where they begin. Where
there is little time, a tenth of them has to do.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from itertools import accumulate
from random import Random

import pytest
import ujson

from telemetry_twisted.jip3.codec import (
    DECODE_ERROR,
    FACT_TYPES,
    Codec,
    Dialect,
    FrameTooLong,
    Stream,
)
from telemetry_twisted.jip3.encoder import frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.natural import LARGEST, encode_natural

FRAMES = int(os.environ.get("FUZZ_FRAMES", "200000"))
SEED = int(os.environ.get("FUZZ_SEED", "3"))
BATCH = 1_000
NODE_ID = "ab" * 32
RECEIVED = Moment(b"2026-11-24T07:42:00.123456Z")

Reference = Callable[[Dialect], Stream]


class Mutator:
    """Makes messages of ``contents``; small ones are mutated more often than large ones."""

    def __init__(self, random: Random, contents: list[bytes]) -> None:
        self._random = random
        self._contents = contents
        self._weights = list(accumulate(1 / (50 + len(content)) for content in contents))
        self._mutations = [self.flip, self.flip_bit, self.cut, self.splice, self.grow, self.count]

    def original(self) -> bytes:
        (content,) = self._random.choices(self._contents, cum_weights=self._weights)
        return content

    def message(self) -> bytes:
        """An original that was mutated once to three times, or, rarely, random bytes."""
        if self._random.random() < 0.02:
            return self._random.randbytes(self._random.randrange(60))
        content = self.original()
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            content = self._random.choice(self._mutations)(content)
        return content

    def flip(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        value = self._random.choice((0, 1, 2, 0x7F, 0x80, 0xC0, 0xFF, self._random.randrange(256)))
        return content[:at] + bytes([value]) + content[at + 1 :]

    def flip_bit(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        flipped = bytes([byte ^ 1 << self._random.randrange(8) for byte in content[at : at + 1]])
        return content[:at] + flipped + content[at + 1 :]

    def cut(self, content: bytes) -> bytes:
        return content[: self._somewhere(content)]

    def splice(self, content: bytes) -> bytes:
        other = self.original()
        return content[: self._somewhere(content)] + other[self._somewhere(other) :]

    def grow(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        return content[:at] + self._random.randbytes(self._random.randrange(1, 9)) + content[at:]

    def count(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        number = encode_natural(self._random.randrange(LARGEST + 1) >> self._random.randrange(64))
        return content[:at] + number + content[at + 1 :]

    def _somewhere(self, content: bytes) -> int:
        return self._random.randrange(len(content) + 1)


def dialects() -> Iterator[Dialect]:
    for cores, version, byte_arrays in ((341, 0, False), (2, 1, False), (341, 1, True)):
        yield Dialect(NODE_ID, cores, version, byte_arrays, fact_types=FACT_TYPES)


@pytest.mark.parametrize(
    "frames", [FRAMES // 10, pytest.param(FRAMES, marks=pytest.mark.end_to_end)]
)
def test_mutated_messages(
    codec: Codec, contents: list[bytes], reference: Reference, frames: int
) -> None:
    """Every frame is consumed and is an event or an error; what is emitted is JSON and is right."""
    random = Random(SEED)
    mutator = Mutator(random, contents)
    streams = [(codec.open(dialect), reference(dialect)) for dialect in dialects()]
    for first in range(0, frames, BATCH):
        stream, right = streams[first // BATCH % len(streams)]
        data = b"".join(frame(mutator.message()) for _ in range(BATCH))
        decoded = stream.decode(data, 0, BATCH, first, 1, RECEIVED)
        assert decoded.end == len(data)
        errors = sum(each.times for each in decoded.faults if each.kind == DECODE_ERROR)
        assert len(decoded.types) + errors == BATCH
        batch = ujson.loads(b"[" + decoded.events + b"]")
        assert bytes(event["data"]["event_type"] for event in batch) == decoded.types
        assert decoded == right.decode(data, 0, BATCH, first, 1, RECEIVED)
        assert stream.next_event_id == right.next_event_id
    for stream, right in streams:
        assert stream.take_counts() == right.take_counts()
        assert stream.take_dropped() == right.take_dropped()


def test_mutated_framing(codec: Codec, contents: list[bytes], reference: Reference) -> None:
    """Bytes flipped anywhere, lengths too: never more than :class:`FrameTooLong`, never a stall."""
    random = Random(SEED)
    small = [content for content in contents if len(content) < 200]
    for _ in range(FRAMES // 200):
        frames = bytearray(b"".join(map(frame, random.choices(small, k=10))))
        for _ in range(random.randrange(1, 4)):
            frames[random.randrange(len(frames))] = random.randrange(256)
        data = bytes(frames)
        dialect = Dialect(NODE_ID, 341, max_message_size=1_000)
        stream, right = codec.open(dialect), reference(dialect)
        at = 0
        while True:
            try:
                decoded = stream.decode(data, at, 3, 1, 1, RECEIVED)
            except FrameTooLong:
                with pytest.raises(FrameTooLong):
                    right.decode(data, at, 3, 1, 1, RECEIVED)
                break
            assert decoded == right.decode(data, at, 3, 1, 1, RECEIVED)
            if decoded.end == at:
                announced = struct.unpack_from("<I", data + bytes(4), at)[0]
                assert at + 4 + announced > len(data) or at + 4 > len(data)
                break
            at = decoded.end


def test_skipping_mutated_messages(
    codec: Codec, contents: list[bytes], reference: Reference
) -> None:
    """Passing over messages uses up the event IDs that decoding them does."""
    random = Random(SEED)
    mutator = Mutator(random, [content for content in contents if content[8] == 0])
    for dialect in dialects():
        stream, right = codec.open(dialect), reference(dialect)
        data = b"".join(frame(mutator.message()) for _ in range(2 * BATCH))
        assert stream.skip(data, 0, len(data)) == (len(data), 2 * BATCH)
        right.decode(data, 0, 2 * BATCH, 1, 1, RECEIVED)
        assert stream.next_event_id == right.next_event_id
