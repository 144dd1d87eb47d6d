"""Mistakes that stay where they happen."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import PERIOD_SECONDS, InternalErrors


class InternalErrorsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.errors = InternalErrors(self.clock)

    def test_a_mistake_ends_its_block_and_nothing_else(self) -> None:
        done = []
        for number in range(3):
            with self.errors.kept_at("a record"):
                done.append(number // (number - 1))
        self.assertEqual(done, [0, 2])
        self.assertEqual(self.errors.counts, {"a record": 1})
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertIn("test_errors", failure.getTraceback())

    def test_what_ends_a_process_is_let_out(self) -> None:
        with self.assertRaises(KeyboardInterrupt), self.errors.kept_at("a record"):
            raise KeyboardInterrupt
        self.assertEqual(self.errors.counts, {})

    def test_a_place_is_logged_once_a_period_and_counted_always(self) -> None:
        for _ in range(1000):
            with self.errors.kept_at("a record"):
                raise KeyError(7)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.clock.advance(PERIOD_SECONDS)
        with self.errors.kept_at("a record"):
            raise KeyError(7)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.errors.counts["a record"], 1001)
        self.clock.advance(PERIOD_SECONDS)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_places_are_named_for_a_while(self) -> None:
        self.assertEqual(self.errors.lately, [])
        self.errors.add({"a node": 1}, {})
        self.clock.advance(PERIOD_SECONDS / 2)
        with self.errors.kept_at("a record"):
            raise KeyError(7)
        self.flushLoggedErrors(KeyError)
        self.assertEqual(self.errors.lately, ["a node", "a record"])
        self.clock.advance(PERIOD_SECONDS / 2)
        self.assertEqual(self.errors.lately, ["a record"])

    def test_other_processes_counts_are_added(self) -> None:
        first, second = {"a record": 2}, {"a record": 5, "a node": 1}
        self.errors.add(first, {})
        self.errors.add(second, first)
        self.errors.add(second, second)
        self.assertEqual(self.errors.counts, {"a record": 5, "a node": 1})
