"""What is wrong with a network is found: an alert begins when it does, and ends with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from telemetry_twisted.simulator import Network
from telemetry_twisted.simulator.troubles import (
    FAILING_SHARDS,
    LAGGING_IMPORTER,
    PARTITIONED_GROUP,
    SLOW_GUARANTOR,
)
from tests.end_to_end.conftest import StartServer, await_true
from tests.end_to_end.truth import PATIENCE, Scene, scene

NODES = 16


def alerts(at: Scene) -> dict[str, Any]:
    """The alerts that hold, by kind."""
    with at.server.subscriber() as subscriber:
        subscriber.ask({"type": "Subscribe", "filter": {"type": "Nodes", "node_ids": ["00" * 32]}})
        subscriber.ask({"type": "SubscribeAlerts"})
        while (message := subscriber.receive(PATIENCE))["type"] != "alert":
            pass
        return {alert["kind"]: alert for alert in message["data"]["alerts"]}


def test_a_node_that_says_nothing(start_server: StartServer, node_id: str) -> None:
    server = start_server("--alert-silent", "5", history=True)
    at = Scene(server, "")
    node = server.connect_node(node_id)
    server.await_nodes(1)
    await_true(lambda: "node_silent" in alerts(at), "it is told of", PATIENCE)
    assert alerts(at)["node_silent"]["examples"] == [node_id]
    node.report_best(range(7))
    await_true(lambda: "node_silent" not in alerts(at), "it is told of no more", PATIENCE)


FEW = (f"--nodes={NODES}", "--events=1000000", "--mistakes=0", "--connect-rate=500")


@pytest.mark.parametrize(
    ("kind", "options", "thresholds", "words"),
    [
        ("fork", ("--forks=1",), ("--alert-fork=1",), "slots in a row"),
        ("clock_off", ("--clock-skew=20000",), ("--alert-clock=4000",), "off by"),
    ],
)
def test_an_alert_of_a_network(
    tmp_path: Path,
    kind: str,
    options: tuple[str, ...],
    thresholds: tuple[str, ...],
    words: str,
) -> None:
    url = f"sqlite:{tmp_path / 'history.sqlite'}"
    with scene(tmp_path / "server", url, *thresholds) as at:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        assert kind not in alerts(at)
        simulation = at.simulate(*FEW, "--duration=60", *options)
        await_true(lambda: kind in alerts(at), f"{kind} begins", PATIENCE)
        alert = alerts(at)[kind]
        assert words in alert["message"]
        assert alert["ended"] is None
        simulation.close()
        await_true(lambda: kind not in alerts(at), f"{kind} ends", PATIENCE)


SEED = 7


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (PARTITIONED_GROUP, "late_nodes"),
        (LAGGING_IMPORTER, "late_nodes"),
        (SLOW_GUARANTOR, "slow_guarantors"),
        (FAILING_SHARDS, "failing_servers"),
    ],
)
def test_the_verdict_names_the_trouble_and_the_node(
    tmp_path: Path, trouble: str, reason: str
) -> None:
    network = Network(nodes=NODES, seed=SEED, trouble=(trouble,))
    troubled = {network.peer_ids[node].hex() for node in network.troubled(trouble)}
    url = f"sqlite:{tmp_path / 'history.sqlite'}"
    with scene(tmp_path / "server", url, "--alert-behind=3") as at:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        simulation = at.simulate(*FEW, "--duration=90", f"--seed={SEED}", f"--trouble={trouble}")

        def reasons() -> dict[str, Any]:
            status, body, _ = at.server.get("/api/networks/health")
            return {each["kind"]: each for each in body["reasons"]} if status == 200 else {}

        def named() -> bool:
            found = reasons().get(reason)
            return found is not None and any(node in found["message"] for node in troubled)

        await_true(named, f"{trouble} is in the verdict", PATIENCE)
        if trouble == PARTITIONED_GROUP:
            await_true(lambda: "behind" in alerts(at), "the group is behind", PATIENCE)
            assert {*alerts(at).get("behind", {}).get("examples", ())} <= troubled
            await_true(lambda: "behind" not in alerts(at), "it is there again", PATIENCE)
        simulation.close()
        await_true(lambda: reason not in reasons(), "it is no more", PATIENCE)
