"""Every message that a subscriber may send, and what it gets for it (protocol, part 2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, Server, Subscriber


def test_subscribe_replaces_the_filter(
    subscriber: Subscriber, node: Node, server: Server, node_ids: list[str]
) -> None:
    other = server.connect_node(node_ids[0])
    reply = subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    assert reply["data"] == {
        "filter": {"type": "Nodes", "node_ids": [node.node_id]},
        "message": "Subscription updated",
    }
    node.report_best([1])
    assert subscriber.receive_events(1)[0]["data"]["node_id"] == node.node_id
    subscriber.subscribe(type="Nodes", node_ids=[other.node_id])
    node.report_best([2])
    other.report_best([3])
    assert subscriber.receive_events(1)[0]["data"]["node_id"] == other.node_id


def test_unsubscribe_goes_back_to_all_events(subscriber: Subscriber, node: Node) -> None:
    subscriber.subscribe(type="Nodes", node_ids=["00" * 32])
    assert subscriber.ask({"type": "Unsubscribe"})["type"] == "unsubscribed"
    node.report_best([1])
    assert subscriber.receive_events(1)[0]["data"]["node_id"] == node.node_id


def test_recent_events(subscriber: Subscriber, node: Node) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    node.report_best(range(5))
    events = subscriber.receive_events(5)
    reply = subscriber.ask({"type": "GetRecentEvents", "limit": 3})
    assert reply["type"] == "recent_events"
    assert reply["data"]["count"] == 3
    assert reply["data"]["events"] == [
        {**event["data"], "timestamp": event["timestamp"]} for event in events[2:]
    ]
    assert list(reply["data"]["events"][0]) == [
        *("id", "node_id", "event_id", "event_type", "timestamp", "event")
    ]
    assert subscriber.ask({"type": "GetRecentEvents", "limit": 0})["data"] == {
        "count": 0,
        "events": [],
    }


@pytest.mark.parametrize("limit", [{}, {"limit": None}, {"limit": 10_000}, {"limit": 10**12}])
def test_recent_events_are_ten_thousand_at_most(
    subscriber: Subscriber, node: Node, limit: dict[str, Any]
) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    node.report_best(range(10_050))
    subscriber.receive_events(10_050)
    reply = subscriber.ask({"type": "GetRecentEvents", **limit})
    events = reply["data"]["events"]
    assert reply["data"]["count"] == len(events) == 10_000
    slots = [event["event"]["BestBlockChanged"]["slot"] for event in events]
    assert slots == list(range(50, 10_050))


def test_ping_tells_this_subscribers_counters(
    subscriber: Subscriber, server: Server, node: Node
) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    before = subscriber.ask({"type": "Ping"})
    assert before["type"] == "pong"
    assert set(before["data"]) == {"events_received", "lagged_total", "uptime_ms"}
    node.report_best(range(250))
    subscriber.receive_events(250)
    after = subscriber.ask({"type": "Ping"})["data"]
    assert after["events_received"] - before["data"]["events_received"] == 250
    assert after["events_received"] == len(subscriber.events)
    assert after["lagged_total"] == 0
    assert after["uptime_ms"] >= before["data"]["uptime_ms"] >= 0
    with server.subscriber() as other:
        assert other.ask({"type": "Ping"})["data"]["events_received"] == len(other.events)


@pytest.mark.parametrize(
    "request_type",
    [
        "SubscribeMetrics",
        "UnsubscribeMetrics",
        "SubscribeAlerts",
        "UnsubscribeAlerts",
        "SubscribeNetwork",
        "UnsubscribeNetwork",
    ],
)
def test_without_history_there_are_no_metrics_and_alerts(
    subscriber: Subscriber, request_type: str
) -> None:
    reply = subscriber.ask({"type": request_type})
    assert reply["type"] == "error"
    assert reply["data"]["request"] == request_type
    assert "--no-database" in reply["data"]["message"]


NODES = {"type": "Nodes", "node_ids": ["ab" * 32]}


@pytest.mark.parametrize(
    ("request_text", "request_type", "words"),
    [
        ("", None, ["not JSON"]),
        ("{", None, ["not JSON"]),
        ("hello", None, ["not JSON"]),
        ('{"type":"Ping"} {"type":"Ping"}', None, ["not JSON"]),
        ("17", None, ["JSON object"]),
        ("null", None, ["JSON object"]),
        ('[{"type":"Ping"}]', None, ["JSON object"]),
        ("{}", None, ["no type", "Subscribe", "GetRecentEvents", "Ping"]),
        ('{"type":7}', None, ["7", "Subscribe"]),
        ('{"type":null}', None, ["Subscribe"]),
        ('{"type":"ping"}', "ping", ['"ping"', "Ping"]),
        ('{"type":"Publish"}', "Publish", ['"Publish"', "Subscribe"]),
        ('{"type":"\\ud800"}', None, ["not JSON"]),
        ('{"type":"Ping","note":' + "[" * 3000 + "]" * 3000 + "}", None, ["not JSON"]),
        ('{"type":"GetRecentEvents","limit":-1}', "GetRecentEvents", ["-1", "10000"]),
        ('{"type":"GetRecentEvents","limit":1.5}', "GetRecentEvents", ["1.5", "10000"]),
        ('{"type":"GetRecentEvents","limit":"9"}', "GetRecentEvents", ['"9"', "10000"]),
        ('{"type":"GetRecentEvents","limit":true}', "GetRecentEvents", ["true", "10000"]),
        ('{"type":"SubscribeMetrics","interval_ms":"1"}', "SubscribeMetrics", ["interval_ms"]),
    ],
)
def test_what_is_malformed_gets_an_error_and_changes_nothing(
    subscriber: Subscriber,
    node: Node,
    request_text: str,
    request_type: str | None,
    words: list[str],
) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    reply = subscriber.ask(request_text)
    assert reply["type"] == "error"
    assert list(reply["data"]) == ["message", "request"]
    assert reply["data"]["request"] == request_type
    for word in words:
        assert word in reply["data"]["message"]
    node.report_best([1])
    assert subscriber.receive_events(1)[0]["data"]["node_id"] == node.node_id


def test_a_binary_message_gets_an_error(subscriber: Subscriber) -> None:
    reply = subscriber.ask(b'{"type":"Ping"}')
    assert reply["type"] == "error"
    assert "text" in reply["data"]["message"]
    assert subscriber.ask({"type": "Ping"})["type"] == "pong"


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        (None, ["filter", '"All"', '"Nodes"', '"EventType"', '"EventTypeRange"']),
        ("All", ["filter", '"All"', '"Nodes"', '"EventType"', '"EventTypeRange"']),
        ([], ['"All"', '"Nodes"']),
        ({}, ['"All"', '"Nodes"']),
        ({"type": "all"}, ['"all"', '"All"']),
        ({"type": ["All"]}, ['"All"']),
        ({"type": "Node", "node_id": "ab" * 32}, [json.dumps(NODES, separators=(",", ":"))]),
        ({"type": "Node"}, ['{"type":"Nodes","node_ids":[']),
        ({"type": "Nodes"}, ["node_ids", "null", '["*"]']),
        ({"type": "Nodes", "node_ids": []}, ["node_ids", "[]"]),
        ({"type": "Nodes", "node_ids": "*"}, ["node_ids", '["*"]']),
        ({"type": "Nodes", "node_ids": ["ab"]}, ['"ab"', "64 hex digits"]),
        ({"type": "Nodes", "node_ids": ["ab" * 32, "xy" * 32]}, ['"' + "xy" * 32 + '"']),
        ({"type": "Nodes", "node_ids": [7]}, ["7", "64 hex digits"]),
        ({"type": "EventType"}, ["event_type", "null", "0 to 255"]),
        ({"type": "EventType", "event_type": 256}, ["event_type", "256", "0 to 255"]),
        ({"type": "EventType", "event_type": -1}, ["event_type", "-1", "0 to 255"]),
        ({"type": "EventType", "event_type": "11"}, ["event_type", '"11"', "0 to 255"]),
        ({"type": "EventType", "event_type": True}, ["event_type", "true", "0 to 255"]),
        ({"type": "EventTypeRange", "start": 1}, ["end", "null", "0 to 255"]),
        ({"type": "EventTypeRange", "end": 1}, ["start", "null", "0 to 255"]),
        ({"type": "EventTypeRange", "start": 12, "end": 11}, ["12", "11"]),
        ({"type": "EventTypeRange", "start": 1.5, "end": 11}, ["start", "1.5"]),
        ({"type": "All", "event_types": 11}, ["event_types", "11", "[11]"]),
        ({"type": "All", "event_types": []}, ["event_types", "[11]"]),
        ({"type": "All", "event_types": [11, 300]}, ["event_types", "300", "0 to 255"]),
    ],
)
def test_a_wrong_filter_gets_an_error_and_changes_nothing(
    subscriber: Subscriber, node: Node, filter: Any, words: list[str]
) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    reply = subscriber.ask({"type": "Subscribe", "filter": filter})
    assert reply["type"] == "error"
    assert reply["data"]["request"] == "Subscribe"
    for word in words:
        assert word in reply["data"]["message"]
    node.report_best([1])
    assert subscriber.receive_events(1)[0]["data"]["node_id"] == node.node_id


@pytest.mark.parametrize(
    "filter",
    [
        '{"type":"All","note":"\\ud800"}',
        '{"type":"All","note":NaN}',
        '{"type":"All","note":1e999}',
        '{"type":"All","note":' + "[" * 1021 + "]" * 1021 + "}",
        "[" * 1000 + "]" * 1000,
    ],
    ids=["surrogate", "nan", "infinite", "deep", "deep and wrong"],
)
def test_what_cannot_be_shown_again_gets_an_error(subscriber: Subscriber, filter: str) -> None:
    reply = subscriber.ask(f'{{"type":"Subscribe","filter":{filter}}}')
    assert reply["type"] == "error"
    assert subscriber.ask({"type": "Ping"})["type"] == "pong"


def test_every_message_has_type_data_and_timestamp(subscriber: Subscriber, node: Node) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    node.report_best([1])
    event = subscriber.receive()
    messages = [
        subscriber.greeting,
        event,
        subscriber.ask({"type": "Ping"}),
        subscriber.ask({"type": "Unsubscribe"}),
        subscriber.ask({"type": "GetRecentEvents"}),
        subscriber.ask({"type": "nothing"}),
    ]
    for message in messages:
        assert list(message) == ["type", "data", "timestamp"]
        assert len(message["timestamp"]) == len("2026-11-24T07:42:00.123456Z")
        assert message["timestamp"].endswith("Z")
