"""Logging that stays readable whatever strangers do."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel, formatEvent

PERIOD = 10.0
"""Seconds over which messages of one kind are counted."""

AT_MOST = 5
"""Messages of one kind that are logged in a period."""


class QuietLog:
    """Logs the first :data:`AT_MOST` messages of a kind in each period, then how many there were.

    A message's kind is its format.
    """

    def __init__(self, log: Logger, clock: IReactorTime) -> None:
        self._log = log
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._last: dict[str, dict[str, Any]] = {}

    def warn(self, format: str, **values: Any) -> None:
        """Log at level warn."""
        count = self._counts.get(format, 0)
        if count == 0:
            self._clock.callLater(PERIOD, self._sum_up, format)
        self._counts[format] = count + 1
        if count < AT_MOST:
            self._log.emit(LogLevel.warn, format, **values)
        else:
            self._last[format] = values

    def _sum_up(self, format: str) -> None:
        more = self._counts.pop(format) - AT_MOST
        if more > 0:
            self._log.warn(
                "{more} more like these within {period:.0f} s, the last of them: {text}",
                more=more,
                period=PERIOD,
                text=formatEvent({"log_format": format, **self._last.pop(format)}),
            )
