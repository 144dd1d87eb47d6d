"""What subscribers of a server that keeps history are told besides events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.end_to_end.conftest import await_true

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Message, StartServer, Subscriber


def next_of(subscriber: Subscriber, kind: str) -> Message:
    """The next message of a type; what comes before it is passed over."""
    end = time.monotonic() + 40
    while (message := subscriber.receive())["type"] != kind:
        assert time.monotonic() < end, f"no {kind}"
    return message


def test_stats_come_every_five_seconds(start_server: StartServer, node_ids: list[str]) -> None:
    server = start_server(history=True)
    nodes = [server.connect_node(node_id) for node_id in node_ids[:2]]
    server.await_nodes(2)
    filter = {"type": "Nodes", "node_ids": [nodes[0].node_id]}
    with server.subscriber() as subscriber, server.subscriber() as other:
        subscriber.subscribe(**filter)
        for node in nodes:
            node.report_best(range(30))
        subscriber.receive_events(30)
        other.receive_events(60)
        data = next_of(subscriber, "stats")["data"]
        assert list(data) == ["database", "broadcaster", "connections", "websocket"]
        assert data["broadcaster"] == {
            "total_events_broadcast": 60,
            "active_subscribers": 2,
            "node_channels": 1,
            "events_in_buffer": 60,
            "dropped_events": 0,
            "undelivered_events": 0,
        }
        assert data["connections"]["total"] == 2
        assert set(data["connections"]["nodes"]) == {node.node_id for node in nodes}
        assert data["websocket"] == {
            "events_received": 30,
            "lagged_total": 0,
            "current_filter": filter,
        }
        assert next_of(other, "stats")["data"]["websocket"] == {
            "events_received": 60,
            "lagged_total": 0,
            "current_filter": {"type": "All"},
        }
        first = time.monotonic()
        next_of(subscriber, "stats")
        assert time.monotonic() - first > 2


def test_metrics_come_at_the_interval_that_was_asked_for(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server(history=True)
    server.connect_node(node_id).report_best(range(7))
    server.await_nodes(1)
    with server.subscriber() as subscriber:
        reply = subscriber.ask({"type": "SubscribeMetrics", "interval_ms": 1})
        assert reply["type"] == "metrics_subscribed"
        assert reply["data"]["interval_ms"] == 500
        began = time.monotonic()
        for _ in range(3):
            data = next_of(subscriber, "metrics")["data"]
        assert time.monotonic() - began > 0.7
        assert data["nodes"] == 1
        assert data["broadcaster"]["total_events_broadcast"] == 7
        assert subscriber.ask({"type": "UnsubscribeMetrics"})["type"] == "metrics_unsubscribed"
        assert next_of(subscriber, "stats")
        reply = subscriber.ask({"type": "SubscribeMetrics"})
        assert reply["data"]["interval_ms"] == 1_000
        assert (
            subscriber.ask({"type": "SubscribeMetrics", "interval_ms": 60_000})["data"][
                "interval_ms"
            ]
            == 10_000
        )


def test_alerts_come_when_their_set_changes(start_server: StartServer, node_id: str) -> None:
    server = start_server("--alert-node-gone", "1", history=True)
    node = server.connect_node(node_id)
    server.await_nodes(1)
    with server.subscriber() as subscriber, server.subscriber() as other:
        assert subscriber.ask({"type": "SubscribeAlerts"})["type"] == "alerts_subscribed"
        assert next_of(subscriber, "alert")["data"]["count"] == 0
        other.ask({"type": "SubscribeMetrics", "interval_ms": 500})
        for _ in range(5):  # the server looks for alerts every second
            next_of(other, "metrics")
        other.ask({"type": "UnsubscribeMetrics"})
        node.close()

        def gone(data: dict[str, Any]) -> bool:
            return any(alert["subject"] == node_id for alert in data["alerts"])

        while not gone(data := next_of(subscriber, "alert")["data"]):
            pass
        assert data["count"] == len(data["alerts"])
        node = server.connect_node(node_id)
        while gone(data := next_of(subscriber, "alert")["data"]):
            pass
        assert data["count"] == len(data["alerts"])
        assert subscriber.ask({"type": "UnsubscribeAlerts"})["type"] == "alerts_unsubscribed"
        told = []
        while (message := other.receive())["type"] != "stats":
            told.append(message["type"])
        assert "alert" not in told


def test_nodes_that_go_at_once_are_one_problem(
    start_server: StartServer,
) -> None:
    server = start_server("--alert-node-gone", "1", history=True)
    nodes = [server.connect_node(f"{number:064x}") for number in range(1, 65)]
    server.await_nodes(len(nodes))

    def problems() -> list[str]:
        return list(server.get("/api/health/detailed")[1]["problems"])

    def uptime() -> int:
        return int(server.get("/api/metrics/live")[1]["uptime_seconds"])

    def exposed(kind: str) -> bool:
        told = server.get("/metrics")[1].decode()
        return f'telemetry_alerts{{kind="{kind}"}} 64.0' in told

    # A node is missed that was there when the server looked, which it does every second.
    seen = uptime() + 3
    await_true(lambda: uptime() >= seen, "the server has looked")
    for node in nodes:
        node.close()
    await_true(lambda: exposed("node_gone"), "all are missed")
    (problem,) = problems()
    assert problem.startswith("64 nodes have been gone for up to ")
    assert " and 61 more, an alert since 20" in problem
    assert server.log.count("node_gone alert: ") <= 3
