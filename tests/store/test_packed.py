"""Counts by type, packed and added up."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.store.packed import add_up, pack

# Around where a width ends, and where the highest bits of one begin to be used.
edges = [2**bits + more for bits in (4, 8, 12, 16, 28, 32, 60) for more in (-1, 0, 1)]
counts = st.dictionaries(
    st.integers(0, 255) | st.integers(10, 12),
    st.integers(0, 300) | st.sampled_from(edges) | st.integers(0, 2**60),
    max_size=6,
)


class PackedTests(SynchronousTestCase):
    """Few counts and many, small and large."""

    @given(counts)
    def test_packed_and_unpacked(self, counts: dict[int, int]) -> None:
        self.assertEqual(add_up([pack(counts)]), counts)

    @given(st.lists(counts, max_size=40))
    def test_added_up(self, rows: list[dict[int, int]]) -> None:
        expected: Counter[int] = Counter()
        for row in rows:
            expected.update(row)
        found = add_up(map(pack, rows))
        self.assertEqual(found, {kind: expected[kind] for row in rows for kind in row})

    @given(st.sampled_from(edges), st.integers(1, 40), st.integers(1, 5))
    def test_no_count_spills_into_the_one_beside_it(
        self, count: int, rows: int, types: int
    ) -> None:
        row = dict.fromkeys(range(types), count)
        self.assertEqual(add_up([pack(row)] * rows), dict.fromkeys(row, rows * count))
