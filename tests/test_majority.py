"""What the network's block is where nodes do not say the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.majority import Head, majority_head, majority_slot

slots = st.lists(st.integers(0, 20), min_size=1, max_size=30)


class MajorityTests(SynchronousTestCase):
    """Few nodes, many, and some that lie or lag."""

    def test_one_that_lies_among_very_many_changes_nothing(self) -> None:
        honest = [(100, "a")] * 1023
        for liar in ((4_294_967_295, "x"), (0, "x")):
            head = majority_head([*honest, liar])
            assert head is not None
            self.assertEqual((head.slot, head.hash), (100, "a"))

    def test_a_third_that_syncs_far_behind_does_not_hold_it_back(self) -> None:
        behind = [(number, "old") for number in range(341)]
        self.assertEqual(majority_head([*behind, *[(9000, "a")] * 683]), Head(9000, "a", 683))

    def test_almost_half_that_lie_do_not_move_it(self) -> None:
        self.assertEqual(
            majority_head([*[(100, "a")] * 513, *[(110, "x")] * 511]), Head(100, "a", 1024)
        )

    def test_of_two_it_is_the_one_ahead(self) -> None:
        self.assertEqual(majority_head([(7, "a"), (9, "b")]), Head(9, "b", 1))

    def test_one_alone(self) -> None:
        self.assertEqual(majority_head([(7, "a")]), Head(7, "a", 1))

    def test_none(self) -> None:
        self.assertIsNone(majority_head([]))
        self.assertIsNone(majority_slot([]))

    def test_the_hash_is_that_of_most_who_are_there(self) -> None:
        blocks = [(7, "b"), (7, "c"), (7, "c"), (8, "d"), (6, "b"), (6, "b")]
        self.assertEqual(majority_head(blocks), Head(7, "c", 4))
        self.assertEqual(majority_head([(7, "b"), (7, "a")]), Head(7, "a", 2))

    @given(slots)
    def test_half_have_reached_it_and_less_than_half_any_later_one(self, slots: list[int]) -> None:
        most = majority_slot(slots)
        assert most is not None
        self.assertGreaterEqual(2 * sum(slot >= most for slot in slots), len(slots))
        self.assertLess(2 * sum(slot > most for slot in slots), len(slots))
