"""Random messages that a node may send, or not, and moments at which they come."""

from __future__ import annotations

from random import Random

from telemetry_twisted.jip3.codec import FACT_TYPES, Dialect
from telemetry_twisted.jip3.moment import ANY_SLOT, ANY_TIME, COMMON_ERA, Moment
from telemetry_twisted.jip3.natural import LARGEST, encode_natural
from telemetry_twisted.jip3.table import (
    TABLE,
    Bool,
    CoreBitfield,
    CoreBytes,
    Enum,
    EventType,
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
        return self.of(event)

    def of(self, event: EventType) -> bytes:
        """A message that tells of such an event, as it should be."""
        return self._time() + bytes([event.discriminator]) + self._fields(event.fields)

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


def random_dialect(random: Random, cores: int) -> Dialect:
    """How a node of ``cores`` cores may speak; it need not tell that it has so many."""
    return Dialect(
        node_id=random.randbytes(32).hex(),
        cores=None if random.random() < 0.2 else max(cores + random.choice(CORES_OFF), 0),
        version=random.randrange(3),
        byte_arrays=random.random() < 0.3,
        max_message_size=random.choice((1 << 20, 1 << 20, 1 << 20, 300)),
        fact_types=random.choice((frozenset(), FACT_TYPES, frozenset(range(256)))),
        known_layout=random.random() < 0.5,
    )


def random_frames(random: Random, messages: Messages, counts: tuple[int, ...]) -> list[bytes]:
    """Frames of mutated ``messages``, as many as one of ``counts``."""
    contents = (messages.mutated() for _ in range(random.choice(counts)))
    return [len(content).to_bytes(4, "little") + content for content in contents]


def damaged(random: Random, data: bytes) -> bytes:
    """``data``, now and then with a byte that is another, or gone, so that lengths are wrong."""
    if not data or random.random() >= 0.1:
        return data
    at = random.randrange(len(data))
    return data[:at] + random.randbytes(random.randrange(3)) + data[at + 1 :]
