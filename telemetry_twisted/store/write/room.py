"""How many raw events the hub is told that there is room for."""

from __future__ import annotations

from math import inf

from .pressure import Pressure

LEAST = 10_000
"""Raw events a second that there is room for however pressed the process is."""

LESS, MORE = 0.5, 1.25
"""By what the number is multiplied at each look: while the process is pressed, and while not."""

SAVED_SECONDS = 2.0
"""For how long room that is not used is kept."""


class RawRoom:
    """Room for raw events: what the queue has, and while the process is pressed only so many a
    second, for they are a sample, and the stream is not.

    It is cut to half of what came, again and again, and grows again by and by.

    :param most: events that may wait.
    """

    def __init__(self, most: int, pressure: Pressure) -> None:
        self._most = most
        self._pressure = pressure
        self._rate = inf
        self._came = 0
        self._allowed = inf

    def left(self, waiting: int, taken: int) -> int:
        """For how many more there is room, when so many wait of those ``taken`` so far."""
        seconds = self._pressure.look()
        if seconds:
            self._judge(seconds, taken)
        return int(max(0, min(self._most - waiting, self._allowed - taken)))

    def _judge(self, seconds: float, taken: int) -> None:
        came, self._came = (taken - self._came) / seconds, taken
        if self._pressure.pressed:
            self._rate = max(LEAST, min(self._rate, came) * LESS)
        elif self._rate * seconds > self._most:
            self._rate = inf
        else:
            self._rate *= MORE
        if self._rate == inf:
            self._allowed = inf
            return
        before = taken if self._allowed == inf else max(self._allowed, taken)
        self._allowed = min(before + self._rate * seconds, taken + self._rate * SAVED_SECONDS)
