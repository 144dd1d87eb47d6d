"""A subscriber that does not read costs nobody anything, and is told what it missed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, StartServer, Subscriber

SECONDS = 10.0
"""How long the stalled subscriber reads nothing."""

LEAST = 60_000
"""Events that are sent meanwhile at least: far more than the system holds for a connection."""

BLOCK = 1_000
"""Events that are on their way at once, a quarter of what the ring holds."""


def load(node: Node, reader: Subscriber) -> int:
    """Send events, as fast as ``reader`` reads them, for a while; their number."""
    end = time.monotonic() + SECONDS
    sent = 0
    while sent < LEAST or time.monotonic() < end:
        node.report_best(range(sent, sent + BLOCK))
        reader.receive_events(BLOCK)
        sent += BLOCK
    return sent


def test_a_stalled_subscriber_is_told_what_it_missed_and_goes_on(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server("--ring-events", str(4 * BLOCK))
    node = server.connect_node(node_id)
    with server.subscriber() as reader, server.subscriber(4096, max_queue=1) as stalled:
        stalled.subscribe(type="Nodes", node_ids=[node_id])
        sent = load(node, reader)
        stats = server.stats()
        assert stats["active_subscribers"] == 3
        assert stats["undelivered_events"] == 0
        while stalled.received_and_skipped < sent:
            stalled.receive()
        assert stalled.skipped > 0
        assert stalled.received_and_skipped == sent
        slots = stalled.slots()
        assert slots == sorted(set(slots))
        assert slots[0] == 0
        assert slots[-1] == sent - 1
        pong = stalled.ask({"type": "Ping"})["data"]
        assert pong["lagged_total"] == stalled.skipped
        assert pong["events_received"] == len(stalled.events)
        node.report_best(range(sent, sent + 10))
        stalled.receive_events(10)
        reader.receive_events(10)
        assert stalled.slots()[-10:] == list(range(sent, sent + 10))
        assert reader.slots() == list(range(sent + 10))
        assert reader.skipped == 0
        assert server.stats()["undelivered_events"] == stalled.skipped


def test_what_is_asked_meanwhile_is_answered_in_its_turn(
    start_server: StartServer, node_id: str
) -> None:
    """Also when the filter is replaced while the subscriber is far behind."""
    server = start_server("--ring-events", "1000")
    node = server.connect_node(node_id)
    with server.subscriber() as reader, server.subscriber(4096, max_queue=1) as stalled:
        for number in range(60):
            node.report_best(range(number * 500, number * 500 + 500))
            reader.receive_events(500)
        stalled.connection.send('{"type":"Subscribe","filter":{"type":"EventType","event_type":0}}')
        stalled.connection.send('{"type":"Ping"}')
        while (reply := stalled.receive())["type"] != "subscribed":
            pass
        assert reply["data"]["filter"] == {"type": "EventType", "event_type": 0}
        assert stalled.received_and_skipped == 30_000
        assert stalled.skipped > 0
        pong = stalled.receive()
        assert pong["type"] == "pong"
        assert pong["data"]["events_received"] == len(stalled.events)
        assert pong["data"]["lagged_total"] == stalled.skipped
        node.report("Dropped", last_timestamp=1, num=1)
        assert stalled.receive_events(1)[0]["data"]["event_type"] == 0
