"""What is read out of a subscriber's messages, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import ujson
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.api.websocket.requests import (
    BadRequest,
    GetRecentEvents,
    Ping,
    Request,
    Subscribe,
    SubscribeAlerts,
    SubscribeMetrics,
    Unsubscribe,
    UnsubscribeAlerts,
    UnsubscribeMetrics,
    parse_filter,
    parse_request,
)
from telemetry_twisted.hub.filter import ALL, Filter

A, B = "ab" * 32, "cd" * 32


@pytest.mark.parametrize(
    ("text", "request_read"),
    [
        ('{"type":"Unsubscribe"}', Unsubscribe()),
        ('{"type":"Ping","more":1}', Ping()),
        ('{"type":"GetRecentEvents"}', GetRecentEvents(10_000)),
        ('{"type":"GetRecentEvents","limit":null}', GetRecentEvents(10_000)),
        ('{"type":"GetRecentEvents","limit":0}', GetRecentEvents(0)),
        ('{"type":"GetRecentEvents","limit":10001}', GetRecentEvents(10_000)),
        ('{"type":"SubscribeMetrics"}', SubscribeMetrics(1_000)),
        ('{"type":"SubscribeMetrics","interval_ms":null}', SubscribeMetrics(1_000)),
        ('{"type":"SubscribeMetrics","interval_ms":499}', SubscribeMetrics(500)),
        ('{"type":"SubscribeMetrics","interval_ms":750}', SubscribeMetrics(750)),
        ('{"type":"SubscribeMetrics","interval_ms":10001}', SubscribeMetrics(10_000)),
        ('{"type":"SubscribeMetrics","interval_ms":-5}', SubscribeMetrics(500)),
        ('{"type":"UnsubscribeMetrics"}', UnsubscribeMetrics()),
        ('{"type":"SubscribeAlerts"}', SubscribeAlerts()),
        ('{"type":"UnsubscribeAlerts"}', UnsubscribeAlerts()),
        ('{"type":"Subscribe","filter":{"type":"All"}}', Subscribe(ALL, {"type": "All"})),
    ],
)
def test_a_request_is_read(text: str, request_read: Request) -> None:
    assert parse_request(text.encode()) == request_read


@pytest.mark.parametrize(
    ("filter", "filter_read"),
    [
        ({"type": "All"}, ALL),
        ({"type": "All", "event_types": None}, ALL),
        ({"type": "All", "event_types": [11, 12, 11]}, Filter(types=frozenset({11, 12}))),
        ({"type": "Nodes", "node_ids": ["*"]}, ALL),
        ({"type": "Nodes", "node_ids": [A, "*"]}, ALL),
        ({"type": "Nodes", "node_ids": [A, B, A]}, Filter(node_ids=frozenset({A, B}))),
        ({"type": "Nodes", "node_ids": ["0x" + A]}, Filter(node_ids=frozenset({A}))),
        ({"type": "Nodes", "node_ids": [A.upper()]}, Filter(node_ids=frozenset({A}))),
        (
            {"type": "Nodes", "node_ids": [A], "event_types": [0, 255]},
            Filter(frozenset({A}), frozenset({0, 255})),
        ),
        ({"type": "Nodes", "node_ids": ["*"], "event_types": [11]}, Filter(types=frozenset({11}))),
        ({"type": "EventType", "event_type": 0}, Filter(types=frozenset({0}))),
        (
            {"type": "EventType", "event_type": 11, "event_types": [11, 12]},
            Filter(types=frozenset({11})),
        ),
        ({"type": "EventType", "event_type": 11, "event_types": [12]}, Filter(types=frozenset())),
        ({"type": "EventTypeRange", "start": 9, "end": 9}, Filter(types=frozenset({9}))),
        (
            {"type": "EventTypeRange", "start": 120, "end": 131, "event_types": [131, 132]},
            Filter(types=frozenset({131})),
        ),
        ({"type": "EventTypeRange", "start": 0, "end": 255}, Filter(types=frozenset(range(256)))),
    ],
)
def test_a_filter_is_read(filter: dict[str, Any], filter_read: Filter) -> None:
    assert parse_filter(filter) == filter_read
    request = parse_request(ujson.dumps({"type": "Subscribe", "filter": filter}).encode())
    assert request == Subscribe(filter_read, filter)


def test_an_error_names_the_type_of_the_request() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_request(b'{"type":"Subscribe","filter":{"type":"Nodes","node_ids":[1]}}')
    assert caught.value.request == "Subscribe"
    with pytest.raises(BadRequest) as caught:
        parse_request(b'{"type":"Sub"}')
    assert caught.value.request == "Sub"
    with pytest.raises(BadRequest) as caught:
        parse_request(b'{"type":1}')
    assert caught.value.request is None


def test_an_error_shows_the_beginning_of_what_was_wrong() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_filter({"type": "Nodes", "node_ids": ["é" * 100_000]})
    assert '"ééé' in caught.value.message
    assert len(caught.value.message) < 1_000


def test_a_binary_message_is_refused() -> None:
    with pytest.raises(BadRequest, match="text message"):
        parse_request(b'{"type":"Ping"}', is_binary=True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
wild_filters = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["All", "Node", "Nodes", "EventType", "EventTypeRange"])
        | json_values
    },
    optional=dict.fromkeys(
        ["node_id", "node_ids", "event_type", "start", "end", "event_types"], json_values
    ),
)
wild_requests = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Subscribe", "GetRecentEvents", "SubscribeMetrics"]) | json_values,
    },
    optional={
        "filter": wild_filters | json_values,
        "limit": json_values,
        "interval_ms": json_values,
    },
)


@given(st.binary(max_size=50))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    with suppress(BadRequest):
        parse_request(payload)


@given(wild_requests)
def test_any_json_is_read_or_refused_and_can_be_shown(value: dict[str, Any]) -> None:
    """Whatever a client writes, the reply to it can be written."""
    try:
        request = parse_request(ujson.dumps(value, allow_nan=True).encode())
    except BadRequest as error:
        shown: Any = [error.message, error.request]
    else:
        shown = request.given if isinstance(request, Subscribe) else None
    ujson.dumps(shown, ensure_ascii=False, allow_nan=False).encode()
