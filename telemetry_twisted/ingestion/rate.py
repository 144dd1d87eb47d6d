"""How many events a node may send."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

BURST = 1.2
"""How far above the rate a node may go at once."""


class RateLimit:
    """A bucket that fills with ``rate`` events a second and holds :data:`BURST` times as many."""

    def __init__(self, rate: int, clock: IReactorTime) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = rate * BURST
        self._filled = clock.seconds()

    def allowance(self) -> int:
        """Events that may be taken now."""
        now = self._clock.seconds()
        elapsed = max(0.0, now - self._filled)
        self._tokens = min(self._rate * BURST, self._tokens + elapsed * self._rate)
        self._filled = now
        return int(self._tokens)

    def spend(self, events: int) -> None:
        """``events`` were taken."""
        self._tokens -= events
