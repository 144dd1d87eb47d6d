"""When a quiet client is pinged."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.pings import Pings


class PingsTests(SynchronousTestCase):
    """A client for which something is sent now and then."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sent = 0
        self.pings: list[float] = []

    def start(self, seconds: float) -> Pings:
        """The pings of a client that may have to wait for so long."""
        pings = Pings(self.clock, seconds, lambda: self.sent, self.ping)
        pings.start()
        return pings

    def ping(self) -> None:
        """A ping is sent, which is something sent as well."""
        self.pings.append(self.clock.seconds())
        self.sent += 1

    def test_a_quiet_client_hears_something_at_least_as_often_as_asked(self) -> None:
        self.start(10)
        self.clock.pump([0.1] * 1000)
        gaps = [after - before for before, after in zip(self.pings, self.pings[1:], strict=False)]
        self.assertGreater(len(gaps), 8)
        self.assertLessEqual(max(gaps), 10.2)

    def test_a_client_that_is_sent_something_is_never_left_alone_for_longer(self) -> None:
        """Whenever that something was sent between two looks."""
        for moment in (0.1, 2.5, 4.9):
            self.setUp()
            self.start(10)
            self.clock.advance(moment)
            self.sent += 1
            heard = self.clock.seconds()
            while not self.pings:
                self.clock.advance(0.1)
            self.assertLessEqual(self.pings[0] - heard, 10.1)

    def test_a_busy_client_is_not_pinged(self) -> None:
        self.start(10)
        for _ in range(1000):
            self.clock.advance(0.5)
            self.sent += 1
        self.assertEqual(self.pings, [])

    def test_none_are_sent_after_the_end_or_if_that_was_asked_for(self) -> None:
        self.start(10).stop()
        self.start(0).stop()
        self.start(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
