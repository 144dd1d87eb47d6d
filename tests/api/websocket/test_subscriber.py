"""A subscriber: what it is sent and when, whatever its pace."""

from __future__ import annotations

import itertools
import json
from functools import partial
from typing import Any

import ujson
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel

from telemetry_twisted.api.websocket.recent import RecentEvents
from telemetry_twisted.api.websocket.subscriber import Subscriber
from telemetry_twisted.hub.filter import ALL
from telemetry_twisted.testing import MemoryTransport, StreamTransport
from tests.api.websocket.stage import NETWORKS, NODES, Message, Stage, messages_in
from tests.examples import examples


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


class StreamTests(SynchronousTestCase):
    """A ring of a thousand events, and a hundred to a frame."""

    def setUp(self) -> None:
        self.stage = Stage()

    def test_it_is_greeted_with_samples_and_streams_from_then_on(self) -> None:
        self.stage.publish(250)
        _, wire = self.stage.enter()
        (greeting,) = messages_in(wire)
        self.assertEqual(greeting["type"], "connected")
        self.assertEqual(greeting["data"]["recent_events"], 250)
        samples = greeting["data"]["recent_event_samples"]
        self.assertEqual([sample["id"] for sample in samples], list(range(50, 250)))
        self.assertEqual(
            samples[0],
            {
                "id": 50,
                "node_id": NODES[0],
                "event_type": 11,
                "timestamp": "2026-11-24T07:42:00.123456Z",
            },
        )
        self.stage.publish(1)
        self.stage.publish(2)
        self.stage.publish(100)
        messages = messages_in(wire)
        self.assertEqual(types_of(messages), ["event", "batch", "batch"])
        self.assertEqual(ids_in(messages), list(range(250, 353)))

    def test_it_takes_the_place_of_the_http_channel_that_served_the_upgrade(self) -> None:
        _, wire = self.stage.enter()
        self.assertNotIsInstance(wire.producer, HTTPChannel)

    def test_a_client_that_takes_nothing_goes_on_where_it_was(self) -> None:
        _, wire = self.stage.enter()
        self.stage.publish(1)
        wire.frames()
        wire.fill()
        self.stage.publish(150)
        self.stage.publish(150)
        self.assertEqual(messages_in(wire), [])
        wire.drain()
        messages = messages_in(wire)
        self.assertEqual(ids_in(messages), list(range(1, 301)))
        self.assertEqual([len(message["data"]) for message in messages], [100, 50, 100, 50])

    def test_questions_are_answered_in_their_turn(self) -> None:
        """A reply stands between the events before and after it, also when it had to wait."""
        subscriber, wire = self.stage.enter()
        wire.frames()
        wire.fill()
        self.stage.publish(5)
        ask(subscriber, "Ping")
        self.stage.publish(5)
        ask(subscriber, "Nonsense")
        ask(subscriber, "GetRecentEvents", limit=3)
        self.stage.publish(1)
        self.assertEqual(messages_in(wire), [])
        wire.drain()
        messages = messages_in(wire)
        self.assertEqual(
            types_of(messages), ["batch", "pong", "batch", "error", "recent_events", "event"]
        )
        self.assertEqual(messages[1]["data"]["events_received"], 5)
        self.assertEqual(ids_in(messages), list(range(11)))

    def test_a_subscription_while_behind_loses_and_repeats_nothing(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.frames()
        wire.fill()
        self.stage.publish(3, node=0)
        ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": [NODES[1]]})
        self.stage.publish(3, node=0)
        self.stage.publish(3, node=1)
        ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": [NODES[0]]})
        ask(subscriber, "Ping")
        self.stage.publish(3, node=0)
        self.stage.publish(3, node=1)
        ask(subscriber, "Unsubscribe")
        self.stage.publish(3, node=1)
        wire.drain()
        messages = messages_in(wire)
        self.assertEqual(
            types_of(messages),
            [
                *("batch", "subscribed", "batch", "subscribed", "pong"),
                *("batch", "unsubscribed", "batch"),
            ],
        )
        self.assertEqual(ids_in(messages), [0, 1, 2, 6, 7, 8, 9, 10, 11, 15, 16, 17])
        self.assertEqual(messages[1]["data"]["filter"], {"type": "Nodes", "node_ids": [NODES[1]]})

    def test_channels_end_with_their_subscriber(self) -> None:
        subscriber, wire = self.stage.enter()
        ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": list(NODES)})
        self.assertEqual(self.stage.ring.node_channels, 2)
        wire.fill()
        self.stage.publish(1)
        ask(subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": [NODES[0]]})
        self.assertEqual(self.stage.ring.node_channels, 2)
        wire.frames()
        subscriber.gone()
        self.assertEqual(self.stage.ring.node_channels, 0)
        self.assertEqual(self.stage.gone, [subscriber])
        self.stage.publish(5)
        self.stage.time.advance(3600)
        self.assertEqual(messages_in(wire), [])

    def test_it_finishes_when_all_is_sent(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.frames()
        wire.fill()
        self.stage.publish(150)
        subscriber.finish()
        self.assertEqual(self.stage.goodbyes, [])
        wire.drain()
        self.assertEqual(ids_in(messages_in(wire)), list(range(150)))
        self.assertEqual(self.stage.goodbyes, [(1001, b"the server shuts down")])
        self.stage.publish(1)
        self.assertEqual(messages_in(wire), [])

    def test_it_finishes_at_once_when_there_is_nothing_to_send(self) -> None:
        subscriber, _ = self.stage.enter()
        subscriber.finish()
        self.assertEqual([code for code, _ in self.stage.goodbyes], [1001])

    def test_it_finishes_before_all_is_sent_when_there_is_no_more_time(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.fill()
        self.stage.publish(150)
        subscriber.finish()
        subscriber.hurry()
        self.assertEqual([code for code, _ in self.stage.goodbyes], [1001])

    def test_it_is_aborted_at_once(self) -> None:
        subscriber, wire = self.stage.enter()
        subscriber.abort()
        wire.pump()
        self.assertIsInstance(wire.ended, ConnectionAborted)


class LagTests(SynchronousTestCase):
    """A ring of a hundred events, and ten to a frame; one frame waits for a client that is full."""

    def setUp(self) -> None:
        self.stage = Stage(max_events=100, batch=10)

    def test_what_left_the_ring_meanwhile_is_told(self) -> None:
        subscriber, wire = self.stage.enter()
        self.stage.publish(10)
        wire.frames()
        wire.fill()
        for _ in range(30):
            self.stage.publish(10)
        wire.drain()
        waited, lagged, *rest = messages_in(wire)
        self.assertEqual(ids_in([waited]), list(range(10, 20)))
        self.assertEqual(lagged["type"], "lagged")
        self.assertEqual(lagged["data"], {"skipped": 190, "lagged_total": 190})
        self.assertEqual(ids_in(rest), list(range(210, 310)))
        wire.fill()
        for _ in range(12):
            self.stage.publish(10)
        wire.drain()
        waited, lagged, *rest = messages_in(wire)
        self.assertEqual(lagged["data"], {"skipped": 10, "lagged_total": 200})
        self.assertEqual(ids_in(rest), list(range(330, 430)))
        self.assertEqual(subscriber.counters(), {"events_received": 230, "lagged_total": 200})
        self.assertEqual(self.stage.events_missed, 200)

    def test_a_network_that_is_asked_for_comes_without_the_others(self) -> None:
        subscriber, wire = self.stage.enter()
        for network in (NETWORKS[1], NETWORKS[0].upper().replace("X", "x", 1), None, "0x"):
            ask(subscriber, "Subscribe", filter={"type": "All", "network": network})
            self.stage.publish(1, node=0)
            self.stage.publish(2, node=1)
            self.stage.publish(1, node=0)
        messages = messages_in(wire)[1:]
        self.assertEqual(
            [(message["type"], ids_in([message])) for message in messages],
            [
                *(("subscribed", []), ("batch", [1, 2])),
                *(("subscribed", []), ("event", [4]), ("event", [7])),
                *(("subscribed", []), ("event", [8]), ("batch", [9, 10]), ("event", [11])),
                *(("error", []), ("event", [12]), ("batch", [13, 14]), ("event", [15])),
            ],
        )
        (error,) = (message["data"] for message in messages if message["type"] == "error")
        self.assertEqual(error["request"], "Subscribe")
        self.assertIn('network is "0x"; expected the genesis hash of one', error["message"])

    def test_only_events_that_match_its_filter_are_missed(self) -> None:
        subscriber, wire = self.stage.enter()
        ask(subscriber, "Subscribe", filter={"type": "EventType", "event_type": 12})
        wire.frames()
        wire.fill()
        for _ in range(20):
            self.stage.publish(9, kind=11)
            self.stage.publish(1, kind=12)
        wire.drain()
        _, lagged, *rest = messages_in(wire)
        self.assertEqual(lagged["data"]["skipped"], 9)
        self.assertEqual(len(ids_in(rest)), 10)

    def test_all_comes_once_and_in_order_however_little_is_taken_at_a_time(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.frames()
        wire.fill()
        self.stage.publish(30)
        messages: list[Message] = []
        while len(ids_in(messages)) < 30:
            wire.drain(700)
            messages += messages_in(wire)
        self.assertEqual(ids_in(messages), list(range(30)))
        self.assertEqual(subscriber.stream.events_received, 30)

    def test_a_question_among_events_that_were_missed_is_answered_among_them(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.frames()
        wire.fill()
        self.stage.publish(50)
        ask(subscriber, "Ping")
        for _ in range(10):
            self.stage.publish(50)
        wire.drain()
        messages = messages_in(wire)[1:]
        self.assertEqual(types_of(messages)[:3], ["lagged", "pong", "lagged"])
        self.assertEqual(messages[0]["data"], {"skipped": 40, "lagged_total": 40})
        self.assertEqual(messages[1]["data"]["lagged_total"], 40)
        self.assertEqual(messages[2]["data"], {"skipped": 400, "lagged_total": 440})
        self.assertEqual(ids_in(messages), list(range(450, 550)))

    def test_a_subscription_while_far_behind_counts_what_was_missed_of_each(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.frames()
        wire.fill()
        self.stage.publish(50)
        ask(subscriber, "Subscribe", filter={"type": "EventType", "event_type": 12})
        for _ in range(10):
            self.stage.publish(25, kind=11)
            self.stage.publish(25, kind=12)
        wire.drain()
        messages = messages_in(wire)[1:]
        self.assertEqual(types_of(messages)[:3], ["lagged", "subscribed", "lagged"])
        self.assertEqual(messages[0]["data"]["skipped"], 40)
        self.assertEqual(messages[2]["data"]["skipped"], 200)
        self.assertEqual(len(ids_in(messages)), 50)


FILTERS: list[dict[str, Any]] = [
    {"type": "All"},
    {"type": "Nodes", "node_ids": [NODES[0]]},
    {"type": "Nodes", "node_ids": [NODES[1]], "event_types": [11]},
    {"type": "EventType", "event_type": 12},
    {"type": "All", "network": NETWORKS[0]},
    {"type": "Nodes", "node_ids": [*NODES], "network": NETWORKS[1], "event_types": [11]},
]


def matches(filter: dict[str, Any], node: int, kind: int) -> bool:
    return (
        NODES[node] in filter.get("node_ids", NODES)
        and kind in filter.get("event_types", [kind])
        and kind == filter.get("event_type", kind)
        and NETWORKS[node] == filter.get("network", NETWORKS[node])
    )


publications = st.tuples(
    st.just("publish"), st.integers(1, 15), st.integers(0, 1), st.integers(11, 12)
)


class AccountTests(SynchronousTestCase):
    """Whatever happens, the books balance."""

    @examples(200)
    @given(
        st.sampled_from([MemoryTransport, StreamTransport]),
        st.lists(
            publications
            | publications
            | st.tuples(st.sampled_from(["fill", "fill", "ping", "drain"]))
            | st.tuples(st.just("drip"), st.integers(1, 5000))
            | st.tuples(st.just("subscribe"), st.sampled_from(FILTERS)),
            min_size=10,
            max_size=40,
        ),
    )
    def test_between_two_subscriptions_all_that_matches_is_sent_or_told_as_missed(
        self, transport: type[MemoryTransport], steps: list[tuple[Any, ...]]
    ) -> None:
        stage = Stage(max_events=20, batch=5)
        subscriber, wire = stage.enter(transport)
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
                wire.drain(*values)
        wire.drain()
        received: list[list[int]] = [[]]
        skipped = [0]
        for message in messages_in(wire):
            if message["type"] == "subscribed":
                received.append([])
                skipped.append(0)
            elif message["type"] == "lagged":
                skipped[-1] += message["data"]["skipped"]
            elif message["type"] == "pong":
                told = {
                    "events_received": sum(map(len, received)),
                    "lagged_total": sum(skipped),
                    "uptime_ms": 0,
                }
                self.assertEqual(message["data"], told)
            received[-1] += ids_in([message])
        self.assertEqual(
            [len(ids) + missed for ids, missed in zip(received, skipped, strict=True)],
            [len(ids) for ids in matching],
        )
        for ids, expected in zip(received, matching, strict=True):
            self.assertEqual(ids, sorted(set(ids)))
            self.assertLessEqual(set(ids), set(expected))


class FiguresTests(SynchronousTestCase):
    """What only a server that keeps history tells."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.gauges = self.stage.keep_history()

    def test_without_history_there_are_no_metrics_and_alerts(self) -> None:
        self.stage.gauges = self.stage.metrics = None
        subscriber, wire = self.stage.enter()
        wire.frames()
        ask(subscriber, "SubscribeMetrics")
        ask(subscriber, "SubscribeAlerts")
        messages = messages_in(wire)
        self.assertEqual(types_of(messages), ["error", "error"])
        self.assertEqual(
            [message["data"]["request"] for message in messages],
            ["SubscribeMetrics", "SubscribeAlerts"],
        )
        self.stage.time.pump([1] * 20)
        self.assertEqual(messages_in(wire), [])

    def test_metrics_come_at_their_interval_until_they_are_not_wanted(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.frames()
        ask(subscriber, "SubscribeMetrics", interval_ms=2000)
        first = messages_in(wire)
        self.assertEqual(first[0]["type"], "metrics_subscribed")
        self.assertEqual(first[0]["data"]["interval_ms"], 2000)
        before = len(first)
        self.stage.time.pump([0.5] * 40)
        metrics = [*first[1:], *messages_in(wire)]
        self.assertEqual(types_of(metrics), ["metrics"] * (10 + before - 1))
        self.assertEqual(metrics[0]["data"], {"nodes": 3})
        ask(subscriber, "SubscribeMetrics", interval_ms=500)
        wire.frames()
        self.stage.time.pump([0.5] * 4)
        self.assertEqual(types_of(messages_in(wire)), ["metrics"] * 4)
        ask(subscriber, "UnsubscribeMetrics")
        self.assertEqual(types_of(messages_in(wire)), ["metrics_unsubscribed"])
        self.stage.time.pump([0.5] * 10)
        self.assertEqual(messages_in(wire), [])
        ask(subscriber, "SubscribeMetrics")
        subscriber.gone()
        self.assertEqual(self.stage.time.getDelayedCalls(), [])

    def test_metrics_are_made_once_for_all_who_are_due(self) -> None:
        intervals = (500, 500, 700, 1000, 10_000)
        wires = []
        for interval in intervals:
            subscriber, wire = self.stage.enter()
            ask(subscriber, "SubscribeMetrics", interval_ms=interval)
            wires.append(wire)
        self.assertEqual(len(self.stage.time.getDelayedCalls()), 1)
        for wire in wires:
            wire.frames()
        made = itertools.count()
        self.patch(self.gauges, "metrics", lambda: {"made": next(made)})
        for _ in range(101):
            self.stage.time.advance(0.1)
        told = [len(messages_in(wire)) for wire in wires]
        for interval, count in zip(intervals, told, strict=True):
            self.assertLessEqual(abs(count - 10_000 / interval), 1)
        self.assertEqual(told[0], told[1])
        self.assertLess(next(made), 40)

    def test_metrics_that_were_missed_are_not_made_up_for(self) -> None:
        subscriber, wire = self.stage.enter()
        ask(subscriber, "SubscribeMetrics", interval_ms=500)
        wire.frames()
        self.stage.time.advance(60)
        self.stage.time.pump([0.1] * 4)
        self.assertEqual(types_of(messages_in(wire)), ["metrics"])
        self.stage.time.advance(0.2)
        self.assertEqual(types_of(messages_in(wire)), ["metrics"])

    def test_metrics_do_not_pile_up_for_a_client_that_takes_nothing(self) -> None:
        subscriber, wire = self.stage.enter()
        ask(subscriber, "SubscribeMetrics", interval_ms=500)
        wire.frames()
        wire.fill()
        self.stage.time.pump([0.5] * 40)
        wire.drain()
        self.assertEqual(types_of(messages_in(wire)), ["metrics"])

    def test_alerts_are_told_to_those_who_asked(self) -> None:
        subscriber, wire = self.stage.enter()
        wire.frames()
        subscriber.alerts_changed({"alerts": [], "count": 0})
        self.assertEqual(messages_in(wire), [])
        ask(subscriber, "SubscribeAlerts")
        self.assertEqual(types_of(messages_in(wire)), ["alerts_subscribed", "alert"])
        subscriber.alerts_changed({"alerts": ["x"], "count": 1})
        (alert,) = messages_in(wire)
        self.assertEqual(alert["data"], {"alerts": ["x"], "count": 1})
        ask(subscriber, "UnsubscribeAlerts")
        subscriber.alerts_changed({"alerts": [], "count": 0})
        self.assertEqual(types_of(messages_in(wire)), ["alerts_unsubscribed"])

    def test_stats_show_its_own_counters_and_filter(self) -> None:
        subscriber, wire = self.stage.enter()
        ask(subscriber, "Subscribe", filter={"type": "EventType", "event_type": 11})
        self.stage.publish(3)
        wire.frames()
        stats = json.dumps(self.gauges.stats()).encode()
        subscriber.send_stats(stats)
        (told,) = messages_in(wire)
        self.assertEqual(told["type"], "stats")
        self.assertEqual(
            told["data"]["websocket"],
            {
                "events_received": 3,
                "lagged_total": 0,
                "current_filter": {"type": "EventType", "event_type": 11},
            },
        )
        wire.fill()
        for _ in range(10):
            subscriber.send_stats(stats)
        wire.drain()
        self.assertEqual(len(wire.frames()), 1)


class MistakeTests(SynchronousTestCase):
    """A mistake of the server's own ends the subscriber for which it was made, and nobody else."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.gauges = self.stage.keep_history()

    def assert_ended(self) -> None:
        self.assertEqual(self.stage.goodbyes, [(1011, b"the server made a mistake")])
        self.assertEqual(self.stage.errors.counts, {"subscriber": 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_in_writing_its_events(self) -> None:
        for transport in (MemoryTransport, StreamTransport):
            self.setUp()
            wires = [self.stage.enter(transport)[1] for _ in range(100)]
            for wire in wires:
                wire.frames()
            spoiled = self.stage.members[50]
            for step in ("_write_frames", "written_past"):
                self.patch(spoiled.stream, step, lambda *_: 1 / 0)
            wires[50].fill()
            self.stage.publish(3)
            self.stage.publish(1)
            for number, wire in enumerate(wires):
                wire.pump()
                self.assertEqual(ids_in(messages_in(wire)), [] if number == 50 else [0, 1, 2, 3])
            self.assert_ended()

    def test_in_making_a_frame_for_many(self) -> None:
        """It is made for all of them; those who want another frame go on."""
        wires = [self.stage.enter()[1] for _ in range(10)]
        ask(self.stage.members[5], "Subscribe", filter={"type": "EventType", "event_type": 11})
        for wire in wires:
            wire.frames()
        everything = self.stage.ring.open(ALL)
        self.patch(everything, "_render", lambda *_: 1 / 0)
        self.stage.publish(3)
        for number, wire in enumerate(wires):
            self.assertEqual(ids_in(messages_in(wire)), [0, 1, 2] if number == 5 else [])
        self.assertEqual(self.stage.goodbyes, [(1011, b"the server made a mistake")] * 9)
        self.assertEqual(self.stage.errors.counts, {"subscriber": 9})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_in_answering_it(self) -> None:
        subscriber, _ = self.stage.enter()
        self.patch(self.gauges, "metrics", lambda: 1 / 0)
        ask(subscriber, "SubscribeMetrics")
        self.assert_ended()

    def test_in_what_it_is_told_at_an_interval(self) -> None:
        subscriber, _ = self.stage.enter()
        ask(subscriber, "SubscribeMetrics")
        other, wire = self.stage.enter()
        ask(other, "SubscribeMetrics")
        wire.frames()
        self.patch(subscriber.stream, "tell_raw", lambda *_: 1 / 0)
        self.stage.time.advance(1)
        self.assert_ended()
        self.assertEqual(types_of(messages_in(wire)), ["metrics"])

    def test_in_making_what_all_are_told_at_an_interval(self) -> None:
        """It ends nobody, and the next is told."""
        subscriber, wire = self.stage.enter()
        ask(subscriber, "SubscribeMetrics")
        wire.frames()
        patch = self.patch(self.gauges, "metrics", lambda: 1 / 0)
        self.stage.time.advance(1)
        patch.restore()
        self.assertEqual(self.stage.errors.counts, {"metrics": 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.stage.time.advance(1)
        self.assertEqual(types_of(messages_in(wire)), ["metrics"])

    def test_in_greeting_it(self) -> None:
        self.patch(self.stage, "greeting", lambda: 1 / 0)
        self.stage.enter()
        self.assert_ended()

    def test_in_letting_go_of_it(self) -> None:
        subscriber, _ = self.stage.enter()
        self.patch(self.stage.ring, "close", lambda _: 1 / 0)
        subscriber.gone()
        self.assertEqual(self.stage.gone, [subscriber])
        self.assertEqual(self.stage.errors.counts, {"subscriber": 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class BoundsTests(SynchronousTestCase):
    """What one subscriber may ask for."""

    def setUp(self) -> None:
        self.stage = Stage(max_events=20_000)
        self.subscriber, self.wire = self.stage.enter()
        self.wire.received()

    def test_what_costs_too_much_is_refused_until_there_is_enough_again(self) -> None:
        filter = {"type": "Nodes", "node_ids": [NODES[0]]}
        for _ in range(20):
            ask(self.subscriber, "Subscribe", filter=filter)
        ask(self.subscriber, "Subscribe", filter={"type": "All"})
        ask(self.subscriber, "GetRecentEvents", limit=5)
        ask(self.subscriber, "Ping")
        *done, refused, refused_too, pong = messages_in(self.wire)
        self.assertEqual(types_of(done), ["subscribed"] * 20)
        for refusal, request in ((refused, "Subscribe"), (refused_too, "GetRecentEvents")):
            self.assertEqual(refusal["type"], "error")
            self.assertEqual(refusal["data"]["request"], request)
            self.assertIn("try again in 0.1 s", refusal["data"]["message"])
        self.assertEqual(pong["type"], "pong")
        self.stage.publish(1, node=1)
        self.stage.publish(1, node=0)
        self.assertEqual(ids_in(messages_in(self.wire)), [1])
        self.stage.time.advance(0.1)
        ask(self.subscriber, "Subscribe", filter={"type": "All"})
        self.assertEqual(types_of(messages_in(self.wire)), ["subscribed"])

    def test_what_is_wrong_costs_nothing(self) -> None:
        for _ in range(50):
            ask(self.subscriber, "Subscribe", filter={"type": "Some"})
        ask(self.subscriber, "GetRecentEvents")
        *errors, recent = types_of(messages_in(self.wire))
        self.assertEqual((errors, recent), (["error"] * 50, "recent_events"))

    def test_a_filter_that_there_is_no_room_for_changes_nothing(self) -> None:
        self.stage.ring.max_bytes = 1000
        ask(self.subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": [NODES[0]]})
        (refusal,) = messages_in(self.wire)
        self.assertEqual((refusal["type"], refusal["data"]["request"]), ("error", "Subscribe"))
        self.assertIn("--ring-mib", refusal["data"]["message"])
        self.stage.ring.max_bytes = 1 << 30
        self.stage.publish(1, node=1)
        self.assertEqual(ids_in(messages_in(self.wire)), [0])

    def test_stats_name_the_filter_in_a_kibibyte(self) -> None:
        node_ids = [f"{number:064x}" for number in range(1024)]
        ask(self.subscriber, "Subscribe", filter={"type": "Nodes", "node_ids": node_ids})
        (reply,) = messages_in(self.wire)
        self.assertEqual(reply["data"]["filter"]["node_ids"], node_ids)
        self.subscriber.send_stats(b'{"database":{}}')
        (stats,) = messages_in(self.wire)
        self.assertEqual(
            stats["data"],
            {
                "database": {},
                "websocket": {
                    "events_received": 0,
                    "lagged_total": 0,
                    "current_filter": {"type": "Nodes", "node_id_count": 1024},
                },
            },
        )

    def test_many_recent_events_take_several_turns_and_their_place_in_the_stream(self) -> None:
        for _ in range(100):
            self.stage.publish(100)
        self.wire.pump()
        self.wire.received()
        ask(self.subscriber, "GetRecentEvents", limit=9_999)
        self.assertTrue(self.subscriber.busy)
        self.stage.publish(1)
        ask(self.subscriber, "Ping")
        self.assertEqual(self.wire.received(), b"")
        self.wire.pump()
        recent, event, pong = messages_in(self.wire)
        self.assertFalse(self.subscriber.busy)
        self.assertEqual([event["id"] for event in recent["data"]["events"]], [*range(1, 10_000)])
        self.assertEqual(ids_in([event]), [10_000])
        self.assertEqual(pong["type"], "pong")

    def test_no_turn_makes_more_than_a_thousand_of_them(self) -> None:
        for events, steps in ((0, 1), (999, 1), (1000, 2), (10_000, 11)):
            for _ in range(100):
                self.stage.publish(100)
            recent = RecentEvents(partial(self.stage.ring.newest, events))
            taken = 1
            while not recent.go_on():
                taken += 1
            self.assertEqual(taken, steps)

    def test_one_that_leaves_before_its_answer_is_made_is_not_answered(self) -> None:
        for _ in range(100):
            self.stage.publish(100)
        self.wire.pump()
        ask(self.subscriber, "GetRecentEvents")
        self.subscriber.gone()
        self.subscriber.abort()
        self.stage.time.pump([0] * 20)
        self.assertEqual(self.stage.errors.counts, {})

    def test_a_client_that_reads_nothing_is_told_the_last_alerts_alone(self) -> None:
        gauges = self.stage.keep_history()
        ask(self.subscriber, "SubscribeAlerts")
        self.wire.pump()
        self.wire.received()
        self.wire.fill()
        self.stage.publish(1)
        for number in range(1000):
            gauges.current = [str(number)]
            self.subscriber.alerts_changed(gauges.alerts())
        self.wire.drain()
        event, alert = messages_in(self.wire)
        self.assertEqual((event["type"], alert["data"]["alerts"]), ("event", ["999"]))
