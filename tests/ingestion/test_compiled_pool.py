"""The compiled pool finds and writes what the one in Python does, and keeps to its bounds."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.ingestion.chunks import ChunkWriter, PythonChunkWriter
from telemetry_twisted.ingestion.pool import NodePool, Turn
from telemetry_twisted.ingestion.python_pool import PythonPool
from telemetry_twisted.jip3.codec import Codec, Stream, load_codec
from telemetry_twisted.jip3.encoder import frame
from telemetry_twisted.jip3.python import PythonCodec
from tests.examples import examples

from .said import LONGEST, MOMENTS, STOCK, TOO_LONG, dialect_of, streams_of_frames

_pool = pytest.importorskip("telemetry_twisted.ingestion._pool", exc_type=ImportError)
_chunks = pytest.importorskip("telemetry_twisted.ingestion._chunks", exc_type=ImportError)

NODES = 4
SMALL = STOCK[0]
BAD = frame(b"")
MIB = 1 << 20


@pytest.fixture(scope="module")
def compiled() -> Codec:
    return load_codec("compiled")


class Side:
    """A pool with its writer, and both ends of the connections in it."""

    def __init__(self, codec: Codec, writer: ChunkWriter, pool: NodePool) -> None:
        self.codec = codec
        self.writer = writer
        self.pool = pool
        self.streams: dict[int, Stream] = {}
        self.nodes: dict[int, socket.socket] = {}
        self.sockets: dict[int, socket.socket] = {}

    def add(
        self, number: int, rest: bytes = b"", rate: int = 0, spent: int = 0, now: float = 0
    ) -> None:
        if number in self.nodes:
            self.leave(number)
        node, ours = socket.socketpair()
        ours.setblocking(False)
        node.setblocking(False)
        self.nodes[number], self.sockets[number] = node, ours
        self.streams[number] = stream = self.codec.open(dialect_of(number))
        handle = 16_000 * number
        self.pool.add(number, ours.fileno(), stream, handle, rest, rate, spent, now)

    def leave(self, number: int) -> None:
        """Take it out of the pool and close both ends."""
        self.pool.remove(number)
        self.pool.remove(number)
        self.nodes.pop(number).close()
        self.sockets.pop(number).close()

    def turn(self, number: int = 1, now: float = 0) -> Turn:
        self.writer.begin_turn(MOMENTS[number], 10**15 + number, number)
        return self.pool.turn(now)

    def chunks(self) -> bytes:
        return b"".join(self.writer.take())

    def close(self) -> None:
        for number in list(self.nodes):
            self.leave(number)
        self.pool.close()


def side(codec: Codec, longest: int = LONGEST, **options: Any) -> Side:
    """The side of ``codec``."""
    if codec.name == "python":
        writer = PythonChunkWriter(1, 1)
        return Side(codec, writer, PythonPool(writer, longest, **options))
    writer = _chunks.ChunkWriter(1, 1)
    return Side(codec, writer, _pool.NodePool(writer, longest, **options))


@pytest.fixture
def ours(compiled: Codec) -> Iterator[Side]:
    made = side(compiled)
    yield made
    made.close()


def is_readable(pool: NodePool) -> bool:
    return select.select([pool.fileno()], [], [], 0)[0] != []


def comparable(turn: Turn) -> tuple[Any, ...]:
    ended = [(connection, repr(why)) for connection, why in turn.ended]
    return turn.told, ended


class Pair:
    """The two pools, whose nodes do the same."""

    def __init__(self, compiled: Codec) -> None:
        self.ours, self.theirs = self.both = side(compiled), side(PythonCodec())
        self.shut: set[int] = set()

    def close(self) -> None:
        for each in self.both:
            each.close()

    def add(self, number: int, rest: bytes, rate: int, spent: int) -> None:
        self.shut.discard(number)
        for each in self.both:
            each.add(number, rest, rate, spent)

    def leave(self, number: int) -> None:
        for each in self.both:
            if number in each.nodes:
                each.leave(number)

    def send(self, number: int, data: bytes) -> None:
        """What the node has room for: on both sides the same."""
        if number in self.ours.nodes and number not in self.shut:
            with suppress(BlockingIOError):
                sent = self.ours.nodes[number].send(data)
                assert self.theirs.nodes[number].send(data[:sent]) == sent

    def end(self, number: int) -> None:
        self.shut.add(number)
        for each in self.both:
            if number in each.nodes:
                each.nodes[number].shutdown(socket.SHUT_WR)

    def turn(self, number: int, now: float) -> None:
        turns = [each.turn(number, now) for each in self.both]
        assert comparable(turns[0]) == comparable(turns[1])
        for ended in turns[1].ended:
            self.leave(ended.connection)
        assert self.ours.chunks() == self.theirs.chunks()
        assert is_readable(self.ours.pool) == is_readable(self.theirs.pool)

    def check(self) -> None:
        ours, theirs = (dict(each.pool.take_changed()) for each in self.both)
        assert ours.items() <= theirs.items()
        assert not any(theirs[number] for number in theirs.keys() - ours.keys())
        for number in self.ours.nodes:
            heard = [each.pool.heard(number) for each in self.both]
            assert heard[0] == heard[1]
            streams = [each.streams[number] for each in self.both]
            assert streams[0].next_event_id == streams[1].next_event_id
            counts = streams[0].take_counts()
            assert counts == streams[1].take_counts()
            assert number in ours or not counts


numbers = st.integers(0, NODES - 1)
ends = st.sampled_from((b"", b"", b"", SMALL[:2], SMALL[:9], STOCK[-1][:2_000], TOO_LONG[:4]))
starts = st.sampled_from((b"", b"", SMALL[2:], SMALL[9:], STOCK[-1][2_000:]))
sends = st.tuples(
    st.just("send"),
    numbers,
    st.tuples(starts, streams_of_frames(4), ends).map(b"".join),
)
turns = st.tuples(st.just("turn"), st.integers(0, len(MOMENTS) - 1), st.floats(0, 9))
others = st.one_of(
    st.tuples(
        st.just("add"),
        numbers,
        st.sampled_from((b"", b"", SMALL[:2], SMALL[:9])),
        st.sampled_from((0, 0, 1, 50)),
        st.integers(0, 60),
    ),
    st.tuples(st.just("leave"), numbers),
    st.tuples(st.just("end"), numbers),
    st.tuples(st.just("check")),
)


@examples(300)
@given(steps=st.lists(st.one_of(sends, sends, turns, turns, others), max_size=30))
def test_identical_to_the_python_pool(compiled: Codec, steps: list[tuple[Any, ...]]) -> None:
    pair = Pair(compiled)
    try:
        for number in range(NODES):
            pair.add(number, b"", (0, 0, 20, 3)[number], 0)
        for name, *arguments in steps:
            getattr(pair, name)(*arguments)
        pair.turn(0, 9)
        pair.check()
    finally:
        pair.close()
