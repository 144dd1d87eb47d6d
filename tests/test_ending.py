"""Steps of an end: each is over in time, whatever hangs."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.services.ending import LAST_SECONDS, Ending


class EndingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.ending = Ending(self.clock)
        self.event: Deferred[None] = Deferred()
        self.forced: list[float] = []

    def step(self, seconds: float) -> Deferred[None]:
        return self.ending.step(
            self.event, seconds, "it", lambda: self.forced.append(self.clock.seconds())
        )

    def test_what_ends_by_itself_is_awaited_and_not_forced(self) -> None:
        over = self.step(1.0)
        self.clock.advance(0.9)
        self.assertNoResult(over)
        self.event.callback(None)
        self.successResultOf(over)
        self.clock.advance(10)
        self.assertEqual(self.forced, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadlines_are_measured_from_the_start_of_the_whole_end(self) -> None:
        self.clock.advance(0.75)
        self.step(1.0)
        self.clock.advance(0.25)
        self.assertEqual(self.forced, [1_001.0])

    def test_a_step_that_begins_after_its_deadline_is_forced_soon(self) -> None:
        self.clock.advance(5)
        over = self.step(1.0)
        self.clock.advance(0)
        self.assertEqual(self.forced, [1_005.0])
        self.event.callback(None)
        self.successResultOf(over)

    def test_what_cannot_even_be_forced_is_left_behind(self) -> None:
        over = self.step(1.0)
        self.clock.advance(1.0)
        self.assertNoResult(over)
        self.clock.advance(LAST_SECONDS)
        self.successResultOf(over)
        self.event.callback(None)  # Too late, and harmless.

    def test_a_failure_is_logged_and_ends_the_step(self) -> None:
        over = self.step(1.0)
        self.event.errback(RuntimeError("broken"))
        self.successResultOf(over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_force_that_fails_is_logged(self) -> None:
        def fail() -> None:
            raise RuntimeError("broken")

        over = self.ending.step(self.event, 1.0, "it", fail)
        self.clock.advance(1.0)
        self.clock.advance(LAST_SECONDS)
        self.successResultOf(over)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
