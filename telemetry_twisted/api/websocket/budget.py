"""How much a subscriber may ask for in a time."""

from __future__ import annotations

from math import ceil

from twisted.internet.interfaces import IReactorTime

from .refusal import BadRequest

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

    def pay(self, cost: int, request: str) -> None:
        """Pay ``cost`` points for a ``request`` of that type.

        :raises BadRequest: if there are not so many; nothing is paid then.
        """
        now = self._clock.seconds()
        earned = (now - self._then) * POINTS_PER_SECOND
        self._points = min(float(BUDGET_POINTS), self._points + earned)
        self._then = now
        if cost <= self._points:
            self._points -= cost
            return
        wait = ceil(10 * (cost - self._points) / POINTS_PER_SECOND) / 10
        raise BadRequest(
            f"too much at once: this costs {cost} of a connection's {BUDGET_POINTS} points, of "
            f"which {POINTS_PER_SECOND} come back each second; try again in {wait:.1f} s",
            request,
        )
