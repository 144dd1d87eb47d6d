"""How many events a node may send."""

from __future__ import annotations

from telemetry_twisted.bucket import TimedBucket

BURST = 1.2
"""How far above the rate a node may go at once."""


class RateLimit:
    """Lets ``rate`` events a second pass, and :data:`BURST` times as many at once.

    :param spent: how many of those that may pass at once have passed.
    :param now: seconds of the clock that nobody sets.
    """

    def __init__(self, rate: int, spent: int, now: float) -> None:
        self._bucket = TimedBucket(rate, rate * BURST, now)
        self._bucket.take(spent)

    def allowance(self, now: float) -> int:
        """Events that may be taken now."""
        return max(0, int(self._bucket.tokens_at(now)))

    def spend(self, events: int) -> None:
        """``events`` were taken."""
        self._bucket.take(events)
