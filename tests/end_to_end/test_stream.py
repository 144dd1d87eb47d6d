"""What a subscriber is sent: the greeting, events and batches, and the events of its filter."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.conftest import NOW

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, Server, StartServer, Subscriber

ZERO_HASH = "0x" + "00" * 32


def test_connected_comes_first_and_once(start_server: StartServer, node_ids: list[str]) -> None:
    server = start_server()
    with server.subscriber() as first:
        data = first.greeting["data"]
        assert first.greeting["type"] == "connected"
        assert isinstance(data.pop("message"), str)
        assert data == {
            "recent_events": 0,
            "total_nodes": 0,
            "broadcaster_stats": {
                "total_events_broadcast": 0,
                "active_subscribers": 1,
                "node_channels": 0,
                "events_in_buffer": 0,
                "dropped_events": 0,
                "undelivered_events": 0,
            },
            "recent_event_samples": [],
        }
        first.subscribe(type="Nodes", node_ids=node_ids[:2])
        nodes = [server.connect_node(node_id) for node_id in node_ids[:2]]
        for node in nodes:
            node.report_best(range(150))
        events = first.receive_events(300)
        with server.subscriber() as second:
            data = second.greeting["data"]
            samples = data.pop("recent_event_samples")
            assert isinstance(data.pop("message"), str)
            assert data == {
                "recent_events": 300,
                "total_nodes": 2,
                "broadcaster_stats": {
                    "total_events_broadcast": 300,
                    "active_subscribers": 2,
                    "node_channels": 2,
                    "events_in_buffer": 300,
                    "dropped_events": 0,
                    "undelivered_events": 0,
                },
            }
            assert samples == [
                {
                    "id": event["data"]["id"],
                    "node_id": event["data"]["node_id"],
                    "event_type": 11,
                    "timestamp": event["timestamp"],
                }
                for event in events[100:]
            ]
            assert second.ask({"type": "Ping"})["type"] == "pong"
            assert second.events == []


def test_an_event_is_compact_json_in_the_order_of_the_protocol(
    subscriber: Subscriber, node: Node
) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    node.report("Dropped", last_timestamp=5, num=7)
    node.report("BestBlockChanged", slot=2, hash=ZERO_HASH)
    first, second = subscriber.receive_events(2)
    node.report("AuthoringFailed", authoring_id=7, reason='"é"\n')
    text = subscriber.connection.recv()
    assert isinstance(text, str)
    told = re.fullmatch(
        r'\{"type":"event","data":\{"id":(\d+),"node_id":"' + node.node_id + r'","event_id":8,'
        r'"event_type":41,"event":\{"AuthoringFailed":\{"timestamp":'
        + str(NOW)
        + r',"authoring_id":7,'
        r'"reason":"\\"é\\"\\n"\}\}\},"timestamp":"(\S+)Z"\}',
        text,
    )
    assert told is not None, text
    assert first["data"]["event"] == {"Dropped": {"timestamp": NOW, "last_timestamp": 5, "num": 7}}
    assert second["data"] == {
        "id": second["data"]["id"],
        "node_id": node.node_id,
        "event_id": 7,
        "event_type": 11,
        "event": {"BestBlockChanged": {"timestamp": NOW, "slot": 2, "hash": ZERO_HASH}},
    }
    assert first["data"]["id"] < second["data"]["id"] < int(told[1])
    received = datetime.fromisoformat(told[2]).replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - received) < timedelta(minutes=5)


def test_events_come_in_frames_of_at_most_a_hundred_and_a_lone_one_unwrapped(
    subscriber: Subscriber, node: Node
) -> None:
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    for width in (1, 2, 1, 100, 3):
        node.report_best(range(width))
        subscriber.receive_events(width)
    assert subscriber.widths == [1, 2, 1, 100, 3]
    node.report_best(range(101))
    subscriber.receive_events(101)
    assert subscriber.widths[5:] == [100, 1]
    node.report_best(range(5_000))
    subscriber.receive_events(5_000)
    assert max(subscriber.widths) == 100
    assert subscriber.slots()[-5_000:] == list(range(5_000))


def test_ids_are_unique_and_rise_along_each_node_also_over_reconnects(
    subscriber: Subscriber, server: Server, node_ids: list[str]
) -> None:
    subscriber.subscribe(type="Nodes", node_ids=node_ids)
    for _ in range(3):
        nodes = [server.connect_node(node_id) for node_id in node_ids]
        for node in nodes:
            node.report_best(range(300))
        subscriber.receive_events(300 * len(nodes))
        for node in nodes:
            node.close()
    ids = [event["data"]["id"] for event in subscriber.events]
    assert len(set(ids)) == len(ids)
    for node_id in node_ids:
        of_node = [event for event in subscriber.events if event["data"]["node_id"] == node_id]
        of_ids = [event["data"]["id"] for event in of_node]
        assert of_ids == sorted(of_ids)
        assert [event["data"]["event_id"] for event in of_node] == [*range(300)] * 3
        times = [event["timestamp"] for event in of_node]
        assert times == sorted(times)


EVERYTHING = [(node, kind) for node in (0, 1) for kind in (0, 11, 12, 13, 120, 123, 131)]


@pytest.mark.parametrize(
    ("filter", "matching"),
    [
        ({"type": "All"}, EVERYTHING),
        ({"type": "All", "event_types": [11, 131]}, [(0, 11), (0, 131), (1, 11), (1, 131)]),
        ({"type": "Nodes", "node_ids": [0]}, EVERYTHING[:7]),
        ({"type": "Nodes", "node_ids": [0, 1]}, EVERYTHING),
        ({"type": "Nodes", "node_ids": [1], "event_types": [0, 13]}, [(1, 0), (1, 13)]),
        ({"type": "Nodes", "node_ids": ["*"]}, EVERYTHING),
        ({"type": "Nodes", "node_ids": ["*"], "event_types": [12]}, [(0, 12), (1, 12)]),
        ({"type": "Nodes", "node_ids": ["ff" * 32]}, []),
        ({"type": "EventType", "event_type": 11}, [(0, 11), (1, 11)]),
        ({"type": "EventType", "event_type": 0}, [(0, 0), (1, 0)]),
        ({"type": "EventType", "event_type": 11, "event_types": [11, 12]}, [(0, 11), (1, 11)]),
        ({"type": "EventType", "event_type": 11, "event_types": [12]}, []),
        (
            {"type": "EventTypeRange", "start": 120, "end": 131},
            [pair for pair in EVERYTHING if pair[1] >= 120],
        ),
        ({"type": "EventTypeRange", "start": 121, "end": 130}, [(0, 123), (1, 123)]),
        ({"type": "EventTypeRange", "start": 0, "end": 255}, EVERYTHING),
        (
            {"type": "EventTypeRange", "start": 11, "end": 13, "event_types": [12, 13, 120]},
            [(0, 12), (0, 13), (1, 12), (1, 13)],
        ),
    ],
    ids=str,
)
def test_a_filter_selects_on_the_server(
    subscriber: Subscriber,
    server: Server,
    node_ids: list[str],
    filter: dict[str, Any],
    matching: list[tuple[int, int]],
) -> None:
    if "node_ids" in filter:
        named = [node_ids[node] if node in (0, 1) else node for node in filter["node_ids"]]
        filter = {**filter, "node_ids": named}
    subscriber.subscribe(**filter)
    with server.subscriber() as everything:
        everything.subscribe(type="Nodes", node_ids=node_ids[:2])
        for node_id in node_ids[:2]:
            node = server.connect_node(node_id)
            node.report("Dropped", last_timestamp=1, num=1)
            node.report("BestBlockChanged", slot=1, hash=ZERO_HASH)
            node.report("FinalizedBlockChanged", slot=1, hash=ZERO_HASH)
            node.report("SyncStatusChanged", synced=True)
            node.report("SendingShardRequest", guarantor=ZERO_HASH, erasure_root=ZERO_HASH, shard=3)
            node.report("ShardRequestSent", request_id=4)
            node.report("AssuranceReceived", sender=ZERO_HASH, anchor=ZERO_HASH)
            everything.receive_events(7)
    subscriber.ask({"type": "Ping"})
    assert [
        (node_ids.index(event["data"]["node_id"]), event["data"]["event_type"])
        for event in subscriber.events
    ] == matching


def test_nodes_that_connect_after_the_subscription(
    subscriber: Subscriber, server: Server, node_ids: list[str]
) -> None:
    """A node that was asked for by ID joins, and every node joins where all were asked for."""
    asked_for, other = node_ids[:2]
    subscriber.subscribe(type="Nodes", node_ids=[asked_for])
    with server.subscriber() as everything:
        everything.subscribe(type="Nodes", node_ids=["*"])
        for slot, node_id in enumerate([other, asked_for, other, asked_for]):
            node = server.connect_node(node_id)
            node.report_best([slot])
            assert everything.receive_events(1)[0]["data"]["node_id"] == node_id
            node.close()
        assert everything.slots() == [0, 1, 2, 3]
    subscriber.ask({"type": "Ping"})
    assert subscriber.slots() == [1, 3]
    assert {event["data"]["node_id"] for event in subscriber.events} == {asked_for}


def test_two_networks_on_one_server_never_mix(
    subscriber: Subscriber, server: Server, node_ids: list[str]
) -> None:
    """A node is of the network that it names when it connects, whenever that is."""
    here, there = "0x" + "e1" * 32, "0x" + "e2" * 32
    node_ids = node_ids[:2]
    server.connect_node(node_ids[0], genesis=here).report_best([0])
    subscriber.subscribe(type="All", network=here)
    with server.subscriber() as everything, server.subscriber() as other:
        everything.subscribe(type="Nodes", node_ids=node_ids)
        other.subscribe(type="Nodes", node_ids=node_ids, network=there, event_types=[11])
        for slot, (node_id, genesis) in enumerate(
            ((node_ids[1], here), (node_ids[1], there), (node_ids[0], there), (node_ids[0], here)),
            start=1,
        ):
            node = server.connect_node(node_id, genesis=genesis)
            node.report_best([slot])
            assert everything.receive_events(1)[0]["data"]["node_id"] == node_id
            node.close()
        other.ask({"type": "Ping"})
        assert other.slots() == [2, 3]
    subscriber.ask({"type": "Ping"})
    assert [slot for slot in subscriber.slots() if slot] == [1, 4]


def test_a_new_filter_loses_and_repeats_nothing(subscriber: Subscriber, node: Node) -> None:
    """Between the replies to two subscriptions there are the events of the first one, all."""
    subscriber.subscribe(type="Nodes", node_ids=[node.node_id])
    for number in range(15):  # as often as the budget of a connection allows at once
        node.report_best(range(number * 300, number * 300 + 300))
        subscriber.subscribe(type="Nodes", node_ids=[node.node_id], event_types=[11, number])
    subscriber.receive_events(4_500 - len(subscriber.events))
    assert subscriber.slots() == list(range(4_500))
