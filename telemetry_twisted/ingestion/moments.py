"""The moments at which turns begin to read."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.clock import Now, never_set_back
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.timestamps import rfc3339


class Moments:
    """Makes the moment of each turn.

    There are thousands of turns in a second, so what differs by less than that within the second is
    made once for all of them; only the time that is shown is each one's own.

    :param now: the wall clock.
    :param clock: the one that nobody sets.
    """

    def __init__(self, now: Now, clock: IReactorTime) -> None:
        self._now = now
        self._clock = clock
        self._reached = never_set_back(now, clock)
        self._seconds = (-1, -1)  # of both clocks, for which the following was made
        self._shown = b""
        self._bounds = (0, 0, 0, 0, 0)

    def now(self) -> tuple[Moment, int, int]:
        """This moment, and when it is in microseconds of Unix time and of the other clock."""
        now, seconds = self._now(), self._clock.seconds()
        whole, micros = divmod(round(now * 1_000_000), 1_000_000)
        if self._seconds != (whole, int(seconds)):
            self._renew(now, whole, int(seconds))
        arrived = int(now * 1_000_000)
        moment = Moment(b"%b%06dZ" % (self._shown, micros), *self._bounds, arrived)
        return moment, arrived, int(seconds * 1_000_000)

    @property
    def second(self) -> tuple[bytes, int, int]:
        """How the second of the last moment is shown, up to its fraction, and it by both clocks."""
        return self._shown, *self._seconds

    def _renew(self, now: float, whole: int, second: int) -> None:
        self._seconds = (whole, second)
        self._shown = rfc3339(whole)[: -len("000000Z")].encode()
        self._bounds = Moment.at(now, b"", self._reached(), second)[1:-1]
