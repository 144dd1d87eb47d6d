"""A moment by which something has to have happened."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls ``missed`` when the time that was set last is up."""

    def __init__(self, clock: IReactorTime, missed: Callable[[], None]) -> None:
        self._clock = clock
        self._missed = missed
        self._call: IDelayedCall | None = None

    @property
    def is_set(self) -> bool:
        """Whether it is still to come."""
        return self._call is not None

    def set(self, seconds: float | None) -> None:
        """From now on it is so many seconds from now, or never if None."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if seconds is not None:
            self._call = self._clock.callLater(seconds, self._miss)

    def _miss(self) -> None:
        self._call = None
        self._missed()
