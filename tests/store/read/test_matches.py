"""Positions that match, from the newest on, in steps."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.store.raw_layout import Positions, decode_positions
from telemetry_twisted.store.read.matches import (
    STEP_POSITIONS,
    in_any,
    in_one,
    in_one_and_any,
)

MOST = 3 * STEP_POSITIONS
some = st.sets(st.integers(0, MOST))


def ascending(positions: Iterable[int]) -> Positions:
    """A posting of ``positions``."""
    return decode_positions(array("I", sorted(positions)).tobytes())


def descending(positions: Iterable[int], end: int) -> list[int]:
    """What is to be found."""
    return sorted((position for position in positions if position < end), reverse=True)


def joined(steps: Iterable[list[int]]) -> list[int]:
    """All that is found."""
    return [position for step in steps for position in step]


class MatchesTests(SynchronousTestCase):
    """They find what sets find."""

    @given(some, some, st.integers(0, MOST + 1), st.integers(1, 5))
    def test_against_sets(self, one: set[int], events: set[int], end: int, types: int) -> None:
        lists = [{p for p in events if p % types == kind} for kind in range(types)]
        postings = [ascending(positions) for positions in lists]
        self.assertEqual(joined(in_one(ascending(one), end)), descending(one, end))
        self.assertEqual(joined(in_any(postings, end)), descending(events, end))
        self.assertEqual(
            joined(in_one_and_any(ascending(one), postings, end)), descending(one & events, end)
        )

    def test_a_step_is_short_however_long_the_lists(self) -> None:
        """A batch of 50,000 events, all of one node, of which none matches."""
        even, odd = ascending(range(0, 100_000, 2)), ascending(range(1, 100_000, 2))
        for steps in (
            in_one(even, 100_000),
            in_any([even, odd], 100_000),
            in_one_and_any(even, [odd], 100_000),
        ):
            found = list(steps)
            self.assertGreaterEqual(len(found), 50_000 // STEP_POSITIONS)
            self.assertLessEqual(max(map(len, found)), STEP_POSITIONS)

    def test_few_among_many(self) -> None:
        many = ascending(range(50_000))
        self.assertEqual(
            joined(in_one_and_any(ascending([7, 49_999, 60_000]), [many], 2**62)), [49_999, 7]
        )
