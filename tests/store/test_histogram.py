"""Histograms of delays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.store.histogram import BOUNDS, Histogram

delays = st.lists(st.integers(0, 2 * BOUNDS[-1]), max_size=50)


def histogram(*lists: list[int]) -> Histogram:
    made = Histogram()
    for each in lists:
        made.add(each)
    return made


class HistogramTests(SynchronousTestCase):
    """Added up, and asked for shares."""

    @given(delays, delays)
    def test_added_up_they_are_the_histogram_of_all(self, one: list[int], two: list[int]) -> None:
        whole = histogram(one)
        whole.update(histogram(two))
        self.assertEqual(whole.encode(), histogram(one, two).encode())
        self.assertEqual(whole.total, len(one) + len(two))

    @given(delays, st.floats(0, 1))
    def test_a_share_does_not_exceed_its_percentile_and_less_does(
        self, values: list[int], share: float
    ) -> None:
        made = histogram(values)
        (found,) = made.percentiles([share])
        self.assertEqual(made.percentile(share), found)
        if not values:
            self.assertIsNone(found)
            return
        assert found is not None
        place = BOUNDS.index(found)
        upto = sum(value <= found for value in values) if found < BOUNDS[-1] else len(values)
        before = sum(value <= BOUNDS[place - 1] for value in values) if place else 0
        self.assertGreaterEqual(upto, share * len(values))
        self.assertLess(before, max(share * len(values), 1))
