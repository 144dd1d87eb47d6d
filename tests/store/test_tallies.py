"""Tallies in a few bytes: what is packed comes back, and adds up."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.bins import BINS
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.observed import Outcome
from telemetry_twisted.store.tallies import (
    BIN_BITS,
    LARGEST,
    add,
    add_packed,
    latency_key,
    outcome_key,
    pack_tally,
    sum_alike,
    sum_packed,
    unpack_tally,
)
from tests.examples import examples

KEYS = st.one_of(st.integers(0, 20), st.integers(0, 600), st.integers(0, 2**32 - 1))
NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, 70_000), st.integers(0, LARGEST))
TALLIES = st.dictionaries(KEYS, NUMBERS, max_size=20)


@given(TALLIES)
@examples(200)
def test_what_is_packed_comes_back_without_zeros(tally: dict[int, int]) -> None:
    packed = pack_tally(tally)
    assert unpack_tally(packed) == {key: number for key, number in tally.items() if number}
    assert bool(packed) == any(tally.values())


@given(st.lists(TALLIES, max_size=4), KEYS, KEYS)
@examples(200)
def test_packed_tallies_add_up(tallies: list[dict[int, int]], first: int, end: int) -> None:
    total: dict[int, int] = {}
    for tally in tallies:
        add(total, tally)
    assert Counter(total) == sum(map(Counter, tallies), Counter())
    packed = [*map(pack_tally, tallies)]
    within = {key: number for key, number in total.items() if first <= key < end and number}
    assert sum_packed(packed, first, end) == within
    whole = {key: number for key, number in total.items() if number}
    assert sum_packed(packed) == sum_alike(packed) == whole


@given(st.lists(st.lists(NUMBERS.filter(bool), min_size=3, max_size=3), max_size=40))
@examples(200)
def test_tallies_that_are_alike_add_up(rows: list[list[int]]) -> None:
    packed = [pack_tally(dict(enumerate(row))) for row in rows]
    expected = {key: sum(row[key] for row in rows) for key in range(3)} if rows else {}
    assert sum_alike(packed) == sum_packed(packed) == expected


def test_a_number_that_is_too_large_is_the_largest() -> None:
    assert unpack_tally(pack_tally({1: LARGEST + 5, 2: 7})) == {1: LARGEST, 2: 7}


def test_what_is_packed_is_small() -> None:
    assert pack_tally({}) == b""
    assert len(pack_tally(dict.fromkeys(range(50), 200))) == 4 + 2 + 50
    assert len(pack_tally(dict.fromkeys(range(250, 310), 300))) == 4 + 3 + 120
    assert len(pack_tally(dict.fromkeys(range(0, 100, 2), 7))) == 4 + 2 * 50 + 50


@given(st.integers(0, 600), st.integers(1, 700), KEYS, KEYS)
@examples(200)
def test_a_part_of_a_long_run_comes_back(begin: int, length: int, first: int, end: int) -> None:
    tally = {key: key + 1 for key in range(begin, begin + length)}
    within = {key: number for key, number in tally.items() if first <= key < end}
    assert sum_packed([pack_tally(tally)], first, end) == within


def test_keys_tell_latencies_and_outcomes_apart() -> None:
    assert BINS <= 1 << BIN_BITS
    keys = {latency_key(n, b) for n in range(len(CHAINS.latencies)) for b in (0, BINS - 1)}
    assert len(keys) == 2 * len(CHAINS.latencies)
    assert max(keys) < 2**16
    outcomes = {outcome_key(root, outcome) for root in CHAINS.roots for outcome in Outcome}
    assert len(outcomes) == len(CHAINS.roots) * len(Outcome)


def test_a_part_of_a_packed_tally_can_be_added_alone() -> None:
    tally = {1: 1}
    add_packed(tally, pack_tally({1: 1, 2: 2, 3: 3}), 2, 3)
    assert tally == {1: 1, 2: 2}
