"""A token bucket: how much of something may be done at once, and how much each second."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime


class TimedBucket:
    """Fills with ``rate`` tokens a second and holds ``most``, which it begins with.

    :param now: seconds of the clock that nobody sets, as all times here.
    """

    def __init__(self, rate: float, most: float, now: float) -> None:
        self._rate = rate
        self._most = most
        self._tokens = most
        self._filled = now

    def tokens_at(self, now: float) -> float:
        """Tokens that may be taken at ``now``."""
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        return self._tokens

    def take(self, tokens: float) -> None:
        """Take out ``tokens``."""
        self._tokens -= tokens


class Bucket(TimedBucket):
    """One that looks at ``clock`` for the time."""

    def __init__(self, rate: float, most: float, clock: IReactorTime) -> None:
        super().__init__(rate, most, clock.seconds())
        self._clock = clock

    @property
    def tokens(self) -> float:
        """Tokens that may be taken now."""
        return self.tokens_at(self._clock.seconds())

    def seconds_until(self, tokens: float) -> float:
        """In how many seconds so many will be there, if none are taken until then."""
        return max(0.0, tokens - self.tokens) / self._rate
