"""Lines of the log that might come too often."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

LINE_SECONDS = 60.0
"""How long a line is not repeated."""

MOST_LINES = 50
"""Lines that are told apart; beyond it, the oldest may come again sooner."""


class Lines:
    """Tells which lines are new, by what makes them different from others."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}

    def new(self, line: str) -> bool:
        """Whether ``line`` was not told lately; it counts as told now."""
        now = self._clock.seconds()
        told = self._told.get(line)
        if told is not None and now - told < LINE_SECONDS:
            return False
        self._told.pop(line, None)
        self._told[line] = now
        if len(self._told) > MOST_LINES:
            del self._told[next(iter(self._told))]
        return True
