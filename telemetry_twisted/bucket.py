"""A token bucket: how much of something may be done at once, and how much each second."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime


class Bucket:
    """Fills with ``rate`` tokens a second and holds ``most``, which it begins with."""

    def __init__(self, rate: float, most: float, clock: IReactorTime) -> None:
        self._rate = rate
        self._most = most
        self._clock = clock
        self._tokens = most
        self._filled = clock.seconds()

    @property
    def tokens(self) -> float:
        """Tokens that may be taken now."""
        now = self._clock.seconds()
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return self._tokens

    def take(self, tokens: float) -> None:
        """Take out ``tokens``, which are there."""
        self._tokens -= tokens

    def seconds_until(self, tokens: float) -> float:
        """In how many seconds so many will be there, if none are taken until then."""
        return max(0.0, tokens - self.tokens) / self._rate
