"""Work for many, in turns."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.turns import STEP_SECONDS, TURN_SECONDS, Turns


class TurnsTests(SynchronousTestCase):
    """Those who wait go on in order, a few of them in each turn of the reactor."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.done: list[int] = []

    def work(self, number: int, seconds: float) -> Deferred[None]:
        """Something that takes so long when its turn has come."""

        def take(_: None) -> None:
            self.done.append(number)
            self.clock.rightNow += seconds

        return self.turns.taken().addCallback(take)

    def test_nothing_is_done_at_once(self) -> None:
        self.work(1, 0)
        self.assertEqual(self.done, [])
        self.clock.advance(0)
        self.assertEqual(self.done, [1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_turn_ends_when_its_time_is_up(self) -> None:
        for number in range(10):
            self.work(number, TURN_SECONDS / 2)
        while len(self.done) < 10:
            (call,) = self.clock.getDelayedCalls()
            self.clock.calls.clear()
            before = len(self.done)
            call.func()  # type: ignore[attr-defined]
            self.assertEqual(len(self.done), before + 2)
        self.assertEqual(self.done, list(range(10)))

    def test_a_mistake_of_one_is_its_own(self) -> None:
        failing = self.turns.taken().addCallback(lambda _: 1 // 0)
        self.work(2, 0)
        self.clock.advance(0)
        self.assertEqual(self.done, [2])
        self.failureResultOf(failing, ZeroDivisionError)

    def test_one_that_is_cancelled_has_no_turn(self) -> None:
        cancelled = self.work(1, 0)
        self.work(2, 0)
        cancelled.cancel()
        self.clock.advance(0)
        self.failureResultOf(cancelled, CancelledError)
        self.assertEqual(self.done, [2])

    def test_long_work_goes_on_in_steps(self) -> None:
        async def long() -> None:
            async for number in self.turns.steps(range(6)):
                self.done.append(number)
                self.clock.rightNow += STEP_SECONDS / 2

        finished = Deferred.fromCoroutine(long())
        self.assertEqual(self.done, [0, 1])
        self.work(99, 0)
        self.clock.advance(0)
        self.assertLess(self.done.index(99), 5)
        self.successResultOf(finished)
        self.assertEqual([number for number in self.done if number != 99], list(range(6)))
