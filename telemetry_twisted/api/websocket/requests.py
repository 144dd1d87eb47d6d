"""What a subscriber may ask for (protocol, "Client → server" and "Filters")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ujson
from attrs import frozen

from telemetry_twisted.hub.filter import Filter

from .filters import parse_filter
from .refusal import BadRequest, is_int, shown

MOST_RECENT_EVENTS = 10_000
"""Most events in a ``recent_events`` message."""

METRICS_INTERVAL_MS = 1_000
"""How often ``metrics`` come unless asked otherwise; held to the two bounds below."""

SHORTEST_INTERVAL_MS, LONGEST_INTERVAL_MS = 500, 10_000


@frozen
class Subscribe:
    """Replace the filter; ``given`` is the filter as the subscriber wrote it."""

    filter: Filter
    given: dict[str, Any]


@frozen
class Unsubscribe:
    """Back to all events."""


@frozen
class GetRecentEvents:
    """The newest events, at most ``limit``."""

    limit: int


@frozen
class Ping:
    """This subscriber's own counters."""


@frozen
class SubscribeMetrics:
    """``metrics`` every ``interval_ms`` milliseconds."""

    interval_ms: int


@frozen
class UnsubscribeMetrics:
    """No more ``metrics``."""


@frozen
class SubscribeAlerts:
    """``alert`` when the set of alerts changes."""


@frozen
class UnsubscribeAlerts:
    """No more ``alert``."""


@frozen
class SubscribeNetwork:
    """``network``: all of it, then every second what has changed."""


@frozen
class UnsubscribeNetwork:
    """No more ``network``."""


Request = (
    Subscribe
    | Unsubscribe
    | GetRecentEvents
    | Ping
    | SubscribeMetrics
    | UnsubscribeMetrics
    | SubscribeAlerts
    | UnsubscribeAlerts
    | SubscribeNetwork
    | UnsubscribeNetwork
)


EVENTS_A_POINT = 1000
"""How many events are asked for at the price of one point (:class:`~.budget.Budget`)."""

NODE_IDS_A_POINT = 128
"""How many node IDs in a filter have the price of one point."""


_COST_ONE = (Unsubscribe, SubscribeMetrics, SubscribeAlerts, SubscribeNetwork)


def cost(request: Request) -> int:
    """What ``request`` costs, in points of a :class:`~.budget.Budget`."""
    if isinstance(request, GetRecentEvents):
        return 1 + request.limit // EVENTS_A_POINT
    if isinstance(request, Subscribe):
        return 1 + len(request.filter.node_ids or ()) // NODE_IDS_A_POINT
    return 1 if isinstance(request, _COST_ONE) else 0


def parse_batch(given: Sequence[str], most: int) -> int:
    """How many events a client wants in a frame at most, 1 to ``most``.

    :param given: the values of ``batch`` in the query of its handshake.
    :raises BadRequest: if it asks for something else.
    """
    if not given:
        return most
    (text, *more) = given
    if more or re.fullmatch("[0-9]{1,9}", text) is None or not 1 <= int(text) <= most:
        raise BadRequest(
            f"batch is {shown(', '.join(given))}; expected the events in a frame at most, "
            f"1 to {most} (--ws-batch)"
        )
    return int(text)


def parse_request(payload: bytes, is_binary: bool = False) -> Request:
    """The request in a WebSocket message.

    :raises BadRequest: if it is not one.
    """
    if is_binary:
        raise BadRequest("binary message; expected a text message that holds one JSON object")
    value = _value(payload)
    if not isinstance(value, dict):
        raise BadRequest('expected one JSON object with a type, such as {"type":"Ping"}')
    kind = value.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        given = "no type" if kind is None else f"unknown type {shown(kind)}"
        raise BadRequest(
            f"{given}; expected one of {', '.join(_READERS)}",
            kind if isinstance(kind, str) else None,
        )
    try:
        return reader(value)
    except BadRequest as error:
        raise BadRequest(error.message, kind) from None


def _value(payload: bytes) -> Any:
    """What ``payload`` holds, if it can be shown again: JSON, and not nested without end.

    A filter comes back in ``subscribed`` and in ``stats``, up to three levels deeper than it came.
    """
    try:
        value = ujson.loads(payload)
        ujson.dumps([[[value]]], ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"not JSON ({error}); expected one JSON object with a type") from error
    return value


def _subscribe(value: dict[str, Any]) -> Request:
    given: Any = value.get("filter")
    return Subscribe(parse_filter(given), given)


def _recent(value: dict[str, Any]) -> Request:
    limit = value.get("limit")
    if limit is None:
        limit = MOST_RECENT_EVENTS
    if not is_int(limit) or limit < 0:
        raise BadRequest(f"limit is {shown(limit)}; expected 0 to {MOST_RECENT_EVENTS}, or none")
    return GetRecentEvents(min(limit, MOST_RECENT_EVENTS))


def _metrics(value: dict[str, Any]) -> Request:
    interval = value.get("interval_ms")
    if interval is None:
        interval = METRICS_INTERVAL_MS
    if not is_int(interval):
        raise BadRequest(f"interval_ms is {shown(interval)}; expected milliseconds, or none")
    return SubscribeMetrics(max(SHORTEST_INTERVAL_MS, min(interval, LONGEST_INTERVAL_MS)))


_READERS: Mapping[str, Callable[[dict[str, Any]], Request]] = {
    "Subscribe": _subscribe,
    "Unsubscribe": lambda _: Unsubscribe(),
    "GetRecentEvents": _recent,
    "Ping": lambda _: Ping(),
    "SubscribeMetrics": _metrics,
    "UnsubscribeMetrics": lambda _: UnsubscribeMetrics(),
    "SubscribeAlerts": lambda _: SubscribeAlerts(),
    "UnsubscribeAlerts": lambda _: UnsubscribeAlerts(),
    "SubscribeNetwork": lambda _: SubscribeNetwork(),
    "UnsubscribeNetwork": lambda _: UnsubscribeNetwork(),
}
