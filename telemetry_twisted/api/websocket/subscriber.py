"""One subscriber: what it is sent, and what it may ask for.

====================  ===========================================================
client → server       reply
====================  ===========================================================
Subscribe             subscribed, then events that match the filter
Unsubscribe           unsubscribed, then all events
GetRecentEvents       recent_events
Ping                  pong
SubscribeMetrics      metrics_subscribed, then metrics at the interval
UnsubscribeMetrics    metrics_unsubscribed
SubscribeAlerts       alerts_subscribed, then alert when the set of alerts changes
UnsubscribeAlerts     alerts_unsubscribed
anything else         error; the connection stays as it is
====================  ===========================================================

A subscriber reads the ring at its own cursor for as long as its sender flows. When that is blocked
it stops; when it flows again, it goes on where it was, or, where the ring has moved past that, it
is told how much it missed. What it asks for meanwhile waits its turn in the stream, so that a reply
always stands between the events before and after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.channel import Channel, Cursor
from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.ring import FiltersTooLarge, Ring
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport.sender import Sender
from telemetry_twisted.turns import Turns

from . import requests
from .budget import Budget
from .filters import summary
from .frames import encode, frame_header, message, sample
from .recent import RecentEvents
from .refusal import BadRequest

GREETING_SAMPLES = 200
"""Most events in ``recent_event_samples`` of ``connected``."""

GOING_AWAY = 1001
"""WebSocket status code of a server that shuts down (RFC 6455, 7.4.1)."""

INTERNAL_ERROR = 1011
"""WebSocket status code of a server that has made a mistake (RFC 6455, 7.4.1)."""

SUBSCRIBER = "subscriber"
"""The place of mistakes in what is done for one subscriber (:class:`.InternalErrors`)."""


class Figures(Protocol):
    """What subscribers are told of the server."""

    def greeting(self) -> dict[str, Any]:
        """``recent_events``, ``total_nodes`` and ``broadcaster_stats`` of ``connected``."""


class Gauges(Protocol):
    """What only a server that keeps history tells."""

    def stats(self) -> dict[str, Any]:
        """``database``, ``broadcaster`` and ``connections`` of ``stats``."""

    def metrics(self) -> dict[str, Any]:
        """The data of ``metrics``."""

    def alerts(self) -> dict[str, Any]:
        """The data of ``alert``."""

    def problems(self) -> list[str]:
        """What is wrong with the server itself, in words."""


NO_HISTORY = (
    "not available: the server was started with --no-database and keeps no history; "
    "start it without that option to get metrics and alerts"
)


@define(eq=False)
class _Subscription:
    """A stretch of the stream that is read through one channel, whose filter is shown as JSON."""

    channel: Channel
    cursor: Cursor
    shown: bytes


def _nothing_to_prepare() -> bool:
    return True


@define(eq=False)
class _PendingRequest:
    """A request whose turn comes when the stream has been read up to ``until``.

    ``prepare`` does some of the work before it can be answered, and tells whether that was all.
    """

    until: int
    answer: Callable[[], None]
    prepare: Callable[[], bool] = _nothing_to_prepare


class SubscriberContext(Protocol):
    """What all subscribers share.

    ``gauges`` is None where no history is kept; ``frames`` counts events in each frame. Work that
    takes long is done in ``turns``. ``ping_seconds`` is the longest that nothing is sent, or 0.
    """

    ring: Ring
    clock: IReactorTime
    turns: Turns
    now: Now
    ping_seconds: float
    errors: InternalErrors
    figures: Figures
    gauges: Gauges | None
    frames: Histogram

    def opened(self, subscriber: Subscriber) -> None:
        """A subscriber is there."""

    def closed(self, subscriber: Subscriber) -> None:
        """A subscriber is gone."""

    def missed(self, events: int) -> None:
        """A subscriber missed ``events``."""


SayGoodbye = Callable[[int, bytes], None]
"""Begins the closing handshake with a status code and a reason."""

_P = ParamSpec("_P")


def _kept(
    step: Callable[Concatenate[Subscriber, _P], None],
) -> Callable[Concatenate[Subscriber, _P], None]:
    """A step of a subscriber's in which a mistake ends that subscriber, and nobody else."""

    @wraps(step)
    def run(self: Subscriber, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            step(self, *args, **kwargs)
        except Exception:
            self.failed(Failure())

    return run


class Subscriber:
    """Streams events to one client.

    It is there from the end of the opening handshake until :meth:`gone`. ``events_received`` and
    ``lagged_total`` count the events that it was sent and that it missed.

    :param batch: most events in a frame.
    :param answered: called when all that was asked for has been answered, which had to wait.
    """

    def __init__(
        self,
        context: SubscriberContext,
        peer: str,
        sender: Sender,
        say_goodbye: SayGoodbye,
        abort: Callable[[], None],
        batch: int,
        answered: Callable[[], None],
    ) -> None:
        self.events_received = 0
        self.lagged_total = 0
        self.peer = peer
        self.abort = abort
        self._context = context
        self._sender = sender
        self._close = say_goodbye
        self._batch = batch
        self._answered = answered
        self._budget = Budget(context.clock)
        self._awaits_turn = False
        self._opened = context.clock.seconds()
        self._finishing = False
        self._pending: deque[_PendingRequest] = deque()
        self._metrics_call: IDelayedCall | None = None
        self._wants_alerts = False
        self._alerts: dict[str, Any] | None = None
        self._subscriptions = deque([self._subscribe_through(ALL, {"type": "All"})])

    @property
    def busy(self) -> bool:
        """Whether something that was asked for has not been answered yet."""
        return bool(self._pending)

    @_kept
    def start(self) -> None:
        """Greet the client and stream from now on."""
        self._context.opened(self)
        self._greet()
        self._go_on()

    def _subscribe_through(self, filter: Filter, given: Any) -> _Subscription:
        try:
            channel = self._context.ring.open(filter)
        except FiltersTooLarge as error:
            raise BadRequest(
                f"there is no room for this filter: those of all subscribers may take "
                f"{error.most >> 10} KiB, a part of --ring-mib; name fewer nodes, or try again "
                "later",
                requests.Subscribe.__name__,
            ) from None
        return _Subscription(channel, channel.tail(), summary(given))

    def _greet(self) -> None:
        samples = b",".join(map(sample, self._context.ring.newest(GREETING_SAMPLES)))
        data = {
            "message": "Connected to the telemetry stream. All events follow; send "
            '{"type":"Subscribe","filter":…} to narrow them.',
            **self._context.figures.greeting(),
        }
        self._tell_raw(
            "connected", encode(data)[:-1] + b',"recent_event_samples":[' + samples + b"]}"
        )

    def _tell(self, kind: str, data: Any) -> None:
        payload = message(kind, data, self._context.now())
        self._sender.write((frame_header(len(payload)), payload))

    def _tell_raw(self, kind: str, data: bytes) -> None:
        now = rfc3339(self._context.now()).encode()
        payload = b'{"type":"%b","data":%b,"timestamp":"%b"}' % (kind.encode(), data, now)
        self._sender.write((frame_header(len(payload)), payload))

    @_kept
    def wake(self) -> None:
        """There is room, or there are events (:class:`~telemetry_twisted.hub.channel.Reader`)."""
        self._go_on()

    def _go_on(self) -> None:
        """Write until the sender has enough, or there is nothing more."""
        while self._sender.flowing:
            subscription = self._subscriptions[0]
            request = self._pending[0] if self._pending else None
            if request is not None and subscription.cursor.position >= request.until:
                if not self._prepared(request):
                    return
                self._pending.popleft()
                request.answer()
                if not self._pending:
                    self._answered()
            elif not self._write_frame(subscription, None if request is None else request.until):
                if self._finishing:
                    self._say_goodbye()
                else:
                    subscription.channel.wait(self)
                return

    def _prepared(self, request: _PendingRequest) -> bool:
        """Whether ``request`` can be answered now; if not, it will be in another turn."""
        if self._awaits_turn:
            return False
        if request.prepare():
            return True
        self._awaits_turn = True
        self._context.turns.taken().addCallback(self._has_turn)
        return False

    def _has_turn(self, _: None) -> None:
        self._awaits_turn = False
        self.wake()

    def _write_frame(self, subscription: _Subscription, until: int | None) -> bool:
        """Write the next frame before position ``until``; False if there is none."""
        skipped = subscription.channel.catch_up(subscription.cursor, until)
        if skipped:
            self.lagged_total += skipped
            self._context.missed(skipped)
            self._tell("lagged", {"skipped": skipped, "lagged_total": self.lagged_total})
        found = subscription.channel.read(subscription.cursor, until, self._batch)
        if found is None:
            return bool(skipped)
        frame, count = found
        self.events_received += count
        self._context.frames.observe(count)
        self._sender.write(frame)
        return True

    @_kept
    def asked(self, payload: bytes, is_binary: bool) -> None:
        """The client has sent a message."""
        try:
            request = requests.parse_request(payload, is_binary)
            self._budget.pay(requests.cost(request), type(request).__name__)
            self._take_up(request)
        except BadRequest as error:
            refusal = {"message": error.message, "request": error.request}
            self._in_turn(lambda: self._tell("error", refusal))

    def _take_up(self, request: requests.Request) -> None:
        if isinstance(request, requests.Subscribe):
            self._turn_to(
                request.filter,
                request.given,
                "subscribed",
                {"filter": request.given, "message": "Subscription updated"},
            )
        elif isinstance(request, requests.Unsubscribe):
            reply = {"message": "Subscription removed; all events follow"}
            self._turn_to(ALL, {"type": "All"}, "unsubscribed", reply)
        elif isinstance(request, requests.GetRecentEvents):
            ring, limit = self._context.ring, request.limit
            recent = RecentEvents(lambda: ring.newest(limit))
            self._in_turn(lambda: self._tell_raw("recent_events", recent.data()), recent.go_on)
        else:
            self._in_turn(lambda: self._answer(request))

    def _in_turn(
        self, answer: Callable[[], None], prepare: Callable[[], bool] = _nothing_to_prepare
    ) -> None:
        """Have ``answer`` called when all that is in the stream so far is out."""
        until = self._subscriptions[-1].channel.total
        self._pending.append(_PendingRequest(until, answer, prepare))
        self._go_on()

    def _turn_to(self, filter: Filter, given: Any, kind: str, reply: dict[str, Any]) -> None:
        """Go on through another filter, whose events count from now on.

        :raises BadRequest: if there is no room for it.
        """

        def turn() -> None:
            self._leave(self._subscriptions.popleft())
            self._tell(kind, reply)

        until = self._subscriptions[-1].channel.total
        self._subscriptions.append(self._subscribe_through(filter, given))
        self._pending.append(_PendingRequest(until, turn))
        self._go_on()

    def _leave(self, subscription: _Subscription) -> None:
        subscription.channel.forget(self)
        self._context.ring.close(subscription.channel)

    def _answer(self, request: requests.Request) -> None:
        if isinstance(request, requests.Ping):
            uptime = self._context.clock.seconds() - self._opened
            self._tell("pong", {**self.counters(), "uptime_ms": int(uptime * 1000)})
        elif self._context.gauges is None:
            self._tell("error", {"message": NO_HISTORY, "request": type(request).__name__})
        elif isinstance(request, requests.SubscribeMetrics):
            self._stop_metrics()
            self._tell("metrics_subscribed", {"interval_ms": request.interval_ms})
            self._send_metrics(self._context.gauges, request.interval_ms / 1000)
        elif isinstance(request, requests.UnsubscribeMetrics):
            self._stop_metrics()
            self._tell("metrics_unsubscribed", {"message": "No more metrics"})
        elif isinstance(request, requests.SubscribeAlerts):
            self._wants_alerts = True
            self._tell("alerts_subscribed", {"message": "Alerts follow when they change"})
            self.alerts_changed(self._context.gauges.alerts())
        elif isinstance(request, requests.UnsubscribeAlerts):
            self._wants_alerts = False
            self._tell("alerts_unsubscribed", {"message": "No more alerts"})

    def counters(self) -> dict[str, int]:
        """This subscriber's ``events_received`` and ``lagged_total``."""
        return {"events_received": self.events_received, "lagged_total": self.lagged_total}

    @_kept
    def _send_metrics(self, gauges: Gauges, interval: float) -> None:
        self._metrics_call = self._context.clock.callLater(
            interval, self._send_metrics, gauges, interval
        )
        # A client too slow for its events is not given figures to fall behind with as well.
        if self._sender.flowing:
            self._tell("metrics", gauges.metrics())

    def _stop_metrics(self) -> None:
        if self._metrics_call is not None:
            self._metrics_call.cancel()
            self._metrics_call = None

    @_kept
    def alerts_changed(self, alerts: dict[str, Any]) -> None:
        """Tell the alerts that hold now, if that was asked for."""
        if self._wants_alerts:
            waits, self._alerts = self._alerts is not None, alerts
            if not waits:  # else the news are told in place of what was to be told
                self._in_turn(self._tell_alerts)

    def _tell_alerts(self) -> None:
        alerts, self._alerts = self._alerts, None
        self._tell("alert", alerts)

    @_kept
    def send_stats(self, stats: bytes) -> None:
        """Tell how the server, in a JSON object made for all, and this subscriber are doing."""
        if self._sender.flowing:
            mine, shown = encode(self.counters()), self._subscriptions[-1].shown
            own = b',"websocket":%b,"current_filter":%b}}' % (mine[:-1], shown)
            self._tell_raw("stats", stats[:-1] + own)

    @_kept
    def finish(self) -> None:
        """Send what is in the ring so far, then close: the server shuts down."""
        self._finishing = True
        self._go_on()

    @_kept
    def hurry(self) -> None:
        """Close now: what the client has not taken until now is left out."""
        self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._close(GOING_AWAY, b"the server shuts down")

    def failed(self, failure: Failure) -> None:
        """A mistake of the server's own was made for this subscriber, which ends here."""
        self._context.errors.note(SUBSCRIBER, failure)
        with self._context.errors.kept_at(SUBSCRIBER):
            self._close(INTERNAL_ERROR, b"the server made a mistake")

    def stalled_for(self, now: float) -> float:
        """Seconds for which the client has accepted no byte of what waits for it."""
        return self._sender.stalled_for(now)

    def gone(self) -> None:
        """The connection is closed."""
        self._stop_metrics()
        for subscription in self._subscriptions:
            with self._context.errors.kept_at(SUBSCRIBER):
                self._leave(subscription)
        self._context.closed(self)
