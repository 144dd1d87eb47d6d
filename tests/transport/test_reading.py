"""What comes over a link becomes records and chunks, by both readers alike."""

from __future__ import annotations

import gc
import os
import socket
import sys
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

import telemetry_twisted.transport as package
from telemetry_twisted.transport import reading
from telemetry_twisted.transport import records as chosen
from telemetry_twisted.transport.records import CHUNK, PREFIX, encode_record, encode_runs


def in_python() -> ModuleType:
    """The records, with chunks as they are where nothing was compiled."""
    name = f"{package.__name__}."
    attributes = {each: getattr(package, each) for each in ("reading", "records")}
    with patch.dict(sys.modules):
        for each in attributes:
            del sys.modules[name + each]
        sys.modules[name + "_reading"] = None  # type: ignore[assignment]
        records = import_module(name + "records")
    for each, module in attributes.items():
        setattr(package, each, module)
    return records


PYTHON = in_python()

TWINS: list[tuple[ModuleType, Any]] = [(PYTHON, reading.PythonRecordReader)]
if reading.RecordReader.__module__ != reading.PythonRecordReader.__module__:
    TWINS.append((chosen, reading.RecordReader))

small = st.integers(0, 9)
numbers = st.integers(0, 2**64 - 1)
NAMES = ("first_id", "count", "received", "read", "run_table", "types", "lengths", "events", "size")


@st.composite
def chunk_records(draw: st.DrawFn) -> bytes:
    """A ``CHUNK`` record."""
    runs = draw(st.lists(st.tuples(st.integers(0, 65_535), st.integers(1, 5)), max_size=5))
    messages = [draw(st.binary(max_size=20)) for _ in range(sum(count for _, count in runs))]
    chunk = chosen.Chunk(
        draw(numbers),
        len(messages),
        encode_runs(runs),
        bytes(len(messages)),
        b"".join(len(message).to_bytes(4, "little") for message in messages),
        b",".join(messages),
        draw(numbers),
        draw(numbers),
    )
    return b"".join(chunk.encode())


others = st.builds(encode_record, st.integers(0, 255), st.binary(max_size=100))


class Ends:
    """A reader, and the socket that is written to."""

    def __init__(self, reader: Any, size: int, chunk: Any) -> None:
        self.here, self.far = socket.socketpair()
        self.here.setblocking(False)
        self.reader = reader(size, chunk)

    def read(self) -> Any:
        return self.reader.read(self.here.fileno())

    def close(self) -> None:
        self.here.close()
        self.far.close()


@pytest.fixture(params=TWINS, ids=lambda twin: twin[0].ChunkData.__module__.rpartition(".")[2])
def twin(request: pytest.FixtureRequest) -> Any:
    return request.param


def shown(record: Any) -> Any:
    """A record so that it can be compared with another reader's."""
    if isinstance(record, tuple):
        return record
    return {name: getattr(record, name) for name in NAMES} | {"bounds": list(record.bounds())}


@given(
    st.lists(chunk_records() | others, max_size=12),
    st.lists(st.integers(0, 3000), max_size=8),
    st.integers(64, 300),
)
def test_both_readers_read_the_same_however_it_is_split(
    records: list[bytes], cuts: list[int], size: int
) -> None:
    stream = b"".join(records)
    whole, end = reading.cut(memoryview(stream), chosen.Chunk)
    assert end == len(stream)
    assert len(whole) == len(records)
    bounds = sorted({0, len(stream), *(at for at in cuts if at < len(stream))})
    for module, reader in TWINS:
        ends = Ends(reader, size, module.Chunk)
        found: list[Any] = []
        for begin, after in pairwise(bounds):
            ends.far.sendall(stream[begin:after])
            while (read := ends.read()) is not None:
                found += read
        ends.close()
        assert list(map(shown, found)) == list(map(shown, whole))
        encoded = [
            encode_record(*each) if isinstance(each, tuple) else b"".join(each.encode())
            for each in found
        ]
        assert encoded == records


@given(chunk_records(), st.binary(min_size=1, max_size=40), st.data())
def test_a_chunk_that_is_not_as_long_as_its_head_says_is_no_chunk(
    record: bytes, more: bytes, data: st.DataObject
) -> None:
    body = record[PREFIX.size :]
    wrong = data.draw(st.sampled_from([body[:-1], body[:31], b"", body + more]))
    for module, reader in TWINS:
        ends = Ends(reader, 1 << 16, module.Chunk)
        ends.far.sendall(encode_record(CHUNK, wrong) + record)
        found = ends.read()
        ends.close()
        assert found[0] == (CHUNK, wrong)
        assert isinstance(found[1], module.Chunk)
        with pytest.raises(ValueError, match="a chunk"):
            module.Chunk.decode(wrong)


def test_chunks_are_records_like_others_for_who_has_no_class_for_them(twin: Any) -> None:
    record = encode_record(CHUNK, b"whatever it is")
    ends = Ends(twin[1], 100, None)
    ends.far.sendall(record)
    assert ends.read() == [(CHUNK, b"whatever it is")]
    ends.close()


def test_a_record_may_be_longer_than_the_buffer(twin: Any) -> None:
    module, reader = twin
    body = os.urandom(5000)
    ends = Ends(reader, 64, module.Chunk)
    ends.far.sendall(encode_record(9, body) * 3)
    found = []
    while (read := ends.read()) is not None:
        found += read
    ends.close()
    assert found == [(9, body)] * 3


def test_the_end_and_what_is_wrong_are_told(twin: Any) -> None:
    module, reader = twin
    ends = Ends(reader, 64, module.Chunk)
    assert ends.read() is None
    ends.far.sendall(bytes(5))
    with pytest.raises(ValueError, match="its length is 0"):
        ends.read()
    ends.far.close()
    with pytest.raises(EOFError):
        ends.read()
    descriptor = ends.here.fileno()
    ends.here.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        ends.reader.read(descriptor)


def test_cutting_and_bounds_are_the_same_of_both_kinds_of_chunk(twin: Any) -> None:
    module, _ = twin
    runs = encode_runs([(3, 2), (700, 1)])
    lengths = b"".join(n.to_bytes(4, "little") for n in (1, 2, 3))
    chunk = module.Chunk(5, 3, runs, b"\x01\x02\x03", lengths, b"a,bb,ccc", 7, 8)
    assert list(chunk.bounds()) == [0, 2, 5, 9]
    assert list(chunk.each()) == [b"a", b"bb", b"ccc"]
    assert chunk.runs == ((3, 2), (700, 1))
    part = chunk.cut([1, 1])
    assert isinstance(part, module.Chunk)
    assert (part.events, part.types, part.runs) == (b"bb,ccc", b"\x02\x03", ((3, 1), (700, 1)))
    assert (part.first_id, part.received, part.read) == (5, 7, 8)


def test_the_collector_need_not_look_at_chunks_of_the_compiled_reader() -> None:
    for module, reader in TWINS[1:]:
        ends = Ends(reader, 1000, module.Chunk)
        chunk = module.Chunk(1, 1, encode_runs([(1, 1)]), b"\0", b"\1\0\0\0", b"x")
        ends.far.sendall(b"".join(chunk.encode()))
        (read,) = ends.read()
        ends.close()
        assert not gc.is_tracked(read)
        assert list(read.bounds()) == [0, 2]
