"""Silence that is judged fairly."""

from __future__ import annotations

import os
import time

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.hub.silence import LOOK_SECONDS, Silence, processor_seconds


class SilenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.used = 0.0
        self.silence = Silence(self.clock, lambda: self.used)

    def look(self, times: int, every: float = LOOK_SECONDS) -> float:
        for _ in range(times):
            self.clock.advance(every)
            self.silence.look()
        return self.silence.seconds

    def test_it_lasts_until_something_is_heard(self) -> None:
        self.assertAlmostEqual(self.look(20), 5)
        self.silence.heard()
        self.assertEqual(self.silence.seconds, 0)
        self.assertAlmostEqual(self.look(4), 1)

    def test_what_the_listener_slept_through_is_not_held_against_anyone(self) -> None:
        self.assertEqual(self.look(1, every=3600), LOOK_SECONDS)
        self.assertEqual(self.look(3, every=30), 4 * LOOK_SECONDS)

    def test_who_uses_the_processor_is_not_idle(self) -> None:
        self.look(12)
        self.assertTrue(self.silence.outlasts(idle=3, busy=10))
        self.used += 0.01
        self.look(1)
        self.assertFalse(self.silence.outlasts(idle=3, busy=10))
        self.assertTrue(self.silence.outlasts(idle=3, busy=3))
        self.look(12)
        self.assertTrue(self.silence.outlasts(idle=3, busy=10))

    def test_processor_time_of_a_process(self) -> None:
        begin = processor_seconds(os.getpid())
        end = time.monotonic() + 60
        while processor_seconds(os.getpid()) < begin + 0.05:
            self.assertLess(time.monotonic(), end, "no processor time is counted")
        self.assertEqual(processor_seconds(2**31 - 1), 0)
