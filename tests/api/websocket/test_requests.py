"""What is read out of a subscriber's messages, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import ujson
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from telemetry_twisted.api.websocket.budget import BUDGET_POINTS, POINTS_PER_SECOND, Budget
from telemetry_twisted.api.websocket.filters import (
    MOST_EVENT_TYPES,
    MOST_NODE_IDS,
    SUMMARY_BYTES,
    parse_filter,
    summary,
)
from telemetry_twisted.api.websocket.protocol import LARGEST_REQUEST
from telemetry_twisted.api.websocket.refusal import BadRequest
from telemetry_twisted.api.websocket.requests import (
    GetRecentEvents,
    Ping,
    Request,
    Subscribe,
    SubscribeAlerts,
    SubscribeMetrics,
    Unsubscribe,
    UnsubscribeAlerts,
    UnsubscribeMetrics,
    cost,
    parse_batch,
    parse_request,
)
from telemetry_twisted.hub.filter import ALL, Filter

A, B = "ab" * 32, "cd" * 32
GENESIS = "0x" + "e1" * 32


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
        ({"type": "All", "network": None}, ALL),
        ({"type": "All", "network": GENESIS}, Filter(network=GENESIS)),
        ({"type": "All", "network": "0x" + "E1" * 32}, Filter(network=GENESIS)),
        ({"type": "Nodes", "node_ids": ["*"], "network": GENESIS}, Filter(network=GENESIS)),
        (
            {"type": "Nodes", "node_ids": [A], "event_types": [11], "network": GENESIS},
            Filter(frozenset({A}), frozenset({11}), GENESIS),
        ),
        (
            {"type": "EventType", "event_type": 11, "network": GENESIS},
            Filter(types=frozenset({11}), network=GENESIS),
        ),
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


@pytest.mark.parametrize("network", ["", "e1" * 32, "0x" + "e1" * 31, "0x" + "g1" * 32, 7, ["*"]])
def test_what_is_no_genesis_hash_is_refused(network: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_filter({"type": "All", "network": network})
    assert caught.value.message == (
        f"network is {ujson.dumps(network)}; expected the genesis hash of one, 0x and 64 hex "
        "digits, or none for all"
    )


def test_an_error_shows_the_beginning_of_what_was_wrong() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_filter({"type": "Nodes", "node_ids": ["é" * 100_000]})
    assert '"ééé' in caught.value.message
    assert len(caught.value.message) < 1_000


MANY = [f"{number:064x}" for number in range(MOST_NODE_IDS + 1)]


def test_a_filter_names_1024_nodes_at_most() -> None:
    most: dict[str, Any] = {"type": "Nodes", "node_ids": [f"0x{node}" for node in MANY[1:]]}
    payload = ujson.dumps({"type": "Subscribe", "filter": {**most, "event_types": [*range(256)]}})
    assert len(payload) < LARGEST_REQUEST
    request = parse_request(payload.encode())
    assert isinstance(request, Subscribe)
    assert request.filter.node_ids == frozenset(MANY[1:])
    with pytest.raises(BadRequest, match="1025 node IDs; expected 1024 at most"):
        parse_filter({"type": "Nodes", "node_ids": MANY})


def test_a_filter_names_256_event_types_at_most() -> None:
    assert parse_filter({"type": "All", "event_types": [11] * MOST_EVENT_TYPES}).types == frozenset(
        {11}
    )
    with pytest.raises(BadRequest, match="257 event types; expected 256 at most"):
        parse_filter({"type": "All", "event_types": [11] * (MOST_EVENT_TYPES + 1)})


@pytest.mark.parametrize(
    ("filter", "shown"),
    [
        ({"type": "All"}, None),
        ({"type": "Nodes", "node_ids": MANY[:10], "note": "mine"}, None),
        ({"type": "Nodes", "node_ids": MANY[1:]}, {"type": "Nodes", "node_id_count": 1024}),
        (
            {"type": "Nodes", "node_ids": MANY[1:], "event_types": [1, 2]},
            {"type": "Nodes", "node_id_count": 1024, "event_type_count": 2},
        ),
        ({"type": "All", "note": "x" * 100_000}, {"type": "All"}),
        (
            {"type": "Nodes", "node_ids": MANY[1:], "network": GENESIS},
            {"type": "Nodes", "node_id_count": 1024, "network": GENESIS},
        ),
        (
            {"type": "EventType", "event_type": 7, "node_ids": MANY, "event_types": [7] * 256},
            {"type": "EventType", "event_type": 7, "event_type_count": 256},
        ),
        (
            {"type": "EventTypeRange", "start": 7, "end": 9, "event_type": 10**900, "x": "y" * 999},
            {"type": "EventTypeRange", "start": 7, "end": 9},
        ),
        ({"type": "Nodes", "node_ids": ["*", *MANY]}, {"type": "Nodes", "node_id_count": 1026}),
    ],
)
def test_a_filter_is_summed_up_in_a_kibibyte(
    filter: dict[str, Any], shown: dict[str, Any] | None
) -> None:
    parse_filter(filter)
    text = summary(filter)
    assert len(text) <= SUMMARY_BYTES
    assert ujson.loads(text) == (filter if shown is None else shown)


@pytest.mark.parametrize(("given", "batch"), [([], 100), (["1"], 1), (["100"], 100), (["007"], 7)])
def test_a_batch_is_read(given: list[str], batch: int) -> None:
    assert parse_batch(given, 100) == batch


@pytest.mark.parametrize("given", [["0"], ["101"], ["-1"], ["1.0"], [""], ["\u0661"], ["9" * 5000]])
def test_a_batch_that_cannot_be_is_refused(given: list[str]) -> None:
    with pytest.raises(BadRequest, match="1 to 100"):
        parse_batch(given, 100)


def test_what_costs_is_paid_for_by_its_size() -> None:
    assert cost(GetRecentEvents(0)) == cost(GetRecentEvents(999)) == 1
    assert cost(GetRecentEvents(10_000)) == 11
    assert cost(Subscribe(ALL, {})) == cost(Subscribe(Filter(types=frozenset({1})), {})) == 1
    assert cost(Subscribe(Filter(frozenset(MANY[1:])), {})) == 9
    assert cost(Ping()) == cost(UnsubscribeMetrics()) == 0


def test_a_budget_is_spent_and_comes_back() -> None:
    clock = Clock()
    budget = Budget(clock)
    budget.pay(BUDGET_POINTS, "Subscribe")
    with pytest.raises(BadRequest, match=r"costs 1 of .* 20 points, .* in 0\.1 s"):
        budget.pay(1, "Subscribe")
    clock.advance(0.5)
    with pytest.raises(BadRequest, match=r"in 0\.5 s") as caught:
        budget.pay(POINTS_PER_SECOND, "Subscribe")
    assert caught.value.request == "Subscribe"
    budget.pay(POINTS_PER_SECOND // 2, "Subscribe")
    clock.advance(1000)
    budget.pay(BUDGET_POINTS, "Subscribe")
    with pytest.raises(BadRequest):
        budget.pay(1, "Subscribe")


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
        ["node_id", "node_ids", "event_type", "start", "end", "event_types", "network"],
        json_values,
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
