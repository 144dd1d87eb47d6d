"""The compiled pool finds and writes what the one in Python does, and keeps to its bounds."""

from __future__ import annotations

import gc
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from operator import itemgetter
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.ingestion.chunks import ChunkWriter, PythonChunkWriter
from telemetry_twisted.ingestion.pool import READ_BYTES, NodePool, Told, Turn
from telemetry_twisted.ingestion.python_pool import PythonPool
from telemetry_twisted.jip3.codec import Codec, FrameTooLong, Stream, load_codec
from telemetry_twisted.jip3.encoder import frame
from telemetry_twisted.jip3.python import PythonCodec
from telemetry_twisted.transport.records import CHUNK, PREFIX, Chunk
from tests.examples import examples

from .said import LONGEST, MOMENTS, STOCK, TOO_LONG, dialect_of, failed, streams_of_frames

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
        self,
        number: int,
        rest: bytes = b"",
        rate: int = 0,
        spent: int = 0,
        handle: int | None = None,
        longest: int = LONGEST,
    ) -> None:
        if number in self.nodes:
            self.leave(number)
        node, ours = socket.socketpair()
        ours.setblocking(False)
        node.setblocking(False)
        self.nodes[number], self.sockets[number] = node, ours
        self.streams[number] = stream = self.codec.open(
            evolve(dialect_of(number), max_message_size=longest)
        )
        handle = 16_000 * number if handle is None else handle
        self.pool.add(number, ours.fileno(), stream, handle, rest, rate, spent, 0)

    def leave(self, number: int) -> None:
        """Take it out of the pool and close both ends."""
        self.pool.remove(number)
        self.pool.remove(number)
        self.nodes.pop(number).close()
        self.sockets.pop(number).close()

    def turn(self, number: int = 1, now: float = 0) -> Turn:
        moment = MOMENTS[number]._replace(second=int(now))
        self.writer.begin_turn(moment, 10**15 + number, number)
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


def turn_and_take(ours: Side) -> bytes:
    ours.turn()
    return ours.chunks()


def is_readable(pool: NodePool) -> bool:
    return select.select([pool.fileno()], [], [], 0)[0] != []


def comparable(turn: Turn) -> tuple[Any, ...]:
    """What it found, by connection: the pools do not read in the same order."""
    ended = sorted((connection, repr(why)) for connection, why in turn.ended)
    return sorted(turn.told, key=itemgetter(0)), ended


def by_node(data: bytes) -> dict[int, list[bytes]]:
    """The events in records of chunks, without their ids, by the handle of the node."""
    events: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data):
        length, kind = PREFIX.unpack_from(data, at)
        assert kind == CHUNK
        chunk = Chunk.decode(data[at + PREFIX.size : at + 4 + length])
        each = chunk.each()
        for handle, count in chunk.runs:
            of_node = events.setdefault(handle, [])
            of_node += (event.split(b',"node_id"')[1] for event in islice(each, count))
        at += 4 + length
    return events


class Pair:
    """The two pools, whose nodes do the same."""

    def __init__(self, compiled: Codec) -> None:
        self.ours = side(compiled, turn_bytes=MIB)
        self.theirs = side(PythonCodec(), turn_bytes=MIB)
        self.both = self.ours, self.theirs
        self.shut: set[int] = set()
        self.now = 0.0

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

    def turn(self, number: int, seconds: float) -> None:
        self.now += seconds
        turns = [each.turn(number, self.now) for each in self.both]
        assert comparable(turns[0]) == comparable(turns[1])
        for ended in turns[1].ended:
            self.leave(ended.connection)
        ours, theirs = self.ours.chunks(), self.theirs.chunks()
        assert by_node(ours) == by_node(theirs)
        if len(by_node(ours)) == 1:
            assert ours == theirs
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
turns = st.tuples(st.just("turn"), st.integers(0, len(MOMENTS) - 1), st.floats(0, 2))
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


class TestBounds:
    def test_one_read_of_each_in_a_turn(self, compiled: Codec) -> None:
        """So one that floods keeps nobody waiting."""
        ours = side(compiled)
        for number in (0, 1):
            ours.add(number)
        ours.nodes[0].send(SMALL * (3 * READ_BYTES // len(SMALL)))
        ours.nodes[1].send(SMALL)
        first, second = by_node(turn_and_take(ours)), by_node(turn_and_take(ours))
        assert len(first[0]) == READ_BYTES // len(SMALL)
        assert len(first[16_000]) == 1
        assert list(second) == [0]
        assert is_readable(ours.pool)
        ours.close()

    def test_more_bytes_than_a_turn_takes(self, compiled: Codec) -> None:
        ours = side(compiled, turn_bytes=1)
        for number in range(40):
            ours.add(number, handle=number)
            ours.nodes[number].send(SMALL)
        handles: list[int] = []
        turns = []
        while is_readable(ours.pool):
            turns.append(ours.turn())
            handles += by_node(ours.chunks())
        assert handles == list(range(40))
        assert len(turns) >= 10
        assert all(turn.more for turn in turns[:-1])
        ours.close()

    def test_large_frames_that_become_whole_at_once(self, compiled: Codec) -> None:
        """What is decoded counts, not only what is read."""
        ours = side(compiled, longest=MIB)
        large = failed(b"x" * (MIB - 21))
        for number in range(8):
            ours.add(number, handle=number, longest=MIB)
        for begin in range(0, len(large) - 100, 30_000):
            for node in ours.nodes.values():
                node.send(large[begin : min(begin + 30_000, len(large) - 100)])
            while is_readable(ours.pool):
                ours.turn()
        assert ours.chunks() == b""
        for node in ours.nodes.values():
            node.send(large[-100:])
        turns = []
        while is_readable(ours.pool):
            turns.append(by_node(turn_and_take(ours)))
        assert len(turns) > 1
        assert [handle for turn in turns for handle in turn] == list(range(8))
        ours.close()

    def test_what_is_begun_is_let_go_of_when_it_is_whole(self, compiled: Codec) -> None:
        ours = side(compiled, longest=MIB)
        ours.add(0, longest=MIB)
        idle = sys.getsizeof(ours.pool)
        large = failed(b"\x01" * (MIB - 21)) + SMALL[:9]
        sent = 0
        while sent < len(large):
            assert sys.getsizeof(ours.pool) - idle <= 2 * sent
            sent += ours.nodes[0].send(large[sent : sent + 30_000])
            ours.turn()
        assert sys.getsizeof(ours.pool) - idle < 100
        ours.nodes[0].send(SMALL[9:])
        ours.turn()
        assert len(by_node(ours.chunks())[0]) == 2
        assert sys.getsizeof(ours.pool) == idle
        ours.close()

    def test_an_idle_connection_takes_little(self, compiled: Codec) -> None:
        ours = side(compiled)
        empty = sys.getsizeof(ours.pool)
        for number in range(50):
            ours.add(number, handle=number)
        assert sys.getsizeof(ours.pool) - empty < 50 * 512
        ours.close()


class TestEndings:
    def test_a_connection_that_is_reset(self, compiled: Codec) -> None:
        ours = side(compiled)
        listening = socket.create_server(("127.0.0.1", 0))
        node = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
        ours.pool.add(7, accepted.fileno(), compiled.open(dialect_of(7)), 7, b"", 0, 0, 0)
        node.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        node.close()
        select.select([ours.pool.fileno()], [], [], 10)
        ((connection, why),) = ours.turn().ended
        assert connection == 7
        assert isinstance(why, ConnectionResetError)
        accepted.close()
        listening.close()
        ours.close()

    def test_what_came_with_the_end_comes_before_it(self, ours: Side) -> None:
        ours.add(1)
        ours.nodes[1].send(SMALL + STOCK[2])
        ours.nodes[1].shutdown(socket.SHUT_WR)
        first, second = ours.turn(), ours.turn()
        assert (first.told[0].facts, first.ended) == (STOCK[2], [])
        assert second.ended == [(1, None)]
        assert len(by_node(ours.chunks())[16_000]) == 2
        assert not is_readable(ours.pool)

    def test_it_is_in_the_pool_no_more(self, ours: Side) -> None:
        ours.add(0)
        ours.nodes[0].shutdown(socket.SHUT_WR)
        ours.turn()
        with pytest.raises(KeyError):
            ours.pool.heard(0)
        ours.leave(0)
        ours.add(0)
        ours.nodes[0].send(SMALL)
        ours.turn()
        assert ours.pool.take_changed() == [(0, 0)]


class TestRefusals:
    def test_a_descriptor_that_is_none(self, ours: Side, compiled: Codec) -> None:
        stream = compiled.open(dialect_of(0))
        with pytest.raises(OSError, match="Bad file descriptor"):
            ours.pool.add(0, -1, stream, 0, b"", 0, 0, 0)
        with pytest.raises(KeyError):
            ours.pool.heard(0)

    def test_a_number_that_is_taken(self, ours: Side, compiled: Codec) -> None:
        ours.add(0)
        descriptor = ours.sockets[0].fileno()
        with pytest.raises(ValueError, match="connection 0 is in the pool; remove it first"):
            ours.pool.add(0, descriptor, compiled.open(dialect_of(0)), 0, b"", 0, 0, 0)

    def test_a_rest_that_is_too_long(self, ours: Side) -> None:
        with pytest.raises(FrameTooLong):
            ours.add(0, TOO_LONG[:4])
        assert ours.turn().ended == []

    def test_a_codec_of_another_kind(self, ours: Side) -> None:
        with pytest.raises(TypeError):
            ours.pool.add(0, 0, PythonCodec().open(dialect_of(0)), 0, b"", 0, 0, 0)
        with pytest.raises(TypeError):
            _pool.NodePool(PythonChunkWriter(1, 1), LONGEST)

    def test_a_pool_that_is_closed(self, ours: Side, compiled: Codec) -> None:
        ours.add(0)
        ours.pool.close()
        ours.pool.close()
        with pytest.raises(ValueError, match="the pool is closed"):
            ours.turn()
        descriptor = ours.sockets[0].fileno()
        with pytest.raises(OSError, match="Bad file descriptor"):
            ours.pool.add(1, descriptor, compiled.open(dialect_of(1)), 1, b"", 0, 0, 0)


@pytest.mark.parametrize("step", [40, pytest.param(7, marks=pytest.mark.end_to_end)])
def test_a_finalizer_that_uses_the_pool(compiled: Codec, step: int) -> None:
    """What a turn tells of are objects, so it may run the garbage collector, and that any code."""
    runs = 0
    said = SMALL + STOCK[2] + BAD
    expected: list[Told] = []

    class Cycle:
        def __init__(self, ours: Side) -> None:
            self.itself = self
            self.ours = ours

        def __del__(self) -> None:
            nonlocal runs
            if self.ours.nodes:
                runs += 1
                self.ours.leave(3)
                self.ours.add(50, handle=50)
                self.ours.nodes[50].send(said * 9)
                self.ours.turn()
                self.ours.pool.take_changed()
                self.ours.writer.feed(self.ours.streams[2], 2, said * 9, 0, None)
                self.ours.writer.take()

    thresholds = gc.get_threshold()
    for threshold in range(1, 200, step):
        ours = side(compiled)
        for number in range(1, 40):
            ours.add(number, handle=number)
            ours.nodes[number].send(said)
        ours.writer.begin_turn(MOMENTS[1], 1, 1)
        gc.collect()
        Cycle(ours)
        gc.set_threshold(threshold)
        try:
            told = ours.pool.turn(0.0).told
        finally:
            gc.set_threshold(*thresholds)
        expected = expected or told
        assert told == expected
        ours.close()
    gc.collect()
    assert runs > 0


@pytest.mark.end_to_end
def test_no_memory() -> None:
    """A frame for which there is no memory ends its connection; others go on."""
    program = """if True:
        import resource, socket, struct
        from telemetry_twisted.ingestion._chunks import ChunkWriter
        from telemetry_twisted.ingestion._pool import NodePool
        from telemetry_twisted.jip3.codec import Dialect
        from telemetry_twisted.jip3.compiled import CompiledCodec
        writer, codec = ChunkWriter(1, 1), CompiledCodec()
        pool = NodePool(writer, 1 << 30)
        ends = [socket.socketpair() for _ in range(2)]
        for number, (_, ours) in enumerate(ends):
            stream = codec.open(Dialect("ab" * 32, 341, max_message_size=1 << 30))
            pool.add(number, ours.fileno(), stream, number, b"", 0, 0, 0.0)
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + (16 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        piece = bytes(20_000)
        ends[0][0].send(struct.pack("<I", 1 << 30))
        ended = []
        while not ended:
            ends[0][0].send(piece)
            ended = pool.turn(0.0).ended
        print([(number, str(why)) for number, why in ended])
        ends[1][0].send(struct.pack("<IQBQ", 17, 1, 26, 2))
        pool.turn(0.0)
        print(writer.events)
    """
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stderr == ""
    assert result.stdout == "[(0, 'there is no memory for what it sent')]\n1\n"
