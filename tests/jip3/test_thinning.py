"""Facts are thinned: so many of a node in a second, and always the newest of each state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.codec import FACT_TYPES, Codec, Decoded, Dialect, Stream
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.frames import each_frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.state_types import BEST_BLOCK, FINALIZED_BLOCK, STATUS, SYNC_STATUS
from telemetry_twisted.jip3.thinning import FACTS_A_SECOND, FACTS_AT_ONCE, MOST_FACT_BYTES
from tests.examples import examples

OPTIONS = Dialect("ab" * 32, cores=2, fact_types=FACT_TYPES)
RECEIVED = b"2026-11-24T07:42:00.123456Z"
HASH = "0x" + "11" * 32
FAILED = 22

Reference = Callable[[Dialect], Stream]


def decode(stream: Stream, data: bytes, second: int = 0) -> Decoded:
    return stream.decode(data, 0, 10_000_000, 1, 1, Moment(RECEIVED, second=second))


def blocks(slots: Iterable[int], kind: int = BEST_BLOCK) -> bytes:
    return b"".join(
        frame(encode_event(kind, 1, {"slot": slot, "hash": HASH}, cores=2)) for slot in slots
    )


def synced(value: bool) -> bytes:
    return frame(encode_event(SYNC_STATUS, 1, {"synced": value}, cores=2))


def status(peers: int) -> bytes:
    fields = dict.fromkeys(("num_val_peers", "num_sync_peers"), 1) | {
        "num_peers": peers,
        "num_guarantees": [0, 0],
        **dict.fromkeys(("num_shards", "shards_size", "num_preimages", "preimages_size"), 2),
    }
    return frame(encode_event(STATUS, 1, fields, cores=2))


def failed(number: int = 1, reason: bytes = b"no") -> bytes:
    return frame(bytes(8) + bytes([FAILED]) + bytes(8) + bytes([len(reason)]) + reason) * number


@pytest.mark.parametrize("kind", [BEST_BLOCK, FINALIZED_BLOCK])
def test_of_a_flood_of_blocks_the_first_and_the_newest_are_told(codec: Codec, kind: int) -> None:
    stream = codec.open(OPTIONS)
    decoded = decode(stream, blocks(range(5000), kind))
    assert decoded.facts == blocks(range(FACTS_AT_ONCE), kind)
    assert decoded.newest == blocks([4999], kind)
    assert stream.take_counts() == {kind: 5000}
    for second in (1, 2):
        decoded = decode(stream, blocks(range(5000, 9000), kind), second)
        assert decoded.facts == blocks(range(5000, 5000 + FACTS_A_SECOND), kind)
        assert decoded.newest == blocks([8999], kind)


def test_a_node_that_waits_may_tell_as_many_at_once_as_at_first(codec: Codec) -> None:
    stream = codec.open(OPTIONS)
    for second in (0, FACTS_AT_ONCE // FACTS_A_SECOND, 2**40):
        decoded = decode(stream, blocks(range(100)), second)
        assert decoded.facts == blocks(range(FACTS_AT_ONCE))


def test_what_is_usual_is_all_told(codec: Codec) -> None:
    stream = codec.open(OPTIONS)
    for second in range(0, 60, 6):
        data = blocks([second]) + blocks([second], FINALIZED_BLOCK) + status(second) + failed(3)
        decoded = decode(stream, data + synced(True), second)
        assert (decoded.facts, decoded.newest) == (data + synced(True), b"")


def test_a_slot_that_is_told_again_is_told_as_the_newest(codec: Codec) -> None:
    stream = codec.open(OPTIONS)
    decoded = decode(stream, blocks([7] * 50))
    assert (decoded.facts, decoded.newest) == (blocks([7]), blocks([7]))
    decoded = decode(stream, blocks([7]))
    assert (decoded.facts, decoded.newest) == (b"", blocks([7]))
    decoded = decode(stream, blocks([7, 8]))
    assert (decoded.facts, decoded.newest) == (blocks([8]), b"")


def test_other_states_are_told_once_a_second_and_the_newest(codec: Codec) -> None:
    stream = codec.open(OPTIONS)
    decoded = decode(stream, b"".join(map(status, range(9))) + synced(True))
    assert (decoded.facts, decoded.newest) == (status(0) + synced(True), status(8))
    decoded = decode(stream, synced(False))
    assert (decoded.facts, decoded.newest) == (b"", synced(False))
    decoded = decode(stream, status(9) + status(10), 1)
    assert (decoded.facts, decoded.newest) == (status(9), status(10))


def test_failures_of_all_kinds_share_what_is_told(codec: Codec) -> None:
    stream = codec.open(OPTIONS)
    decoded = decode(stream, failed(5000))
    assert (decoded.facts, decoded.newest) == (failed(FACTS_AT_ONCE), b"")
    assert stream.take_counts() == {FAILED: 5000}
    assert decode(stream, failed(5000), 1).facts == failed(FACTS_A_SECOND)
    assert decode(stream, blocks([1]), 1).facts == blocks([1])


def test_what_is_too_long_to_be_right_is_not_told(codec: Codec) -> None:
    stream = codec.open(OPTIONS)
    right = blocks([1])[4:]
    longest = frame(right.ljust(MOST_FACT_BYTES, b"\0"))
    decoded = decode(stream, frame(right.ljust(MOST_FACT_BYTES + 1, b"\0")) + longest)
    assert (decoded.facts, decoded.newest) == (longest, b"")
    assert len(decoded.types) == 2


MESSAGES = st.one_of(
    st.builds(
        lambda slots, kind: blocks(slots, kind),
        st.lists(st.integers(0, 3), max_size=40),
        st.sampled_from([BEST_BLOCK, FINALIZED_BLOCK]),
    ),
    st.builds(lambda count: blocks(range(count)), st.integers(0, 80)),
    st.builds(status, st.integers(0, 3)),
    st.builds(synced, st.booleans()),
    st.builds(failed, st.integers(0, 40)),
    st.just(frame(b"\xff" * 12)),
)


@examples(100)
@given(
    reads=st.lists(
        st.tuples(st.sampled_from([0, 0, 1, 2, 5]), st.lists(MESSAGES, max_size=4)), max_size=6
    )
)
def test_all_codecs_agree(
    codec: Codec, reference: Reference, reads: list[tuple[int, list[bytes]]]
) -> None:
    stream, right = codec.open(OPTIONS), reference(OPTIONS)
    second = 0
    newest: dict[int, Any] = {}
    known: dict[int, Any] = {}
    for seconds, messages in reads:
        second += seconds
        data = b"".join(messages)
        decoded = decode(stream, data, second)
        assert decoded == decode(right, data, second)
        for content in each_frame(data):
            newest[content[8]] = content
        for frames in (decoded.facts, decoded.newest):
            for content in each_frame(frames):
                known[content[8]] = content
    for kind in (STATUS, BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS):
        assert known.get(kind) == newest.get(kind)
