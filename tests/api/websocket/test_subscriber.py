"""A subscriber: what it is sent and when, whatever its pace."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import ujson
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry_twisted.api.websocket.outlet import Outlet

if TYPE_CHECKING:
    from telemetry_twisted.api.websocket.subscriber import Subscriber
    from tests.api.websocket.conftest import FakeGauges, Message, Stage

NODES = ("aa" * 32, "bb" * 32)


def ids_in(messages: list[Message]) -> list[int]:
    """The ids of the events in messages, in order."""
    ids = []
    for message in messages:
        if message["type"] == "event":
            ids.append(message["data"]["id"])
        elif message["type"] == "batch":
            ids += [event["data"]["id"] for event in message["data"]]
    return ids


def types_of(messages: list[Message]) -> list[str]:
    return [message["type"] for message in messages]


def ask(subscriber: Subscriber, kind: str, **more: Any) -> None:
    subscriber.asked(ujson.dumps({"type": kind, **more}).encode(), False)


def test_it_is_greeted_with_samples_and_streams_from_then_on(stage: Stage) -> None:
    stage.publish(250)
    _, wire = stage.enter()
    (greeting,) = wire.messages()
    assert greeting["type"] == "connected"
    assert greeting["data"]["recent_events"] == 250
    samples = greeting["data"]["recent_event_samples"]
    assert [sample["id"] for sample in samples] == list(range(50, 250))
    assert samples[0] == {
        "id": 50,
        "node_id": NODES[0],
        "event_type": 11,
        "timestamp": "2026-11-24T07:42:00.123456Z",
    }
    stage.publish(1)
    stage.publish(2)
    stage.publish(100)
    messages = wire.messages()
    assert types_of(messages) == ["event", "batch", "batch"]
    assert ids_in(messages) == list(range(250, 353))


def test_it_takes_the_place_of_the_http_channel_that_served_the_upgrade(stage: Stage) -> None:
    _, wire = stage.enter()
    assert isinstance(wire.producer, Outlet)


def test_a_full_transport_pauses_it_and_it_goes_on_where_it_was(stage: Stage) -> None:
    _, wire = stage.enter()
    stage.publish(1)
    wire.messages()
    wire.fill()
    assert wire.producerState == "paused"
    stage.publish(150)
    stage.publish(150)
    assert wire.messages() == []
    wire.drain()
    assert wire.producerState == "producing"
    messages = wire.messages()
    assert ids_in(messages) == list(range(1, 301))
    assert [len(message["data"]) for message in messages] == [100, 50, 100, 50]


def test_what_left_the_ring_meanwhile_is_told(small_stage: Stage) -> None:
    subscriber, wire = small_stage.enter()
    small_stage.publish(10)
    wire.fill()
    wire.messages()
    for _ in range(30):
        small_stage.publish(10)
    wire.drain()
    lagged, *rest = wire.messages()
    assert lagged["type"] == "lagged"
    assert lagged["data"] == {"skipped": 200, "lagged_total": 200}
    assert ids_in(rest) == list(range(210, 310))
    wire.fill()
    for _ in range(12):
        small_stage.publish(10)
    wire.drain()
    lagged, *rest = wire.messages()
    assert lagged["data"] == {"skipped": 20, "lagged_total": 220}
    assert ids_in(rest) == list(range(330, 430))
    assert subscriber.counters() == {"events_received": 210, "lagged_total": 220}
    assert small_stage.events_missed == 220


def test_only_events_that_match_its_filter_are_missed(small_stage: Stage) -> None:
    subscriber, wire = small_stage.enter()
    ask(subscriber, "Subscribe", filter={"type": "EventType", "event_type": 12})
    wire.fill()
    for _ in range(20):
        small_stage.publish(9, kind=11)
        small_stage.publish(1, kind=12)
    wire.messages()
    wire.drain()
    lagged, *rest = wire.messages()
    assert lagged["data"]["skipped"] == 10
    assert len(ids_in(rest)) == 10


def test_it_may_be_filled_again_by_the_first_frame(small_stage: Stage) -> None:
    subscriber, wire = small_stage.enter()
    wire.messages()
    wire.fill()
    small_stage.publish(30)
    write = wire.writeSequence

    def write_and_fill(pieces: list[bytes]) -> None:
        write(pieces)
        wire.fill()

    wire.writeSequence = write_and_fill  # type: ignore[method-assign]
    for end in (10, 20, 30):
        wire.drain()
        assert ids_in(wire.messages()) == list(range(end - 10, end))
    wire.drain()
    assert wire.messages() == []
    assert subscriber.events_received == 30


def test_questions_are_answered_in_their_turn(stage: Stage) -> None:
    """A reply stands between the events before it and after it, also when it had to wait."""
    subscriber, wire = stage.enter()
    wire.messages()
    wire.fill()
    stage.publish(5)
    ask(subscriber, "Ping")
    stage.publish(5)
    ask(subscriber, "Nonsense")
    ask(subscriber, "GetRecentEvents", limit=3)
    stage.publish(1)
    assert wire.messages() == []
    wire.drain()
    messages = wire.messages()
    assert types_of(messages) == ["batch", "pong", "batch", "error", "recent_events", "event"]
    assert messages[1]["data"]["events_received"] == 5
    assert ids_in(messages) == list(range(11))


def test_a_question_among_events_that_were_missed_is_answered_among_them(
    small_stage: Stage,
) -> None:
    subscriber, wire = small_stage.enter()
    wire.messages()
    wire.fill()
    small_stage.publish(50)
    ask(subscriber, "Ping")
    for _ in range(10):
        small_stage.publish(50)
    wire.drain()
    messages = wire.messages()
    assert types_of(messages)[:3] == ["lagged", "pong", "lagged"]
    assert messages[0]["data"] == {"skipped": 50, "lagged_total": 50}
    assert messages[1]["data"]["lagged_total"] == 50
    assert messages[2]["data"] == {"skipped": 400, "lagged_total": 450}
    assert ids_in(messages) == list(range(450, 550))


def test_a_subscription_while_behind_loses_and_repeats_nothing(stage: Stage) -> None:
    subscriber, wire = stage.enter()
    wire.messages()
    wire.fill()
    stage.publish(3, node=0)
    ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": [NODES[1]]})
    stage.publish(3, node=0)
    stage.publish(3, node=1)
    ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": [NODES[0]]})
    ask(subscriber, "Ping")
    stage.publish(3, node=0)
    stage.publish(3, node=1)
    ask(subscriber, "Unsubscribe")
    stage.publish(3, node=1)
    wire.drain()
    messages = wire.messages()
    assert types_of(messages) == [
        *("batch", "subscribed", "batch", "subscribed", "pong"),
        *("batch", "unsubscribed", "batch"),
    ]
    assert ids_in(messages) == [0, 1, 2, 6, 7, 8, 9, 10, 11, 15, 16, 17]
    assert messages[1]["data"]["filter"] == {"type": "Nodes", "node_ids": [NODES[1]]}


def test_a_subscription_while_far_behind_counts_what_was_missed_of_each(
    small_stage: Stage,
) -> None:
    subscriber, wire = small_stage.enter()
    wire.messages()
    wire.fill()
    small_stage.publish(50)
    ask(subscriber, "Subscribe", filter={"type": "EventType", "event_type": 12})
    for _ in range(10):
        small_stage.publish(25, kind=11)
        small_stage.publish(25, kind=12)
    wire.drain()
    messages = wire.messages()
    assert types_of(messages)[:3] == ["lagged", "subscribed", "lagged"]
    assert messages[0]["data"]["skipped"] == 50
    assert messages[2]["data"]["skipped"] == 200
    assert len(ids_in(messages)) == 50


FILTERS: list[dict[str, Any]] = [
    {"type": "All"},
    {"type": "Nodes", "node_ids": [NODES[0]]},
    {"type": "Nodes", "node_ids": [NODES[1]], "event_types": [11]},
    {"type": "EventType", "event_type": 12},
]


def matches(filter: dict[str, Any], node: int, kind: int) -> bool:
    return (
        NODES[node] in filter.get("node_ids", NODES)
        and kind in filter.get("event_types", [kind])
        and kind == filter.get("event_type", kind)
    )


publications = st.tuples(
    st.just("publish"), st.integers(1, 15), st.integers(0, 1), st.integers(11, 12)
)


@settings(max_examples=200)
@given(
    st.lists(
        publications
        | publications
        | st.tuples(st.sampled_from(["fill", "fill", "ping", "drain"]))
        | st.tuples(st.just("subscribe"), st.sampled_from(FILTERS)),
        min_size=10,
        max_size=40,
    )
)
def test_between_two_subscriptions_everything_that_matches_is_sent_or_told_as_missed(
    make_stage: Callable[..., Stage], steps: list[tuple[Any, ...]]
) -> None:
    stage = make_stage(max_events=20, batch=5)
    subscriber, wire = stage.enter()
    filter = FILTERS[0]
    matching: list[list[int]] = [[]]
    for step, *values in steps:
        if step == "publish":
            count, node, kind = values
            if matches(filter, node, kind):
                matching[-1] += range(stage.published, stage.published + count)
            stage.publish(count, node, kind)
        elif step == "subscribe":
            (filter,) = values
            matching.append([])
            ask(subscriber, "Subscribe", filter=filter)
        elif step == "ping":
            ask(subscriber, "Ping")
        elif step == "fill":
            wire.fill()
        else:
            wire.drain()
    wire.drain()
    received: list[list[int]] = [[]]
    skipped = [0]
    for message in wire.messages():
        if message["type"] == "subscribed":
            received.append([])
            skipped.append(0)
        elif message["type"] == "lagged":
            skipped[-1] += message["data"]["skipped"]
        elif message["type"] == "pong":
            assert message["data"] == {
                "events_received": sum(map(len, received)),
                "lagged_total": sum(skipped),
                "uptime_ms": 0,
            }
        received[-1] += ids_in([message])
    assert [len(ids) + missed for ids, missed in zip(received, skipped, strict=True)] == [
        len(ids) for ids in matching
    ]
    for ids, expected in zip(received, matching, strict=True):
        assert ids == sorted(set(ids))
        assert set(ids) <= set(expected)


def test_channels_end_with_their_subscriber(stage: Stage) -> None:
    subscriber, wire = stage.enter()
    ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": list(NODES)})
    assert stage.ring.node_channels == 2
    wire.fill()
    stage.publish(1)
    ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": [NODES[0]]})
    assert stage.ring.node_channels == 2
    wire.messages()
    subscriber.gone()
    assert stage.ring.node_channels == 0
    assert stage.gone == [subscriber]
    assert wire.producer is None
    stage.publish(5)
    stage.time.advance(3600)
    assert wire.messages() == []


def test_it_finishes_when_all_is_sent(stage: Stage) -> None:
    subscriber, wire = stage.enter()
    wire.messages()
    wire.fill()
    stage.publish(150)
    subscriber.finish()
    assert stage.goodbyes == []
    wire.drain()
    assert ids_in(wire.messages()) == list(range(150))
    assert stage.goodbyes == [(1001, b"the server shuts down")]
    stage.publish(1)
    assert wire.messages() == []


def test_it_finishes_at_once_when_there_is_nothing_to_send(stage: Stage) -> None:
    subscriber, wire = stage.enter()
    subscriber.finish()
    assert [code for code, _ in stage.goodbyes] == [1001]
    assert wire.producer is None


def test_without_history_there_are_no_metrics_and_alerts(stage: Stage) -> None:
    subscriber, wire = stage.enter()
    wire.messages()
    ask(subscriber, "SubscribeMetrics")
    ask(subscriber, "SubscribeAlerts")
    messages = wire.messages()
    assert types_of(messages) == ["error", "error"]
    assert [message["data"]["request"] for message in messages] == [
        "SubscribeMetrics",
        "SubscribeAlerts",
    ]
    stage.time.pump([1] * 20)
    assert wire.messages() == []


@pytest.fixture
def rich_stage(stage: Stage, gauges: FakeGauges) -> Stage:
    stage.gauges = gauges
    return stage


def test_metrics_come_at_their_interval_until_they_are_not_wanted(rich_stage: Stage) -> None:
    subscriber, wire = rich_stage.enter()
    wire.messages()
    ask(subscriber, "SubscribeMetrics", interval_ms=2000)
    first = wire.messages()
    assert first[0]["type"] == "metrics_subscribed"
    assert first[0]["data"]["interval_ms"] == 2000
    before = len(first)
    rich_stage.time.pump([0.5] * 40)
    metrics = [*first[1:], *wire.messages()]
    assert types_of(metrics) == ["metrics"] * (10 + before - 1)
    assert metrics[0]["data"] == {"nodes": 3}
    ask(subscriber, "SubscribeMetrics", interval_ms=500)
    wire.messages()
    rich_stage.time.pump([0.5] * 4)
    assert types_of(wire.messages()) == ["metrics"] * 4
    wire.fill()
    rich_stage.time.pump([0.5] * 4)
    wire.drain()
    assert types_of(wire.messages()) == []
    ask(subscriber, "UnsubscribeMetrics")
    assert types_of(wire.messages()) == ["metrics_unsubscribed"]
    rich_stage.time.pump([0.5] * 10)
    assert wire.messages() == []
    ask(subscriber, "SubscribeMetrics")
    subscriber.gone()
    assert rich_stage.time.getDelayedCalls() == []


def test_alerts_are_told_to_those_who_asked(rich_stage: Stage) -> None:
    subscriber, wire = rich_stage.enter()
    wire.messages()
    subscriber.alerts_changed({"alerts": [], "count": 0})
    assert wire.messages() == []
    ask(subscriber, "SubscribeAlerts")
    assert types_of(wire.messages()) == ["alerts_subscribed", "alert"]
    subscriber.alerts_changed({"alerts": ["x"], "count": 1})
    assert [message["data"] for message in wire.messages()] == [{"alerts": ["x"], "count": 1}]
    ask(subscriber, "UnsubscribeAlerts")
    subscriber.alerts_changed({"alerts": [], "count": 0})
    assert types_of(wire.messages()) == ["alerts_unsubscribed"]


def test_stats_show_its_own_counters_and_filter(rich_stage: Stage) -> None:
    subscriber, wire = rich_stage.enter()
    ask(subscriber, "Subscribe", filter={"type": "EventType", "event_type": 11})
    rich_stage.publish(3)
    wire.messages()
    assert rich_stage.gauges is not None
    subscriber.send_stats(json.dumps(rich_stage.gauges.stats()).encode())
    (stats,) = wire.messages()
    assert stats["type"] == "stats"
    assert stats["data"]["websocket"] == {
        "events_received": 3,
        "lagged_total": 0,
        "current_filter": {"type": "EventType", "event_type": 11},
    }
    wire.fill()
    subscriber.send_stats(b"{}")
    assert wire.messages() == []


def test_it_is_aborted_at_once(stage: Stage) -> None:
    subscriber, wire = stage.enter()
    subscriber.abort()
    assert wire.aborted
