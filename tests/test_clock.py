"""Timers that do not follow the wall clock."""

from __future__ import annotations

import time

from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.clock import never_set_back, use_monotonic_timers


class MonotonicTimersTests(SynchronousTestCase):
    """On a reactor of their own, with a wall clock that is set back."""

    def setUp(self) -> None:
        self.reactor = SelectReactor()
        self.wall = 2_000_000_000.0
        self.reactor.seconds = lambda: self.wall

    def test_calls_keep_what_is_left_of_their_delay(self) -> None:
        call = self.reactor.callLater(7, lambda: None)
        use_monotonic_timers(self.reactor)
        left = call.getTime() - time.monotonic()
        self.assertTrue(6 < left <= 7, left)
        call.reset(3)
        self.assertTrue(2 < call.getTime() - time.monotonic() <= 3)

    def test_a_clock_that_is_set_back_delays_nothing(self) -> None:
        use_monotonic_timers(self.reactor)
        called: list[str] = []
        self.reactor.callLater(0, called.append, "called")
        self.wall -= 3600
        self.reactor.runUntilCurrent()
        self.assertEqual(called, ["called"])

    def test_twice_is_as_good_as_once(self) -> None:
        use_monotonic_timers(self.reactor)
        call = self.reactor.callLater(7, lambda: None)
        use_monotonic_timers(self.reactor)
        self.assertTrue(6 < call.getTime() - time.monotonic() <= 7)


class NeverSetBackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = 2_000_000_000.0
        self.reached = never_set_back(lambda: self.wall + self.clock.seconds(), self.clock)

    def test_it_is_the_wall_clock_while_nobody_sets_that(self) -> None:
        self.clock.advance(60)
        self.assertEqual(self.reached(), 2_000_000_060.0)

    def test_it_goes_on_when_the_wall_clock_is_set_back(self) -> None:
        self.wall -= 3_600
        self.clock.advance(60)
        self.assertEqual(self.reached(), 2_000_000_060.0)

    def test_it_follows_the_wall_clock_forward(self) -> None:
        self.wall += 3_600
        self.clock.advance(60)
        self.assertEqual(self.reached(), 2_000_003_660.0)
