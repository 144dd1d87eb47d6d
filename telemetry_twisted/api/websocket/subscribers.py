"""All subscribers together."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.quiet import QuietLog
from telemetry_twisted.rounds import Rounds
from telemetry_twisted.transport.fan_out import SendToAll, send_to_all
from telemetry_twisted.turns import Turns

from .context import SUBSCRIBER, Figures, Gauges
from .frames import encode
from .metrics import Metrics
from .network import NetworkNews
from .subscriber import Subscriber
from .tail import Tails

STATS_SECONDS = 5.0
"""How often ``stats`` are sent (protocol, "Server → client")."""

PING_SECONDS = 10.0
"""The longest that a subscriber hears nothing, unless another time is asked for."""

STALLED_SECONDS = 60.0
"""How long a subscriber may accept no byte at all (protocol, ``lagged``)."""


FRAME_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 1000)


class Subscribers:
    """Knows the subscribers, tells them what concerns all, and lets go of those that are dead.

    ``events_missed`` is what subscribers were told of as ``lagged``, over all of them. What they
    ask for is looked at in ``turns``.

    :param ping_seconds: the longest that a subscriber hears nothing; 0 for as long as it may be.
    """

    _log = Logger()

    def __init__(
        self,
        ring: Ring,
        figures: Figures,
        gauges: Gauges | None,
        max_subscribers: int,
        clock: IReactorTime,
        now: Now,
        errors: InternalErrors,
        turns: Turns,
        ping_seconds: float = PING_SECONDS,
        send_to_all: SendToAll = send_to_all,
    ) -> None:
        self.ring = ring
        self.figures = figures
        self.gauges = gauges
        self.metrics = None if gauges is None else Metrics(gauges, clock, errors)
        self.network = None if gauges is None else NetworkNews(gauges, clock, errors)
        self.max_subscribers = max_subscribers
        self.clock = clock
        self.now = now
        self.errors = errors
        self.turns = turns
        self.events_missed = 0
        self.frames = Histogram("Events in a frame.", FRAME_BOUNDS)
        self.tails = Tails(self.frames, clock, send_to_all)
        self._members: dict[Subscriber, None] = {}
        self._quiet = QuietLog(self._log, clock)
        self._rounds = Rounds(self._look_after, "subscribers", clock, errors)
        self._ping_seconds = ping_seconds
        self._ping_rounds = Rounds(self._ping_quiet_ones, "subscribers", clock, errors)
        self._empty: Deferred[None] | None = None
        self._hurry_call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._members)

    @property
    def full(self) -> bool:
        """Whether another subscriber has to be turned away."""
        return len(self._members) >= self.max_subscribers or self._empty is not None

    def start(self) -> None:
        """Send stats and pings, and look for the dead, from now on."""
        self._rounds.start(STATS_SECONDS)
        if self._ping_seconds:
            # Who looks twice as often finds out in time that nothing has gone out since.
            self._ping_rounds.start(self._ping_seconds / 2)

    def opened(self, subscriber: Subscriber) -> None:
        self._members[subscriber] = None

    def closed(self, subscriber: Subscriber) -> None:
        self._members.pop(subscriber, None)
        if self._empty is not None and not self._members:
            if self._hurry_call is not None:
                self._hurry_call.cancel()
                self._hurry_call = None
            self._empty.callback(None)

    def missed(self, events: int) -> None:
        self.events_missed += events

    def _look_after(self) -> None:
        now = self.clock.seconds()
        stats = None if self.gauges is None else encode(self.gauges.stats())
        for subscriber in list(self._members):
            with self.errors.kept_at(SUBSCRIBER):
                if subscriber.stalled_for(now) >= STALLED_SECONDS:
                    self._quiet.warn(
                        "subscriber {peer} has accepted nothing for {seconds:.0f} s; it is let go",
                        peer=subscriber.peer,
                        seconds=STALLED_SECONDS,
                    )
                    subscriber.abort()
                elif stats is not None:
                    subscriber.send_stats(stats)

    def _ping_quiet_ones(self) -> None:
        # One round for all: a timer each would wake the process for each, again and again.
        for subscriber in list(self._members):
            subscriber.ping_if_quiet()

    def lagged(self) -> dict[str, int]:
        """What subscribers have missed, in events, by address, which all at a unix: one share."""
        missed: Counter[str] = Counter()
        for subscriber in self._members:
            missed[subscriber.peer] += subscriber.stream.lagged_total
        return missed

    def alerts_changed(self) -> None:
        """Tell those who asked for alerts."""
        if self.gauges is not None:
            alerts = self.gauges.alerts()
            for subscriber in list(self._members):
                with self.errors.kept_at(SUBSCRIBER):
                    subscriber.alerts_changed(alerts)

    def finish(self, seconds: float) -> Deferred[None]:
        """Send all what is in the ring, close them, and take no more; fires when all are gone.

        :param seconds: how long that may take. Those who are too slow for it are closed, with what
            they have not taken left out, when half of it is over.
        """
        self._rounds.stop()
        self._ping_rounds.stop()
        self._empty = Deferred()
        if not self._members:
            self._empty.callback(None)
            return self._empty
        self._hurry_call = self.clock.callLater(seconds / 2, self._hurry)
        for subscriber in list(self._members):
            with self.errors.kept_at(SUBSCRIBER):
                subscriber.finish()
        return self._empty

    def _hurry(self) -> None:
        self._hurry_call = None
        for subscriber in list(self._members):
            with self.errors.kept_at(SUBSCRIBER):
                subscriber.hurry()

    def abort(self) -> None:
        """Close the connections that are still there at once."""
        for subscriber in list(self._members):
            with self.errors.kept_at(SUBSCRIBER):
                subscriber.abort()
