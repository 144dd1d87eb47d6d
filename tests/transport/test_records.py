"""Records survive the way over a link, byte for byte."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.frames import each_frame
from telemetry_twisted.transport.records import (
    CHUNK,
    CHUNK_EVENTS,
    FACTS,
    PREFIX,
    Chunk,
    Facts,
    decode_json,
    encode_json,
    encode_record,
    encode_runs,
)

handles = st.integers(0, 65_535)
times = st.integers(0, 2**64 - 1)


@st.composite
def chunks(draw: st.DrawFn) -> tuple[Chunk, list[bytes], list[tuple[int, int]]]:
    """A chunk, with its messages and the runs in it."""
    runs = draw(st.lists(st.tuples(handles, st.integers(1, 9)), min_size=1, max_size=9))
    count = sum(number for _, number in runs)
    messages = draw(st.lists(st.binary(max_size=40), min_size=count, max_size=count))
    chunk = Chunk(
        draw(times),
        count,
        encode_runs(runs),
        draw(st.binary(min_size=count, max_size=count)),
        b"".join(struct.pack("<I", len(message)) for message in messages),
        b",".join(messages),
        draw(times),
    )
    return chunk, messages, runs


def body_of(record: bytes, kind: int) -> bytes:
    """The body of a record, whose head has to be right."""
    length, found = PREFIX.unpack_from(record)
    assert found == kind
    assert length == len(record) - PREFIX.size + 1
    return record[PREFIX.size :]


@given(chunks())
def test_a_chunk(given: tuple[Chunk, list[bytes], list[tuple[int, int]]]) -> None:
    chunk, messages, runs = given
    read = Chunk.decode(memoryview(body_of(b"".join(chunk.encode()), CHUNK)))
    for name in ("first_id", "count", "run_table", "types", "lengths", "events", "received"):
        assert getattr(read, name) == getattr(chunk, name)
    assert list(read.each()) == messages
    assert list(read.runs) == runs
    assert read.size == chunk.size > len(chunk.events)
    bounds = read.bounds()
    for number, message in enumerate(messages):
        assert read.events[bounds[number] : bounds[number + 1] - 1] == message


@given(chunks(), st.data())
def test_a_chunk_that_is_cut_keeps_the_last_of_each_run(
    given: tuple[Chunk, list[bytes], list[tuple[int, int]]], data: st.DataObject
) -> None:
    chunk, messages, runs = given
    most = data.draw(st.tuples(*(st.integers(0, count) for _, count in runs)).filter(any))
    cut = Chunk.decode(memoryview(body_of(b"".join(chunk.cut(most).encode()), CHUNK)))
    expected: list[tuple[int, bytes]] = []
    at = 0
    for (_, count), kept in zip(runs, most, strict=True):
        expected += [(place, messages[place]) for place in range(at + count - kept, at + count)]
        at += count
    assert list(cut.each()) == [message for _, message in expected]
    assert cut.types == bytes(chunk.types[place] for place, _ in expected)
    assert cut.count == len(expected)
    assert cut.runs == tuple(
        (handle, kept) for (handle, _), kept in zip(runs, most, strict=True) if kept
    )
    assert (cut.received, cut.read) == (chunk.received, chunk.read)


def test_what_a_chunk_holds_is_its_own() -> None:
    """The buffer that it was read from is used again."""
    chunk = Chunk(1, 1, encode_runs([(2, 1)]), b"\x0b", struct.pack("<I", 2), b"{}", 5)
    buffer = bytearray(body_of(b"".join(chunk.encode()), CHUNK))
    read = Chunk.decode(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert list(read.each()) == [b"{}"]
    assert read.types == b"\x0b"
    assert read.runs == ((2, 1),)


def test_the_runs_of_the_largest_chunk_fit() -> None:
    runs = [(65_535 - number, 1) for number in range(CHUNK_EVENTS)]
    chunk = Chunk(
        1, CHUNK_EVENTS, encode_runs(runs), b"\x0b" * 100, struct.pack("<I", 2) * 100, b"{}"
    )
    read = Chunk.decode(body_of(b"".join(chunk.encode()), CHUNK))
    assert list(read.runs) == runs


frames_of_messages = st.lists(st.binary(max_size=60), min_size=1, max_size=5)


@given(times, st.lists(st.tuples(handles, frames_of_messages), max_size=6))
def test_facts(received: int, runs: list[tuple[int, list[bytes]]]) -> None:
    framed = tuple(
        (handle, b"".join(struct.pack("<I", len(each)) + each for each in contents))
        for handle, contents in runs
    )
    read = Facts.decode(memoryview(body_of(Facts(received, framed).encode(), FACTS)))
    assert read == Facts(received, framed)
    assert list(read.messages) == [(handle, each) for handle, contents in runs for each in contents]


@given(frames_of_messages)
def test_frames(contents: list[bytes]) -> None:
    framed = b"".join(struct.pack("<I", len(each)) + each for each in contents)
    assert list(each_frame(framed)) == contents
    assert list(each_frame(b"")) == []


@given(
    st.integers(0, 255),
    st.dictionaries(st.text(), st.integers(0, 2**64 - 1) | st.text() | st.none() | st.booleans()),
)
def test_json(kind: int, value: dict[str, object]) -> None:
    assert decode_json(memoryview(body_of(encode_json(kind, value), kind))) == value


@given(st.integers(0, 255), st.lists(st.binary(max_size=20), max_size=4))
def test_a_record_is_its_pieces_joined(kind: int, pieces: list[bytes]) -> None:
    assert body_of(encode_record(kind, *pieces), kind) == b"".join(pieces)
    views = [memoryview(piece) for piece in pieces]
    assert body_of(encode_record(kind, *views), kind) == b"".join(pieces)
