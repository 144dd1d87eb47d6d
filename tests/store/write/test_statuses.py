"""A ``Status`` that is read in one step is what the reference decoder reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.state_types import STATUS
from telemetry_twisted.jip3.values import decode_event
from telemetry_twisted.store.write.statuses import read_status

HEAD, TAIL = 12, 20


@given(
    timestamp=st.integers(0, 2**64 - 1),
    head=st.binary(min_size=HEAD, max_size=HEAD),
    by_core=st.binary(max_size=40),
    tail=st.binary(min_size=TAIL, max_size=TAIL),
    version=st.integers(0, 2),
)
def test_is_what_the_decoder_reads(
    timestamp: int, head: bytes, by_core: bytes, tail: bytes, version: int
) -> None:
    content = timestamp.to_bytes(8, "little") + bytes([STATUS]) + head + by_core + tail
    event = decode_event(content, len(by_core), version)
    assert read_status(content, len(by_core)) == (event.timestamp, event.fields)


@given(st.integers(0, 100), st.none() | st.integers(0, 60))
def test_is_left_to_the_decoder_where_it_is_of_another_length(size: int, cores: int | None) -> None:
    content = bytes(8) + bytes([STATUS]) + bytes(size)
    read = read_status(content, cores)
    assert (read is None) == (cores is None or size != HEAD + cores + TAIL)
