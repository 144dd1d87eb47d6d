"""What Prometheus is told by network."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from telemetry_twisted.api.rest.prometheus.networks import MOST_NETWORKS, NetworksCollector
from telemetry_twisted.hub.network_figures import network_figures
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.network.networks import Networks
from telemetry_twisted.network.summary.summaries import Summaries

NOW = 1_795_506_120.0
NEWEST = newest_slot(NOW)
ONE, OTHER = "0x" + 64 * "1", "0x" + 64 * "2"


def node(number: int, network: str, slot: int | None = None) -> Node:
    """A node of a network whose best block is that of a slot."""
    connection = Node(
        f"{number:064x}", number, cast(Any, None), number, "x:1", NOW, {"genesis": network}
    )
    if slot is not None:
        connection.best = {"slot": slot, "hash": ONE}
    return connection


def summary_of(nodes: list[Node]) -> dict[str, dict[str, Any]]:
    """What the store process tells of networks of which it has heard nothing else."""
    summaries = Summaries(Networks(Counter()))
    network_of = {each.node_id: each.info["genesis"] for each in nodes}
    for _ in summaries.look(network_of, int(NOW * 1_000_000)):
        pass
    return summaries.current


def told(nodes: list[Node], summaries: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The values of each metric by network, and by kind where it has one."""

    class Live:
        def network(self) -> dict[str, Any]:
            return {"networks": network_figures(summaries, nodes)}

    registry = CollectorRegistry()
    registry.register(NetworksCollector(cast(Any, Live()), lambda: NOW))
    return {
        family.name.removeprefix("telemetry_network_"): {
            sample.labels["network"] + sample.labels.get("kind", ""): sample.value
            for sample in family.samples
        }
        for family in openmetrics(generate_latest(registry).decode())
    }


def test_networks_are_told_apart_and_no_node_of_a_minority_moves_them() -> None:
    nodes = [node(number, ONE, NEWEST - number) for number in range(3)]
    nodes += [node(3, ONE, NEWEST + 1), node(4, ONE)]
    nodes += [node(5, OTHER, 7), node(6, OTHER, 2**32 - 1)]
    figures = told(nodes, summary_of(nodes))
    assert figures["nodes"] == {ONE: 5, OTHER: 2}
    assert figures["best_slot"] == {ONE: NEWEST - 1, OTHER: 7}
    assert figures["finalized_slot"] == {}
    assert figures["fork_slots"] == figures["packages_stuck"] == {ONE: 0, OTHER: 0}
    assert figures["packages"][f"{ONE}under_way"] == 0


def test_what_the_store_process_knows_is_told() -> None:
    nodes = [node(1, ONE)]
    summaries = summary_of(nodes)
    of_one = summaries[ONE]
    of_one["fork"] = {"slots": 3, "since_slot": 5}
    of_one["stuck"] = {"count": 4, "since": "", "examples": []}
    of_one["assurances"]["late"], of_one["clocks"]["off"] = 5, 6
    of_one["chains"]["unfinished_percent"] = 12.5
    of_one["funnel"]["failed"] = 8
    figures = told(nodes, summaries)
    for name, value in (
        ("fork_slots", 3),
        ("packages_stuck", 4),
        ("assurances_late", 5),
        ("clocks_off", 6),
        ("chains_unfinished_ratio", 0.125),
    ):
        assert figures[name] == {ONE: value}
    assert figures["packages"][f"{ONE}failed"] == 8


def test_without_the_store_process_only_what_the_hub_knows_is_told() -> None:
    figures = told([node(1, ONE, 5)], {})
    assert figures["nodes"] == {ONE: 1}
    assert figures["best_slot"] == {ONE: 5}
    assert not figures["packages"]
    assert not figures["packages_stuck"]


def test_of_very_many_networks_the_largest_are_told() -> None:
    nodes = [node(number, f"0x{number:064x}") for number in range(50)]
    nodes += [node(50 + number, ONE) for number in range(2)]
    figures = told(nodes, {})
    assert len(figures["nodes"]) == MOST_NETWORKS
    assert figures["nodes"][ONE] == 2
