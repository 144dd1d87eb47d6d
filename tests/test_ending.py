"""Steps of an end: each is over in time, whatever hangs."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.services.ending import LAST_SECONDS, Ending, Work


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

    def test_what_still_works_is_waited_for_and_that_is_told(self) -> None:
        done: list[None] = []
        over = self.work(done)
        for _ in range(9):
            self.pass_by(2.0)
            done.append(None)
        self.assertNoResult(over)
        self.assertEqual(self.forced, [])
        self.event.callback(None)
        self.successResultOf(over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_works_no_more_is_forced(self) -> None:
        done: list[None] = []
        self.pass_by(1.0)
        self.work(done)
        self.pass_by(1.0)
        done.append(None)
        self.pass_by(4.25)
        self.assertEqual(self.forced, [1_006.25])
        self.event.callback(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_does_nothing_from_the_beginning_is_forced_as_any_other(self) -> None:
        self.pass_by(1.0)
        over = self.work([])
        self.pass_by(3.0)
        self.assertEqual(self.forced, [1_004.0])
        self.assertNoResult(over)
        self.pass_by(LAST_SECONDS)
        self.successResultOf(over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_never_ends_is_forced_however_it_works(self) -> None:
        done: list[None] = []
        over = self.work(done)
        for _ in range(20):
            self.pass_by(1.0)
            done.append(None)
        self.assertEqual(self.forced, [1_020.0])
        self.pass_by(LAST_SECONDS)
        self.successResultOf(over)

    def work(self, done: list[None]) -> Deferred[None]:
        """A step of which as much is done as there is in ``done``."""
        return self.ending.step(
            self.event,
            4.0,
            "it",
            lambda: self.forced.append(self.clock.seconds()),
            work=Work(lambda: len(done), 20.0),
        )

    def pass_by(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(4 * seconds))
