"""What is done again and again."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.rounds import Rounds


class RoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.errors = InternalErrors(self.clock)
        self.done: list[float] = []
        self.rounds = Rounds(self.work, "work", self.clock, self.errors)

    def work(self) -> None:
        self.done.append(self.clock.seconds())
        if len(self.done) == 2:
            raise KeyError(2)

    def test_a_bad_round_is_counted_and_the_next_comes(self) -> None:
        self.rounds.start(2.0)
        self.clock.pump([2.0] * 4)
        self.assertEqual(self.done, [2, 4, 6, 8])
        self.assertEqual(self.errors.counts, {"work": 1})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_the_first_may_come_at_once(self) -> None:
        self.rounds.start(2.0, now=True)
        self.assertEqual(self.done, [0])

    def test_no_more_come_when_stopped(self) -> None:
        self.assertFalse(self.rounds.running)
        self.rounds.stop()
        self.rounds.start(2.0)
        self.rounds.start(2.0)
        self.assertTrue(self.rounds.running)
        self.rounds.stop()
        self.clock.advance(10)
        self.assertEqual(self.done, [])

    def test_a_round_that_takes_longer_puts_off_the_next(self) -> None:
        begun: list[Deferred[None]] = []
        cancelled: list[Deferred[None]] = []

        async def work() -> None:
            begun.append(Deferred(cancelled.append))
            await begun[-1]

        rounds = Rounds(work, "work", self.clock, self.errors)
        rounds.start(2.0, now=True)
        self.clock.pump([2.0] * 3)
        self.assertEqual(len(begun), 1)
        begun[0].errback(KeyError(1))
        self.assertEqual(self.errors.counts, {"work": 1})
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.clock.advance(2)
        self.assertEqual(len(begun), 2)
        rounds.stop()
        self.assertEqual(cancelled, begun[1:])
        self.assertEqual(self.errors.counts, {"work": 1})
