"""Fuzzes the kernel of the compiled codec with mutated messages against the Python codec.

::

    python bench/fuzz_kernel.py 60

takes seconds, and ends with an error if the codecs differ in anything. Under the sanitizers, which
also see a read or a write that is out of bounds and changes nothing::

    CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -g" \\
        python setup.py build --build-base build/asan --build-lib build/asan/lib
    LD_PRELOAD="$(gcc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \\
        PYTHONMALLOC=malloc PYTHONPATH=build/asan/lib nice -n 19 python bench/fuzz_kernel.py 900

``PYTHONMALLOC=malloc`` gives each ``bytes`` object a block of its own with guards around it. Work
is done in rounds that depend on nothing but the seed and their number; where a sanitizer ends the
program, ``--first`` with the round that was last reported, and ``--every 1``, leads there again.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from itertools import count
from random import Random
from typing import Any

from telemetry_twisted.jip3 import _kernel
from telemetry_twisted.jip3.codec import (
    DECODE_ERROR,
    FACT_TYPES,
    Decoded,
    Dialect,
    FrameTooLong,
    Stream,
)
from telemetry_twisted.jip3.compiled import CompiledCodec
from telemetry_twisted.jip3.moment import ANY_SLOT, ANY_TIME, COMMON_ERA, Moment
from telemetry_twisted.jip3.natural import LARGEST, encode_natural
from telemetry_twisted.jip3.python import PythonCodec
from telemetry_twisted.jip3.table import (
    TABLE,
    Bool,
    CoreBitfield,
    CoreBytes,
    Enum,
    Fields,
    Hash32,
    ImportSpec,
    Ipv6,
    Opt,
    Pair,
    Seq,
    Str,
    Struct,
    Type,
    Uint,
)

RECEIVED = b"2026-11-24T07:42:00.123456Z"
CORES = (0, 1, 2, 9, 341, 341, 4096)
CORES_OFF = (0, 0, 0, -1, 1, 7, 8)
"""How many more cores than it has a node tells of."""
NOW = 1 << 56
TEXTS = (
    "timeout",
    'a "quoted" \\ reason\r\n\t\b\f',
    "\0\x01\x1f\x7f" * 10,
    "Überprüfung fehlgeschlagen",
    "验证失败",
    "\U0001f600\u2028",
    "a somewhat longer reason that a node gives, in plain text, as most of them are. ",
)
SHARP_BYTES = bytes(
    (0, 1, 2, 0x1F, 0x22, 0x5C, 0x7F, 0x80, 0xC0, 0xE0, 0xED, 0xF0, 0xF4, 0xFE, 0xFF)
)


class Messages:
    """Random messages that a node of ``cores`` cores and protocol ``version`` may send, or not."""

    def __init__(self, random: Random, cores: int, version: int) -> None:
        self._random = random
        self._cores = cores
        self._events = list(TABLE.events_of(version).values())
        self._weights = [
            len(repr(event.fields)) * (20 if event.core_bits else 1) for event in self._events
        ]
        self._mutations = (
            self._set_byte,
            self._flip_bit,
            self._cut,
            self._insert,
            self._remove,
            self._splice,
            self._repeat,
            self._set_count,
            self._set_type,
        )

    def valid(self) -> bytes:
        """A message as it should be; the more there is to an event, the more often it comes."""
        (event,) = self._random.choices(self._events, self._weights)
        head = self._time() + bytes([event.discriminator])
        return head + self._fields(event.fields)

    def mutated(self) -> bytes:
        """A message that was changed in up to four places."""
        content = self.valid()
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 4))):
            content = self._random.choice(self._mutations)(content)
        return content

    def _time(self) -> bytes:
        time = self._random.choice((0, NOW, NOW + COMMON_ERA, ANY_TIME))
        return (time + self._random.randrange(-3, 4) & ANY_TIME).to_bytes(8, "little")

    def _fields(self, fields: Fields) -> bytes:
        return b"".join(self._value(wire) for _, wire in fields)

    def _value(self, wire: Type) -> bytes:
        random = self._random
        match wire:
            case Uint(size):
                return random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))
            case Hash32():
                return random.randbytes(32)
            case Bool():
                return bytes([random.randrange(2)])
            case Str(limit):
                text = "".join(random.choices(TEXTS, k=random.randrange(4))).encode()
                text = text[: random.choice((limit, limit, limit + 1, 8 * random.randrange(16)))]
                return self._natural(len(text)) + text
            case Opt(item):
                return b"\1" + self._value(item) if random.randrange(2) else b"\0"
            case Seq(item):
                number = random.choice((0, 1, 2, 3, 3, 20, 130))
                return self._natural(number) + b"".join(self._value(item) for _ in range(number))
            case Pair(first, second):
                return self._value(first) + self._value(second)
            case Enum(_, names):
                return bytes([random.randrange(len(names))])
            case Ipv6():
                groups = random.choices((b"\0\0", b"\0\0", b"\0\1", b"\x0f\xff", b"\xff\xff"), k=8)
                mapped = bytes(10) + b"\xff\xff" + random.randbytes(4)
                return random.choice((mapped, b"".join(groups)))
            case CoreBytes():
                return random.randbytes(self._cores)
            case CoreBitfield():
                return random.randbytes((self._cores + 7) // 8)
            case ImportSpec():
                return random.randbytes(34)
            case Struct(_, fields):
                return self._fields(fields)

    def _natural(self, value: int) -> bytes:
        """``value``, now and then in an encoding that is longer than it need be."""
        if self._random.random() < 0.05:
            return b"\xff" + value.to_bytes(8, "little")
        return encode_natural(value)

    def _somewhere(self, content: bytes) -> int:
        return self._random.randrange(len(content) + 1)

    def _stretch(self, content: bytes) -> tuple[int, int]:
        begin = self._somewhere(content)
        return begin, min(len(content), begin + self._random.choice((1, 2, 8, 32, 34, 200)))

    def _set_byte(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        return content[:at] + bytes([self._random.choice(SHARP_BYTES)]) + content[at + 1 :]

    def _flip_bit(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        flipped = bytes(byte ^ 1 << self._random.randrange(8) for byte in content[at : at + 1])
        return content[:at] + flipped + content[at + 1 :]

    def _cut(self, content: bytes) -> bytes:
        off = self._random.choice((1, 2, 4, 20, self._somewhere(content)))
        return content[: max(0, len(content) - off)]

    def _insert(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        return content[:at] + self._random.randbytes(self._random.randrange(1, 40)) + content[at:]

    def _remove(self, content: bytes) -> bytes:
        begin, end = self._stretch(content)
        return content[:begin] + content[end:]

    def _splice(self, content: bytes) -> bytes:
        other = self.valid()
        return content[: self._somewhere(content)] + other[self._somewhere(other) :]

    def _repeat(self, content: bytes) -> bytes:
        begin, end = self._stretch(content)
        return content[:end] + content[begin:end] * self._random.choice((1, 2, 30)) + content[end:]

    def _set_count(self, content: bytes) -> bytes:
        at = self._somewhere(content)
        number = encode_natural(self._random.randrange(LARGEST + 1) >> self._random.randrange(64))
        return content[:at] + number + content[at + 1 :]

    def _set_type(self, content: bytes) -> bytes:
        return content[:8] + bytes([self._random.randrange(256)]) + content[9:]


def random_moment(random: Random) -> Moment:
    """A moment whose bounds the times and slots of :class:`Messages` are often just about at."""
    return Moment(
        RECEIVED,
        random.randrange(2),
        random.choice((0, 0, NOW, NOW + 1)),
        random.choice((ANY_TIME, NOW, NOW + 1)),
        random.choice((ANY_SLOT, ANY_SLOT - 1, 0, 1 << 31)),
        random.choice((0, 0, 1, 3, 2**40)),
    )


class Tally:
    """What was done so far."""

    def __init__(self) -> None:
        self.rounds = self.frames = self.bytes = 0
        self.events = self.errors = self.violations = self.skipped = self.too_long = 0

    def add(self, result: Decoded | tuple[int, int] | str) -> None:
        """Count what :func:`outcome` gave."""
        if isinstance(result, str):
            self.too_long += 1
        elif isinstance(result, Decoded):
            self.events += len(result.types)
            for fault in result.faults:
                if fault.kind == DECODE_ERROR:
                    self.errors += fault.times
                else:
                    self.violations += fault.times
        else:
            self.skipped += result[1]

    def __str__(self) -> str:
        return (
            f"{self.rounds:,} rounds, {self.frames:,} frames ({self.bytes:,} bytes): "
            f"{self.events:,} events, {self.errors:,} decode errors, "
            f"{self.violations:,} violations, {self.skipped:,} skipped, "
            f"{self.too_long:,} times FrameTooLong"
        )


def fuzz(random: Random, shared: CompiledCodec, python: PythonCodec, tally: Tally) -> None:
    """One round: some frames of a node, through both codecs in steps.

    Half the time it is not the ``shared`` codec but a new one, whose buffers have yet to grow.

    :raises AssertionError: if they differ.
    """
    cores = random.choice(CORES)
    options = Dialect(
        node_id=random.randbytes(32).hex(),
        cores=None if random.random() < 0.2 else max(cores + random.choice(CORES_OFF), 0),
        version=random.randrange(3),
        byte_arrays=random.random() < 0.3,
        max_message_size=random.choice((1 << 20, 1 << 20, 1 << 20, 300)),
        fact_types=random.choice((frozenset(), FACT_TYPES, frozenset(range(256)))),
        known_layout=random.random() < 0.5,
    )
    messages = Messages(random, cores, options.version)
    contents = [messages.mutated() for _ in range(random.choice((1, 1, 3, 20)))]
    data = b"".join(len(content).to_bytes(4, "little") + content for content in contents)
    if random.random() < 0.1:
        at = random.randrange(len(data))
        data = data[:at] + random.randbytes(random.randrange(3)) + data[at + 1 :]
    tally.frames += len(contents)
    tally.bytes += len(data)
    codec = random.choice((shared, CompiledCodec()))
    ours, theirs = codec.open(options), python.open(options)
    ours.next_event_id = theirs.next_event_id = random.choice((0, 2**64 - 2))
    at, first_id = 0, random.randrange(2**50)
    progress = True
    while progress:
        call: tuple[Any, ...] = "skip", data, at, random.randrange(1, 4)
        if random.random() < 0.9:
            room = random.choice((1, 2, 100, 1_000_000))
            call = "decode", data, at, room, first_id, random.randrange(9), random_moment(random)
        result, expected = outcome(ours, *call), outcome(theirs, *call)
        assert result == expected, f"{options}\n{call}\n{result}\n{expected}"
        assert ours.next_event_id == theirs.next_event_id
        assert ours.cores == theirs.cores
        tally.add(result)
        progress = not isinstance(result, str) and result[0] > at
        at = result[0] if progress else at
    assert ours.take_counts() == theirs.take_counts()
    assert ours.take_dropped() == theirs.take_dropped()


def outcome(stream: Stream, method: str, *arguments: Any) -> Any:
    """What the call returns, or the text of the :class:`FrameTooLong` that it raises."""
    try:
        return getattr(stream, method)(*arguments)
    except FrameTooLong as error:
        return str(error)


def main() -> None:
    """Run rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("seconds", type=float, help="how long to run")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--every", type=int, default=20_000, help="rounds between two reports")
    options = parser.parse_args()
    shared, python, tally = CompiledCodec(), PythonCodec(), Tally()
    sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
    print(
        f"kernel {os.path.relpath(_kernel.__file__)}, Python {platform.python_version()}, "
        f"seed {options.seed}, {'with' if sanitized else 'without'} address sanitizer",
        flush=True,
    )
    began = time.monotonic()
    for number in count(options.first):
        if time.monotonic() - began >= options.seconds:
            break
        if number % options.every == 0:
            print(f"from round {number:,} on", file=sys.stderr, flush=True)
        try:
            fuzz(Random(f"{options.seed}/{number}"), shared, python, tally)
        except BaseException:
            print(f"in round {number}:", file=sys.stderr)
            raise
        tally.rounds += 1
    print(f"{time.monotonic() - began:.0f} s, {tally}", "no difference, no error", sep="\n")


if __name__ == "__main__":
    main()
