"""A moment by which something has to have happened."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls ``missed`` when the time that was set last is up.

    Where this process was given no processor until then, what came in time is yet to be read: that
    is done before, in one more turn of the reactor.
    """

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
            self._call = self._clock.callLater(seconds, self._look_once_more)

    def _look_once_more(self) -> None:
        self._call = self._clock.callLater(0, self._miss)

    def _miss(self) -> None:
        self._call = None
        self._missed()
