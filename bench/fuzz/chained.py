"""Followers of chains against each other: nodes whose events refer to each other, as they should or
not, through both codecs in the same steps."""

from __future__ import annotations

import struct
from random import Random
from typing import Any

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.codec import Codec, Dialect, Following, Stream
from telemetry_twisted.jip3.compiled import CompiledCodec
from telemetry_twisted.jip3.following import CORES, ERASURE_ROOTS
from telemetry_twisted.jip3.frames import encode_frames
from telemetry_twisted.jip3.moment import ANY_SLOT, ANY_TIME, COMMON_ERA, Moment
from telemetry_twisted.jip3.python import PythonCodec
from telemetry_twisted.jip3.table import TABLE

from .messages import Messages

NOW = 1 << 50
NODE_CORES = 9
NODES = 3
STEPS = 24
NETWORKS = (bytes(32), b"\1" * 32)
_TIME = struct.Struct("<Q")
_DROPPED = struct.Struct("<QBQQ")
_REFERRING = {
    target: [kind for kind, each in CHAINS.references.items() if target in each.targets]
    for target in CHAINS.referred
}
_TOLD = (11, 12, 43, 62, 113, 126, 131, 131, 131)
_ANY = sorted(TABLE.events)


class Node:
    """What a node sends: ``next_id`` is the ID of its next event.

    :param tame: whether it nearly always does as it should.
    """

    def __init__(self, random: Random, next_id: int, tame: bool, longest: int) -> None:
        self.next_id = next_id
        self._random = random
        self._tame = tame
        self._longest = longest
        self._messages = Messages(random, NODE_CORES, 0)
        self._hashes = [random.randbytes(32) for _ in range(4)]
        self._kinds = random.choice((_ANY, sorted(CHAINS.roots), [90, 90, 91], [90, 106, 120, 43]))
        self._known: list[tuple[int, int]] = []
        self._time = NOW

    def frames(self) -> bytes:
        """Some frames of it."""
        count = self._random.choice((1, 3, 20, self._longest))
        return encode_frames([self._message() for _ in range(count)])

    def _message(self) -> bytes:
        random = self._random
        odd = random.random() < (0.01 if self._tame else 0.2)
        if odd and random.random() < 0.2:
            number = random.choice((0, 1, 2, 30, 2**12, 2**63, 2**64 - 1))
            return self._used(_DROPPED.pack(self._time, 0, self._time, number), number)
        if odd and random.random() < 0.3:
            return self._used(self._messages.mutated(), None)
        content = self._event(odd)
        self._known = [*self._known[-random.choice((5, 60)) :], (content[8], self.next_id)]
        return self._used(content, 1)

    def _used(self, content: bytes, number: int | None) -> bytes:
        if number is None:
            dropped = len(content) >= _DROPPED.size and content[8] == 0
            number = int.from_bytes(content[17:25], "little") if dropped else 1
        self.next_id = (self.next_id + number) % 2**64
        return content

    def _event(self, odd: bool) -> bytes:
        random = self._random
        kind, id = random.choice(self._kinds), 0
        if random.random() < 0.2:
            kind = random.choice(_TOLD)
        if self._known and random.random() < 0.8:
            target, id = random.choice(self._known)
            kind = random.choice(_REFERRING.get(target, [kind]))
        if odd:
            kind = random.choice(_ANY)
            far = random.choice((-5000, -2049, -2048, -2047, -9, -1, 0, 1, 9, 2**63))
            id = random.choice((id, self.next_id + far)) % 2**64
        content = bytearray(self._messages.of(TABLE.events[kind]))
        self._time += random.choice((0, 1, 20, 31, 32, 40_000, -10 if odd else 3))
        time = random.choice((0, NOW, 2**62 - 1, 2**62, ANY_TIME)) if odd else self._time
        content[:8] = _TIME.pack(time)
        if kind in CHAINS.references:
            content[9:17] = _TIME.pack(id)
        if kind in CORES:
            core = random.choice((0, 1, 8, NODE_CORES, 0xFFFF))
            content[CORES[kind] : CORES[kind] + 2] = core.to_bytes(2, "little")
        for offset in (ERASURE_ROOTS.get(kind), *_HASHES.get(kind, ())):
            if offset is not None:
                content[offset : offset + 32] = random.choice(self._hashes)
        return bytes(content)


def _offset(kind: int, field: str) -> int:
    offset = TABLE.events[kind].offset_of(field)
    assert offset is not None
    return offset


_HASHES = {131: (_offset(131, "sender"), _offset(131, "anchor")), 62: (_offset(62, "hash"),)}


class Side:
    """The streams of a codec, and what gathers what they find."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.gatherer = codec.gatherer()
        self.streams: list[Stream] = []

    def add(self, dialect: Dialect, network: int, next_id: int) -> None:
        """A node has connected."""
        following = Following(self.gatherer, len(self.streams), network)
        stream = self.codec.open(dialect, following)
        stream.next_event_id = next_id
        self.streams.append(stream)


def fuzz(random: Random, longest: int = 300) -> int:
    """One round: a few nodes, of which each sends at most ``longest`` frames at once; how many
    bytes were found.

    :raises AssertionError: if the followers differ.
    """
    sides = Side(CompiledCodec()), Side(PythonCodec())
    nodes = []
    for _ in range(random.randrange(1, NODES + 1)):
        next_id = random.choice((0, 0, 2**64 - 9))
        cores = random.choice((None, NODE_CORES))
        dialect = Dialect(random.randbytes(32).hex(), cores, known_layout=cores is not None)
        network = random.choice((0, 1, 255))
        for side in sides:
            side.add(dialect, network, next_id)
        nodes.append(Node(random, next_id, random.random() < 0.5, longest))
    second = found = 0
    for _ in range(STEPS):
        number = random.randrange(len(nodes))
        second += random.choice((0, 0, 0, 1, 59, 61, 601))
        if random.random() < 0.2:
            found += len(_same(side.gatherer.take(1, 2, second, NETWORKS) for side in sides))
        if random.random() < 0.05:
            for side in sides:
                side.streams[number].end_chains()
        _feed(random, sides, number, nodes[number].frames(), _moment(random, second))
    for side in sides:
        for stream in side.streams:
            stream.end_chains()
    return found + len(_same(side.gatherer.take(1, 2, second, NETWORKS) for side in sides))


def _feed(
    random: Random, sides: tuple[Side, Side], number: int, data: bytes, moment: Moment
) -> None:
    at = 0
    while at < len(data):
        if random.random() < 0.1:
            most = random.randrange(1, 40)
            at, _ = _same(side.streams[number].skip(data, at, most) for side in sides)
        else:
            room = random.choice((1, 5, len(data), len(data)))
            decoded = _same(
                side.streams[number].decode(data, at, room, 1, 1, moment) for side in sides
            )
            at = decoded.end
    assert sides[0].streams[number].next_event_id == sides[1].streams[number].next_event_id


def _moment(random: Random, second: int) -> Moment:
    return Moment(
        b"now",
        0,
        random.choice((0, 0, NOW - 1000)),
        random.choice((ANY_TIME, NOW + 1_000_000)),
        random.choice((ANY_SLOT, 1 << 31)),
        second,
        random.choice((0, COMMON_ERA + NOW + random.randrange(1_000_000))),
    )


def _same(results: Any) -> Any:
    ours, theirs = results
    assert ours == theirs, f"{ours!r:.4000}\n{theirs!r:.4000}"
    return ours
