"""How many events a node may send."""

from __future__ import annotations

BURST = 1.2
"""How far above the rate a node may go at once."""


class RateLimit:
    """Lets ``rate`` events a second pass, and :data:`BURST` times as many at once.

    :param spent: how many of those that may pass at once have passed.
    :param now: seconds of the clock that nobody sets.
    """

    def __init__(self, rate: int, spent: int, now: float) -> None:
        self._rate = rate
        self._most = rate * BURST
        self._left = self._most - spent
        self._filled = now

    def allowance(self, now: float) -> int:
        """Events that may be taken now."""
        self._left = min(self._most, self._left + (now - self._filled) * self._rate)
        self._filled = now
        return max(0, int(self._left))

    def spend(self, events: int) -> None:
        """``events`` were taken."""
        self._left -= events
