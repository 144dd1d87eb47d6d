"""Core counts that a node did not tell, or told wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import DECODE_ERROR, VIOLATION, Codec, Decoded, Dialect, Stream
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.values import (
    CORE_COUNT_MISFIT,
    CORE_COUNT_UNKNOWN,
    CUT_SHORT,
    TRAILING_BYTES,
    decode_event,
)
from tests.examples import examples

NODE_ID = "ab" * 32
MOMENT = Moment(b"2026-11-24T07:42:00.123456Z")
ARRAY_AT = 21
BITFIELD_AT = 41

Reference = Callable[[Dialect], Stream]


def status(cores: int, extra: bytes = b"") -> bytes:
    """A ``Status`` of a node with so many cores, each of whose numbers can be told from others."""
    fields = dict.fromkeys(("num_peers", "num_val_peers", "num_sync_peers"), 1) | {
        "num_guarantees": [core % 251 for core in range(cores)],
        **dict.fromkeys(("num_shards", "shards_size", "num_preimages", "preimages_size"), 0x7A7A),
    }
    return encode_event("Status", 1, fields, cores=cores) + extra


def assurance(cores: int, extra: bytes = b"") -> bytes:
    bitfield = b"\xa5" * (-(-cores // 8))
    statement = {"anchor": bytes(32), "bitfield": bitfield}
    return encode_event("DistributingAssurance", 1, {"statement": statement}, cores=cores) + extra


def best(slot: int = 1) -> bytes:
    return encode_event("BestBlockChanged", 1, {"slot": slot, "hash": bytes(32)}, cores=1)


def unknown(**options: Any) -> Dialect:
    """Of a node whose parameters do not say the core count."""
    return Dialect(NODE_ID, None, known_layout=False, **options)


def decode(stream: Stream, *contents: bytes) -> Decoded:
    return stream.decode(b"".join(map(frame, contents)), 0, 1_000, 1, 1, MOMENT)


def events(decoded: Decoded) -> list[dict[str, Any]]:
    messages = json.loads(b"[" + decoded.events + b"]")
    return [message["data"]["event"] for message in messages]


def reasons(decoded: Decoded) -> list[tuple[str, int, str, int]]:
    return [(fault.kind, fault.offset, fault.reason, fault.times) for fault in decoded.faults]


@pytest.mark.parametrize("cores", [1, 2, 8, 341, 4096])
def test_the_first_status_says_how_many(codec: Codec, cores: int) -> None:
    stream = codec.open(unknown())
    assert stream.cores is None
    decoded = decode(stream, best(), status(cores), assurance(cores), status(cores))
    assert decoded.faults == []
    assert stream.cores == cores
    first = events(decoded)[1]["Status"]
    assert first["num_guarantees"] == [core % 251 for core in range(cores)]
    assert first["num_shards"] == 0x7A7A
    bitfield = events(decoded)[2]["DistributingAssurance"]["statement"]["bitfield"]
    assert bitfield == "0x" + "a5" * (-(-cores // 8))


@pytest.mark.parametrize("cores", [1, 8, 9, 341, 4096])
def test_an_assurance_is_read_before_that(codec: Codec, cores: int) -> None:
    """It says how many bytes its bits take, and not how many cores there are."""
    stream = codec.open(unknown())
    decoded = decode(stream, assurance(cores), assurance(cores))
    assert decoded.faults == []
    assert len(decoded.types) == 2
    assert stream.cores is None
    decoded = decode(stream, status(cores))
    assert events(decoded)[0]["Status"]["num_guarantees"] == [core % 251 for core in range(cores)]
    assert stream.cores == cores


def test_a_length_that_no_core_count_gives_is_an_error(codec: Codec) -> None:
    stream = codec.open(unknown())
    contents = [status(0), status(4096, b"!"), assurance(0), assurance(4096, b"!"), best()]
    decoded = decode(stream, *contents, status(1)[:15])
    assert decoded.types == bytes([11])
    assert reasons(decoded) == [
        (DECODE_ERROR, ARRAY_AT, CORE_COUNT_UNKNOWN, 2),
        (DECODE_ERROR, BITFIELD_AT, CORE_COUNT_UNKNOWN, 2),
        (DECODE_ERROR, 13, CUT_SHORT, 1),
    ]
    assert stream.cores is None
    assert stream.next_event_id == 6


def test_a_status_that_contradicts_an_assurance_is_not_believed(codec: Codec) -> None:
    stream = codec.open(unknown())
    decoded = decode(stream, assurance(16), status(17), status(8), status(9), status(16))
    assert decoded.types == bytes([126, 10])
    assert stream.cores == 9
    assert reasons(decoded) == [
        (DECODE_ERROR, ARRAY_AT, CORE_COUNT_UNKNOWN, 2),
        (DECODE_ERROR, ARRAY_AT + 9 + 20, CORE_COUNT_MISFIT, 1),
    ]


@pytest.mark.parametrize("told", [2, 341])
def test_a_count_that_proves_wrong_stays_and_nothing_is_read_by_it(codec: Codec, told: int) -> None:
    """Not even where there are more bytes than it takes: what follows would be read wrong."""
    for options in (
        Dialect(NODE_ID, told, known_layout=False),
        unknown(),
    ):
        stream = codec.open(options)
        decode(stream, status(told))
        decoded = decode(
            stream,
            *(status(told + more) for more in (-1, 1, 300)),
            *(assurance(told + more) for more in (8, -8)),
            best(),
        )
        assert decoded.types == bytes([11])
        assert {fault.reason for fault in decoded.faults} == {CUT_SHORT, CORE_COUNT_MISFIT}
        assert sum(fault.times for fault in decoded.faults) == 5
        assert stream.cores == told


def test_where_the_layout_is_known_bytes_that_are_left_are_a_violation(codec: Codec) -> None:
    decoded = decode(codec.open(Dialect(NODE_ID, 2)), status(2, b"!"), assurance(2, b"!"))
    assert decoded.types == bytes([10, 126])
    assert reasons(decoded) == [
        (VIOLATION, 43, TRAILING_BYTES, 1),
        (VIOLATION, 42, TRAILING_BYTES, 1),
    ]


def test_bytes_that_are_left_of_other_events_are_a_violation_always(codec: Codec) -> None:
    decoded = decode(codec.open(unknown()), best() + b"!")
    assert reasons(decoded) == [(VIOLATION, 45, TRAILING_BYTES, 1)]


def test_a_message_alone_is_read_by_its_own_length() -> None:
    for cores in (1, 341):
        assert decode_event(status(cores), None) == decode_event(status(cores), cores)
        assert decode_event(assurance(cores), None) == decode_event(assurance(cores), cores)
    assert decode_event(best(), None) == decode_event(best(), 7)


@examples(300)
@given(
    told=st.one_of(st.none(), st.sampled_from([0, 1, 2, 8, 9, 341])),
    known_layout=st.booleans(),
    byte_arrays=st.booleans(),
    sizes=st.lists(
        st.tuples(st.sampled_from([10, 10, 126, 126, 11, 255]), st.integers(0, 60)), max_size=8
    ),
    seed=st.integers(0, 2**32),
)
def test_whatever_the_lengths_all_codecs_agree(
    codec: Codec,
    reference: Reference,
    told: int | None,
    known_layout: bool,
    byte_arrays: bool,
    sizes: list[tuple[int, int]],
    seed: int,
) -> None:
    random = Random(seed)
    options = Dialect(NODE_ID, told, byte_arrays=byte_arrays, known_layout=known_layout)
    stream, right = codec.open(options), reference(options)
    for kind, size in sizes:
        content = bytes(8) + bytes([kind]) + random.randbytes(size)
        assert decode(stream, content) == decode(right, content)
        assert stream.cores == right.cores
