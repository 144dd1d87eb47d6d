"""Bins of durations: all of them, close enough, in order, and percentiles within 5 %."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.jip3.bins import BINS, bin_of, bounds, middle, percentiles

LONGEST = 2**64 - 1
DURATIONS = st.integers(0, LONGEST) | st.integers(0, 64).map(lambda bits: 2**bits - 1)
SHARES = (0.0, 0.5, 0.95, 0.99, 1.0)


@given(DURATIONS)
def test_a_duration_lies_within_its_bin(duration: int) -> None:
    bin = bin_of(duration)
    lower, upper = bounds(bin)
    assert 0 <= bin < BINS
    assert lower <= duration < upper


@given(DURATIONS)
def test_the_middle_of_a_bin_is_close_to_all_that_is_in_it(duration: int) -> None:
    assert abs(middle(bin_of(duration)) - duration) <= 0.032 * duration


def test_bins_are_in_order_without_gaps_up_to_the_last() -> None:
    edges = [bounds(bin) for bin in range(BINS)]
    assert edges[0][0] == 0
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    assert edges[-1][1] == LONGEST + 1
    assert bin_of(LONGEST) == BINS - 1


@pytest.mark.parametrize("duration", [-1, 2**64])
def test_what_is_no_duration_has_no_bin(duration: int) -> None:
    with pytest.raises(ValueError, match="between 0 and"):
        bin_of(duration)


@pytest.mark.parametrize("bin", [-1, BINS])
def test_a_bin_that_there_is_none_of_has_no_bounds(bin: int) -> None:
    with pytest.raises(ValueError, match="numbered"):
        bounds(bin)


@given(st.lists(st.integers(0, 4_000_000_000), min_size=1, max_size=50), st.integers(0, 50))
def test_percentiles_are_within_5_percent_however_counts_were_added_up(
    durations: list[int], cut: int
) -> None:
    counts = Counter(map(bin_of, durations[:cut])) + Counter(map(bin_of, durations[cut:]))
    ordered = sorted(durations)
    for share, found in zip(SHARES, percentiles(counts, SHARES), strict=True):
        exact = ordered[max(ceil(share * len(ordered)) - 1, 0)]
        assert found is not None
        assert abs(found - exact) <= 0.05 * exact


def test_nothing_has_no_percentiles() -> None:
    assert percentiles({}, SHARES) == [None] * len(SHARES)
    assert percentiles({3: 0}, (0.5,)) == [None]


def test_shares_come_back_in_the_order_in_which_they_were_asked_for() -> None:
    assert percentiles({1: 1, 2: 1}, (1.0, 0.1, 1.0)) == [2, 1, 2]
