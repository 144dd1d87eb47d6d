"""How much a subscriber may ask for in a time."""

from __future__ import annotations

from math import ceil

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.bucket import Bucket

from .refusal import BadRequest

BUDGET_POINTS = 20
"""What a connection may ask for at once, in points (:func:`~.requests.cost`)."""

POINTS_PER_SECOND = 10
"""What it gets back of them each second."""


class Budget:
    """The points of a connection, which what it asks for is paid with."""

    def __init__(self, clock: IReactorTime) -> None:
        self._bucket = Bucket(POINTS_PER_SECOND, BUDGET_POINTS, clock)

    def pay(self, cost: int, request: str) -> None:
        """Pay ``cost`` points for a ``request`` of that type.

        :raises BadRequest: if there are not so many; nothing is paid then.
        """
        if cost <= self._bucket.tokens:
            self._bucket.take(cost)
            return
        wait = ceil(10 * self._bucket.seconds_until(cost)) / 10
        raise BadRequest(
            f"too much at once: this costs {cost} of a connection's {BUDGET_POINTS} points, of "
            f"which {POINTS_PER_SECOND} come back each second; try again in {wait:.1f} s",
            request,
        )
