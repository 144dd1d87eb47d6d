"""How much a subscriber may ask for in a time."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

BUDGET_POINTS = 20
"""What a connection may ask for at once, in points (:func:`~.requests.cost`)."""

POINTS_PER_SECOND = 10
"""What it gets back of them each second."""


class Budget:
    """A bucket of points that what is asked for is paid with."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._points = float(BUDGET_POINTS)
        self._then = clock.seconds()

    def wait_for(self, cost: int) -> float:
        """Pay ``cost`` points.

        :returns: 0, or the seconds to wait until there are so many, if there are not.
        """
        now = self._clock.seconds()
        earned = (now - self._then) * POINTS_PER_SECOND
        self._points = min(float(BUDGET_POINTS), self._points + earned)
        self._then = now
        if cost <= self._points:
            self._points -= cost
            return 0.0
        return (cost - self._points) / POINTS_PER_SECOND
