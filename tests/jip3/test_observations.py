"""The body of ``OBSERVATIONS``: what is encoded comes back, and nothing else is taken for it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.observations import (
    Observations,
    Section,
    clock_was_set,
    clocks_in,
    latencies_in,
)
from telemetry_twisted.jip3.observed import (
    COST_TYPES,
    LEAVES,
    Assurance,
    Clock,
    CoreCount,
    Cost,
    Fetch,
    LatencyCount,
    OutcomeCount,
    Phase,
    Sighting,
    WithheldCount,
)

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
I64 = st.integers(-(2**63), 2**63 - 1)
HASHES = st.binary(min_size=32, max_size=32)


def costs() -> st.SearchStrategy[Cost]:
    return st.sampled_from(Phase).flatmap(
        lambda phase: st.builds(
            Cost, U8, st.just(int(phase)), U32, U16, U32, st.tuples(*[U64] * len(LEAVES[phase]))
        )
    )


def many(rows: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(rows, max_size=3).map(tuple)


OBSERVATIONS = st.builds(
    Observations,
    U64,
    U64,
    many(HASHES),
    many(st.builds(OutcomeCount, U16, U8, U8, U16, U32)),
    many(st.builds(LatencyCount, U16, U8, U16, U16, U32, U64)),
    many(st.builds(CoreCount, U16, U8, U16, U32)),
    many(costs()),
    many(st.builds(Clock, U16, I64, I64)),
    many(st.builds(Sighting, U16, U8, U8, U64, U64, U64, U64, st.binary(max_size=40))),
    many(st.builds(Fetch, U8, U8, HASHES, U32, U32, U64, U64, U64, U64)),
    many(st.builds(Assurance, U8, HASHES, HASHES, many(st.tuples(U16, I64)))),
    many(st.builds(WithheldCount, U16, U8, U32)),
    st.just(()) | st.tuples(I64),
)


@given(OBSERVATIONS)
def test_what_is_encoded_comes_back(observations: Observations) -> None:
    assert Observations.decode(observations.encode()) == observations
    assert clock_was_set(observations.encode()) == bool(observations.clock_set)


@given(OBSERVATIONS, st.data())
def test_what_is_cut_short_is_told_so(observations: Observations, data: st.DataObject) -> None:
    """Unless a section ends just there, which is then as if there were no more of them."""
    body = observations.encode()
    cut = body[: data.draw(st.integers(0, len(body)))]
    try:
        decoded = Observations.decode(cut)
    except ValueError:
        return
    assert decoded.encode() == cut


def test_nothing_is_two_times() -> None:
    assert Observations(1, 2).encode() == struct.pack("<QQ", 1, 2)


@pytest.mark.parametrize(
    "section",
    [
        struct.pack("<BI", 99, 0),
        struct.pack("<BI", Section.OUTCOMES, 3) + b"abc",
        struct.pack("<BI", Section.COSTS, 12) + struct.pack("<BBIHI", 0, 3, 0, 0, 0),
        struct.pack("<BI", Section.SIGHTINGS, 46) + bytes(44) + b"\1\0",
    ],
)
def test_what_it_cannot_be_is_an_error(section: bytes) -> None:
    with pytest.raises(ValueError, match="observations"):
        Observations.decode(struct.pack("<QQ", 1, 2) + section)


def test_a_sighting_tells_its_type_and_time() -> None:
    sighting = Sighting(1, 43, 43, 7, 7, 7, 0, struct.pack("<QB", 123, 43) + b"more")
    assert (sighting.type, sighting.timestamp) == (43, 123)


def test_each_cost_has_as_many_parts_as_the_table_says() -> None:
    assert [len(LEAVES[phase]) for phase in Phase] == [5, 13, 19]
    assert sorted(COST_TYPES) == [47, 95, 101]
    assert LEAVES[Phase.ACCUMULATE][:4] == (
        "num_calls",
        "num_transfers",
        "num_items",
        "total.gas_used",
    )


@given(OBSERVATIONS, U8)
def test_rows_of_one_kind_are_found_without_the_others(told: Observations, latency: int) -> None:
    body = told.encode()
    of_it = [row for row in told.latencies if row[1] == latency]
    assert list(latencies_in(body, latency)) == of_it
    for row in told.latencies:
        assert row in [*latencies_in(body, row[1])]
    assert list(clocks_in(body)) == list(told.clocks)
