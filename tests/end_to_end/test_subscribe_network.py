"""Subscribers are told how networks fare, by a store process that is killed meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.api.websocket.test_network import patched
from tests.end_to_end.conftest import Subscriber, await_true
from tests.end_to_end.truth import PATIENCE, scene

NODES = 16


def next_figures(subscriber: Subscriber, figures: Any) -> Any:
    """What is known once the next ``network`` message has come."""
    data = next_of(subscriber, "network")["data"]
    return data if data["snapshot"] else patched(figures, data)


def next_of(subscriber: Subscriber, kind: str) -> Any:
    while (message := subscriber.receive(PATIENCE))["type"] != kind:
        pass
    return message


def test_a_network_is_told_while_it_changes(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        with at.server.subscriber() as subscriber:
            subscriber.ask(
                {"type": "Subscribe", "filter": {"type": "Nodes", "node_ids": ["00" * 32]}}
            )
            reply = subscriber.ask({"type": "SubscribeNetwork"})
            assert reply["type"] == "network_subscribed"
            figures = next_figures(subscriber, {})
            assert figures["networks"] == {}
            at.simulate(f"--nodes={NODES}", "--events=100000", "--duration=40", "--mistakes=0")

            def network() -> Any:
                """Its only network, once one is told."""
                (network,) = figures["networks"].values()
                return network

            def well() -> bool:
                return (
                    bool(figures["networks"])
                    and len(network()["nodes"]) == network().get("connected") == NODES
                    and network().get("best", 0) > 0
                    and network()["funnel"]["packages"] > 0
                    and network()["chains"]["ended"] > 0
                )

            while not well():
                figures = next_figures(subscriber, figures)
            slot = network()["slots"][1]
            assert slot["blocks"]
            assert max(slot["stages"].values()) <= NODES
            at.kill(at.await_pid("store"))
            while "best" in network():
                figures = next_figures(subscriber, figures)
            assert len(network()["nodes"]) == NODES
            while not well():
                figures = next_figures(subscriber, figures)
            assert subscriber.ask({"type": "UnsubscribeNetwork"})["type"] == "network_unsubscribed"
