"""How many events a node may send."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.bucket import Bucket

BURST = 1.2
"""How far above the rate a node may go at once."""


class RateLimit:
    """Lets ``rate`` events a second pass, and :data:`BURST` times as many at once."""

    def __init__(self, rate: int, clock: IReactorTime) -> None:
        self._bucket = Bucket(rate, rate * BURST, clock)

    def allowance(self) -> int:
        """Events that may be taken now."""
        return int(self._bucket.tokens)

    def spend(self, events: int) -> None:
        """``events`` were taken."""
        self._bucket.take(events)
