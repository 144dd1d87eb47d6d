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
SubscribeNetwork      network_subscribed, then network: all, and what changes
UnsubscribeNetwork    network_unsubscribed
anything else         error; the connection stays as it is
====================  ===========================================================

Replies stand in the stream where they were asked for (:mod:`.stream`), and are paid for
(:mod:`.budget`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from twisted.python.failure import Failure

from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.hub.ring import FiltersTooLarge
from telemetry_twisted.transport.sender import Sender

from . import requests
from .budget import Budget
from .context import SUBSCRIBER, SubscriberContext
from .frames import encode, sample
from .recent import RecentEvents
from .refusal import BadRequest
from .stream import Stream

GREETING_SAMPLES = 200
"""Most events in ``recent_event_samples`` of ``connected``."""

GOING_AWAY = 1001
"""WebSocket status code of a server that shuts down (RFC 6455, 7.4.1)."""

INTERNAL_ERROR = 1011
"""WebSocket status code of a server that has made a mistake (RFC 6455, 7.4.1)."""

NO_HISTORY = (
    "not available: the server was started with --no-database and keeps no history; "
    "start it without that option to get metrics, alerts and what networks do"
)


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

    It is there from the end of the opening handshake until :meth:`gone`. What it is sent in order
    goes through its ``stream``.

    :param ping: sends a WebSocket ping, so that nobody on the way takes a quiet client for dead.
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
        ping: Callable[[], None],
        batch: int,
        answered: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.abort = abort
        self._context = context
        self._sender = sender
        self._close = say_goodbye
        self._ping = ping
        self._sent_before = 0
        self._budget = Budget(context.clock)
        self.stream = Stream(context, sender, self, batch, answered)
        self._opened = context.clock.seconds()
        self._wants_alerts = False
        self._alerts: dict[str, Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether something that was asked for has not been answered yet."""
        return self.stream.busy

    @_kept
    def start(self) -> None:
        """Greet the client and stream from now on."""
        self._context.opened(self)
        self._greet()
        self.stream.go_on()

    def _greet(self) -> None:
        samples = b",".join(map(sample, self._context.ring.newest(GREETING_SAMPLES)))
        data = {
            "message": "Connected to the telemetry stream. All events follow; send "
            '{"type":"Subscribe","filter":…} to narrow them.',
            **self._context.figures.greeting(),
        }
        self.stream.tell_raw(
            "connected", encode(data)[:-1] + b',"recent_event_samples":[' + samples + b"]}"
        )

    def wake(self) -> None:
        """There is room, or there are events (:class:`~telemetry_twisted.hub.channel.Reader`)."""
        # As any other step, but it is taken for each frame, and another call would show.
        try:
            self.stream.go_on()
        except Exception:
            self.failed(Failure())

    @_kept
    def asked(self, payload: bytes, is_binary: bool) -> None:
        """The client has sent a message."""
        try:
            request = requests.parse_request(payload, is_binary)
            self._budget.pay(requests.cost(request), type(request).__name__)
            self._take_up(request)
        except BadRequest as error:
            refusal = {"message": error.message, "request": error.request}
            self.stream.in_turn(lambda: self.stream.tell("error", refusal))

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
            self.stream.in_turn(
                lambda: self.stream.tell_raw("recent_events", recent.data()), recent.go_on
            )
        else:
            self.stream.in_turn(lambda: self._answer(request))

    def _turn_to(self, filter: Filter, given: Any, kind: str, reply: dict[str, Any]) -> None:
        try:
            self.stream.turn_to(filter, given, lambda: self.stream.tell(kind, reply))
        except FiltersTooLarge as error:
            raise BadRequest(
                "there is no room for this filter: those of all subscribers may take "
                f"{error.most >> 10} KiB, a part of --ring-mib; name fewer nodes, or try again "
                "later",
                requests.Subscribe.__name__,
            ) from None

    def _answer(self, request: requests.Request) -> None:
        gauges, metrics = self._context.gauges, self._context.metrics
        network = self._context.network
        if isinstance(request, requests.Ping):
            uptime = self._context.clock.seconds() - self._opened
            self.stream.tell("pong", {**self.counters(), "uptime_ms": int(uptime * 1000)})
        elif gauges is None or metrics is None or network is None:
            self.stream.tell("error", {"message": NO_HISTORY, "request": type(request).__name__})
        elif isinstance(request, requests.SubscribeMetrics):
            self.stream.tell("metrics_subscribed", {"interval_ms": request.interval_ms})
            metrics.begin(self, request.interval_ms / 1000)
        elif isinstance(request, requests.UnsubscribeMetrics):
            metrics.end(self)
            self.stream.tell("metrics_unsubscribed", {"message": "No more metrics"})
        elif isinstance(request, requests.SubscribeAlerts):
            self._wants_alerts = True
            self.stream.tell("alerts_subscribed", {"message": "Alerts follow when they change"})
            self.alerts_changed(gauges.alerts())
        elif isinstance(request, requests.UnsubscribeAlerts):
            self._wants_alerts = False
            self.stream.tell("alerts_unsubscribed", {"message": "No more alerts"})
        elif isinstance(request, requests.SubscribeNetwork):
            message = "All of it follows, then every second what has changed"
            self.stream.tell("network_subscribed", {"message": message})
            network.begin(self)
        elif isinstance(request, requests.UnsubscribeNetwork):
            network.end(self)
            self.stream.tell("network_unsubscribed", {"message": "No more of networks"})

    def counters(self) -> dict[str, int]:
        """This subscriber's ``events_received`` and ``lagged_total``."""
        stream = self.stream
        return {"events_received": stream.events_received, "lagged_total": stream.lagged_total}

    @_kept
    def send_metrics(self, metrics: bytes) -> None:
        """Tell how the server is doing, in a JSON object made for all who asked for it."""
        # A client too slow for its events is not given figures to fall behind with as well.
        if self.stream.flowing:
            self.stream.tell_raw("metrics", metrics)

    @property
    def keeps_up(self) -> bool:
        """Whether what it is told now goes out at once."""
        return self.stream.flowing

    @_kept
    def send_network(self, figures: bytes) -> None:
        """Tell how networks fare, in a JSON object made for all who asked for it."""
        self.stream.tell_raw("network", figures)

    @_kept
    def alerts_changed(self, alerts: dict[str, Any]) -> None:
        """Tell the alerts that hold now, if that was asked for."""
        if self._wants_alerts:
            waits, self._alerts = self._alerts is not None, alerts
            if not waits:  # else the news are told in place of what was to be told
                self.stream.in_turn(self._tell_alerts)

    def _tell_alerts(self) -> None:
        alerts, self._alerts = self._alerts, None
        self.stream.tell("alert", alerts)

    @_kept
    def send_stats(self, stats: bytes) -> None:
        """Tell how the server, in a JSON object made for all, and this subscriber are doing."""
        if self.stream.flowing:
            mine, shown = encode(self.counters()), self.stream.shown_filter
            own = b',"websocket":%b,"current_filter":%b}}' % (mine[:-1], shown)
            self.stream.tell_raw("stats", stats[:-1] + own)

    @_kept
    def ping_if_quiet(self) -> None:
        """Ping the client if nothing has gone out to it since this was called before.

        A client that answers none is no worse for it: whether it is there shows in the bytes that
        it accepts (protocol, ``lagged``), and a ping is a few for it to accept.
        """
        if self._sender.sent == self._sent_before:
            self._ping()
        self._sent_before = self._sender.sent

    @_kept
    def finish(self) -> None:
        """Send what is in the ring so far, then close: the server shuts down."""
        self.stream.finish(self._say_goodbye)

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
        if self._context.metrics is not None:
            self._context.metrics.end(self)
        if self._context.network is not None:
            self._context.network.end(self)
        self.stream.leave()
        self._context.closed(self)
