"""WebSocket pings, so that nobody between server and client takes a quiet stream for a dead one."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Pings:
    """Sends a ping when nothing else has gone out for a while.

    A client that answers none is no worse for it: whether it is there shows in the bytes that it
    accepts (protocol, ``lagged``), and a ping is a few for it to accept.

    :param seconds: the longest that nothing may go out; 0 for as long as it may be.
    :param sent: tells a number that changes when something goes out.
    :param ping: sends a ping.
    """

    def __init__(
        self,
        clock: IReactorTime,
        seconds: float,
        sent: Callable[[], int],
        ping: Callable[[], None],
    ) -> None:
        self._clock = clock
        # Who looks twice as often finds out in time that something has not gone out since.
        self._interval = seconds / 2
        self._sent = sent
        self._ping = ping
        self._seen = sent()
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Ping from now on."""
        if self._interval:
            self._call = self._clock.callLater(self._interval, self._look)

    def _look(self) -> None:
        self._call = self._clock.callLater(self._interval, self._look)
        if self._sent() == self._seen:
            self._ping()
        self._seen = self._sent()

    def stop(self) -> None:
        """Ping no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
