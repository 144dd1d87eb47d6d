"""What a subscriber may ask for (protocol, "Client → server" and "Filters")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ujson
from attrs import frozen

from telemetry_twisted.hub.filter import ALL, Filter

MOST_RECENT_EVENTS = 10_000
"""Most events in a ``recent_events`` message."""

METRICS_INTERVAL_MS = 1_000
"""How often ``metrics`` come unless asked otherwise; held to the two bounds below."""

SHORTEST_INTERVAL_MS, LONGEST_INTERVAL_MS = 500, 10_000

_SHOWN_LENGTH = 200
_NODE_ID = re.compile(r"(?:0x)?([0-9a-f]{64})", re.IGNORECASE)


class BadRequest(Exception):
    """What is wrong with a request, and what is accepted; ``request`` is its type if it had one."""

    def __init__(self, message: str, request: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.request = request


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


Request = (
    Subscribe
    | Unsubscribe
    | GetRecentEvents
    | Ping
    | SubscribeMetrics
    | UnsubscribeMetrics
    | SubscribeAlerts
    | UnsubscribeAlerts
)


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
            f"batch is {_shown(', '.join(given))}; expected the events in a frame at most, "
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
        given = "no type" if kind is None else f"unknown type {_shown(kind)}"
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


def _shown(value: Any) -> str:
    """The beginning of ``value`` as the client wrote it."""
    text = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _subscribe(value: dict[str, Any]) -> Request:
    given: Any = value.get("filter")
    return Subscribe(parse_filter(given), given)


def _recent(value: dict[str, Any]) -> Request:
    limit = value.get("limit")
    if limit is None:
        limit = MOST_RECENT_EVENTS
    if not _is_int(limit) or limit < 0:
        raise BadRequest(f"limit is {_shown(limit)}; expected 0 to {MOST_RECENT_EVENTS}, or none")
    return GetRecentEvents(min(limit, MOST_RECENT_EVENTS))


def _metrics(value: dict[str, Any]) -> Request:
    interval = value.get("interval_ms")
    if interval is None:
        interval = METRICS_INTERVAL_MS
    if not _is_int(interval):
        raise BadRequest(f"interval_ms is {_shown(interval)}; expected milliseconds, or none")
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
}

_FILTERS_ACCEPTED = (
    '{"type":"All"}, {"type":"Nodes","node_ids":["…"]} (["*"] for every node), '
    '{"type":"EventType","event_type":11}, {"type":"EventTypeRange","start":120,"end":131}, '
    'each with "event_types":[…] if wanted'
)


def parse_filter(value: Any) -> Filter:
    """The filter that JSON ``value`` describes.

    :raises BadRequest: if it describes none.
    """
    if not isinstance(value, dict):
        raise BadRequest(f"filter is {_shown(value)}; expected one of {_FILTERS_ACCEPTED}")
    kind = value.get("type")
    node_ids: frozenset[str] | None = None
    types: frozenset[int] | None = None
    if kind == "Nodes":
        node_ids = _node_ids(value.get("node_ids"))
    elif kind == "EventType":
        types = frozenset({_event_type("event_type", value.get("event_type"))})
    elif kind == "EventTypeRange":
        start = _event_type("start", value.get("start"))
        end = _event_type("end", value.get("end"))
        if start > end:
            raise BadRequest(f"start {start} is after end {end}; expected start ≤ end")
        types = frozenset(range(start, end + 1))
    elif kind == "Node":
        example = _shown({"type": "Nodes", "node_ids": [value.get("node_id", "…")]})
        raise BadRequest(f"filter type Node is no longer accepted; use {example}")
    elif kind != "All":
        raise BadRequest(f"unknown filter type {_shown(kind)}; expected one of {_FILTERS_ACCEPTED}")
    if value.get("event_types") is not None:
        narrowed = _event_types(value["event_types"])
        types = narrowed if types is None else types & narrowed
    return Filter(node_ids, types) if node_ids is not None or types is not None else ALL


def _node_ids(value: Any) -> frozenset[str] | None:
    if not isinstance(value, list) or not value:
        raise BadRequest(f'node_ids is {_shown(value)}; expected a list of node IDs, or ["*"]')
    if "*" in value:
        return None
    found = set()
    for node_id in value:
        match = _NODE_ID.fullmatch(node_id) if isinstance(node_id, str) else None
        if match is None:
            raise BadRequest(
                f'node ID {_shown(node_id)}; expected 64 hex digits (an Ed25519 public key), or "*"'
            )
        found.add(match[1].lower())
    return frozenset(found)


def _event_types(value: Any) -> frozenset[int]:
    if not isinstance(value, list) or not value:
        raise BadRequest(
            f"event_types is {_shown(value)}; expected a list of event types, such as [11]"
        )
    return frozenset(_event_type("event_types", item) for item in value)


def _event_type(name: str, value: Any) -> int:
    if not _is_int(value) or not 0 <= value <= 255:
        raise BadRequest(f"{name} is {_shown(value)}; expected an event type, 0 to 255")
    return int(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
