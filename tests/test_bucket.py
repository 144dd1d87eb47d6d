"""A token bucket."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.bucket import Bucket


class BucketTests(SynchronousTestCase):
    """Ten tokens a second, twenty at most."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bucket = Bucket(10, 20, self.clock)

    def test_it_begins_full_and_never_holds_more(self) -> None:
        self.assertEqual(self.bucket.tokens, 20)
        self.clock.advance(100)
        self.assertEqual(self.bucket.tokens, 20)

    def test_what_was_taken_comes_back_as_time_goes_by(self) -> None:
        self.bucket.take(20)
        self.assertEqual(self.bucket.tokens, 0)
        self.clock.advance(0.5)
        self.assertEqual(self.bucket.tokens, 5)

    def test_it_tells_when_there_will_be_so_many(self) -> None:
        self.assertEqual(self.bucket.seconds_until(20), 0)
        self.bucket.take(15)
        self.assertEqual(self.bucket.seconds_until(5), 0)
        self.assertEqual(self.bucket.seconds_until(10), 0.5)
