"""The compiled writer of chunks gives the bytes that the one in Python gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.ingestion.chunks import ChunkWriter, Fed, PythonChunkWriter
from telemetry_twisted.jip3.codec import Codec, FrameTooLong, Stream, load_codec
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.python import PythonCodec
from telemetry_twisted.transport.records import CHUNK, Chunk
from tests.examples import examples

from .said import MOMENTS, STOCK, TOO_LONG, dialect_of, streams_of_frames

_chunks = pytest.importorskip("telemetry_twisted.ingestion._chunks", exc_type=ImportError)

NODES = 4
SMALL = STOCK[0]


@pytest.fixture
def writer() -> ChunkWriter:
    made: ChunkWriter = _chunks.ChunkWriter(1, 1)
    return made


@pytest.fixture(scope="module")
def compiled() -> Codec:
    return load_codec("compiled")


@pytest.fixture
def stream(compiled: Codec) -> Stream:
    return compiled.open(dialect_of(1))


def outcome(writer: ChunkWriter, stream: Stream, *arguments: Any) -> Fed | str:
    try:
        return writer.feed(stream, *arguments)
    except FrameTooLong as error:
        return str(error)


class Pair:
    """The two writers, and for each node a stream of each codec."""

    def __init__(self, compiled: Codec, first_id: int, id_step: int) -> None:
        self.ours: ChunkWriter = _chunks.ChunkWriter(first_id, id_step)
        self.theirs = PythonChunkWriter(first_id, id_step)
        python = PythonCodec()
        self.streams = [
            (compiled.open(dialect_of(node)), python.open(dialect_of(node)))
            for node in range(NODES)
        ]

    def begin_turn(self, number: int) -> None:
        self.take()
        for writer in (self.ours, self.theirs):
            writer.begin_turn(MOMENTS[number], 10**15 + number, number)

    def begin_after(self, ids: int) -> None:
        last_id = max(0, self.theirs._next_id + ids)
        self.ours.begin_after(last_id)
        self.theirs.begin_after(last_id)

    def feed(self, node: int, data: bytes, start: int, most: int | None) -> None:
        start = min(start, len(data))
        ours, theirs = self.streams[node]
        handle = 16_000 * node
        fed = outcome(self.theirs, theirs, handle, data, start, most)
        assert outcome(self.ours, ours, handle, data, start, most) == fed
        assert ours.next_event_id == theirs.next_event_id

    def take(self) -> None:
        expected = b"".join(self.theirs.take())
        assert (self.ours.size > 0) == (expected != b"")
        assert b"".join(self.ours.take()) == expected
        assert self.ours.size == 0

    def check(self) -> None:
        assert self.ours.events == self.theirs.events
        for ours, theirs in self.streams:
            assert ours.take_counts() == theirs.take_counts()
            assert ours.take_dropped() == theirs.take_dropped()


data = st.tuples(streams_of_frames(6), st.sampled_from((b"", b"", SMALL[:3], SMALL[:9], TOO_LONG)))
feeds = st.tuples(
    st.just("feed"),
    st.integers(0, NODES - 1),
    data.map(b"".join),
    st.sampled_from((0, 0, 0, 4, len(SMALL))),
    st.none() | st.sampled_from((0, 1, 3, 100, 150)),
)
others = st.one_of(
    st.tuples(st.just("begin_turn"), st.integers(0, len(MOMENTS) - 1)),
    st.tuples(st.just("begin_after"), st.integers(-3, 20)),
    st.tuples(st.just("take")),
)


@examples(300)
@given(
    steps=st.lists(st.one_of(feeds, feeds, feeds, others), max_size=12),
    first_id=st.integers(0, 3) | st.just(2**60),
    id_step=st.integers(1, 3),
)
def test_identical_to_the_python_writer(
    compiled: Codec, steps: list[tuple[Any, ...]], first_id: int, id_step: int
) -> None:
    pair = Pair(compiled, first_id, id_step)
    for name, *arguments in steps:
        getattr(pair, name)(*arguments)
    pair.take()
    pair.check()


def test_a_chunk_of_a_hundred_longest(compiled: Codec) -> None:
    """It is larger than the memory that a record begins with."""
    pair = Pair(compiled, 1, 1)
    pair.begin_turn(1)
    pair.feed(1, STOCK[-1] * 150 + SMALL, 0, None)
    pair.feed(2, SMALL, 0, None)
    assert pair.ours.size > 150 * 6 * 2_900
    pair.take()
    pair.check()


class TestRefusals:
    def test_a_codec_of_another_kind(self, writer: ChunkWriter) -> None:
        with pytest.raises(TypeError):
            writer.feed(PythonCodec().open(dialect_of(1)), 1, SMALL, 0, None)

    @pytest.mark.parametrize("handle", [-1, 2**16])
    def test_a_handle_that_has_no_room(
        self, writer: ChunkWriter, stream: Stream, handle: int
    ) -> None:
        with pytest.raises(OverflowError):
            writer.feed(stream, handle, SMALL, 0, None)
        assert (writer.events, writer.take()) == (0, [])

    @pytest.mark.parametrize("start", [-1, len(SMALL) + 1])
    def test_a_start_outside_the_data(
        self, writer: ChunkWriter, stream: Stream, start: int
    ) -> None:
        with pytest.raises(ValueError, match=f"start is {start}"):
            writer.feed(stream, 1, SMALL, start, None)

    @pytest.mark.parametrize("most", [-1, 2**64])
    def test_a_number_that_is_none(self, writer: ChunkWriter, stream: Stream, most: int) -> None:
        with pytest.raises(OverflowError):
            writer.feed(stream, 1, SMALL, 0, most)

    def test_no_step(self) -> None:
        with pytest.raises(ValueError, match="id_step is 0"):
            _chunks.ChunkWriter(1, 0)

    def test_no_ids_are_left(self, writer: ChunkWriter) -> None:
        with pytest.raises(OverflowError):
            writer.begin_after(2**64 - 1)

    def test_no_moment(self, writer: Any) -> None:
        with pytest.raises(TypeError):
            writer.begin_turn(None, 1, 1)


def test_largest_numbers(stream: Stream) -> None:
    largest = 2**64 - 1
    writer: ChunkWriter = _chunks.ChunkWriter(largest, 1)
    writer.begin_turn(Moment(b"now"), largest, largest)
    writer.feed(stream, 2**16 - 1, SMALL, 0, None)
    (record,) = writer.take()
    chunk = Chunk.decode(record[5:])
    assert record[4] == CHUNK
    assert (chunk.first_id, chunk.received, chunk.read) == (largest, largest, largest)
    assert chunk.runs == ((2**16 - 1, 1),)


def test_before_the_first_turn(writer: ChunkWriter, stream: Stream) -> None:
    assert writer.take() == []
    assert writer.feed(stream, 1, SMALL, 0, None).events == 1
    assert writer.events == 1
