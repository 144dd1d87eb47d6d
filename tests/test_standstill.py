"""What goes on is waited for, and what stands still is not."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.standstill import LOOK_SECONDS, Standstill


class StandstillTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.position = 0
        self.acted: list[float] = []

    def watch(self, waited: float = 0.0) -> Standstill:
        def act() -> None:
            self.acted.append(self.clock.seconds() - 1_000)

        return Standstill(self.clock, lambda: self.position, 2.0, act, waited)

    def pass_by(self, seconds: float) -> None:
        self.clock.pump([LOOK_SECONDS] * int(seconds / LOOK_SECONDS))

    def test_it_acts_once_when_nothing_has_gone_on_for_so_long(self) -> None:
        self.watch()
        self.pass_by(1.75)
        self.assertEqual(self.acted, [])
        self.pass_by(10)
        self.assertEqual(self.acted, [2.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_waits_as_long_as_it_goes_on(self) -> None:
        self.watch()
        for self.position in range(1, 11):
            self.pass_by(1.75)
        self.assertEqual(self.acted, [])
        self.pass_by(2)
        self.assertEqual(len(self.acted), 1)

    def test_what_was_waited_before_counts_until_it_goes_on(self) -> None:
        self.watch(waited=1.5)
        self.pass_by(0.25)
        self.position = 1
        self.pass_by(2)
        self.assertEqual(self.acted, [])
        self.pass_by(0.25)
        self.assertEqual(self.acted, [2.5])
        self.watch(waited=3.0)
        self.clock.advance(0)
        self.assertEqual(self.acted, [2.5, 2.5])

    def test_time_in_which_nobody_could_look_counts_for_one_look(self) -> None:
        self.watch()
        self.clock.advance(60)
        self.assertEqual(self.acted, [])
        self.pass_by(1.75)
        self.assertEqual(self.acted, [61.75])

    def test_it_does_nothing_once_it_was_cancelled(self) -> None:
        watch = self.watch()
        watch.cancel()
        watch.cancel()
        self.pass_by(5)
        self.assertEqual(self.acted, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
