"""The summary of a run against the events of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from telemetry_twisted.jip3.node_information import decode_node_information
from telemetry_twisted.jip3.values import DecodeError, decode_event
from telemetry_twisted.simulator import Network, Node, Summary, messages, play

FOREVER = 1 << 62


def summary_of(network: Network) -> tuple[Summary, int]:
    """A run without connections, and how many bytes it made."""
    nodes = [Node(network, index) for index in range(network.nodes)]
    size = sum(len(node.advance(FOREVER)) for node in nodes)
    return Summary(network, 10.0, [(node.index, node.tally) for node in nodes]), size


@pytest.mark.parametrize(
    "network",
    [
        Network(nodes=8, seed=3, cores=20, rate=40, duration=40),
        Network(nodes=20, seed=3, cores=20, rate=900, events=111),
    ],
)
def test_the_summary_is_what_was_sent(network: Network) -> None:
    summary, size = summary_of(network)
    events = list(play(network))
    assert summary.events == len(events)
    assert summary.bytes == size
    assert summary.names() == Counter(event.name for event in events)
    assert summary.failures() == Counter(
        (event.name, event.fields["reason"]) for event in events if "reason" in event.fields
    )
    for name, times in (
        ("BestBlockChanged", summary.best()),
        ("FinalizedBlockChanged", summary.finalized()),
    ):
        expected: defaultdict[int, list[int]] = defaultdict(list)
        for event in events:
            if event.name == name:
                expected[event.fields["slot"]].append(event.time)
        assert times == expected
    counts = Counter(network.node_id(event.node) for event in events)
    assert summary.as_json()["node_events"] == counts


def test_the_json_holds_all_of_it() -> None:
    network = Network(nodes=4, seed=3, cores=20, rate=40, duration=20)
    summary, size = summary_of(network)
    figures = json.loads(json.dumps(summary.as_json()))
    assert figures["events"] == summary.events
    assert figures["bytes"] == size
    assert sum(figures["counts"].values()) == sum(figures["node_events"].values())
    assert sum(row["count"] for row in figures["failures"]) == sum(summary.failures().values())
    slots = figures["slots"].values()
    assert sum(len(slot["best"]) for slot in slots) == figures["counts"]["BestBlockChanged"]
    assert (
        sum(len(slot["finalized"]) for slot in slots) == figures["counts"]["FinalizedBlockChanged"]
    )


def test_each_connection_is_told_of() -> None:
    network = Network(nodes=3, seed=3, cores=20, rate=40, duration=60)
    summary, _ = summary_of(network)
    events = [event for event in play(network) if event.node == 1]
    sent = json.loads(json.dumps(summary.as_json()))["sent"][1]
    assert sent["node_id"] == network.node_id(1)
    assert sent["counts"] == Counter(event.name for event in events)
    assert sent["best"] == {
        str(event.fields["slot"]): event.time
        for event in events
        if event.name == "BestBlockChanged"
    }
    dropped = [event.fields["num"] for event in events if event.name == "Dropped"]
    assert Counter(sent["dropped"]) == Counter(events=sum(dropped), spans=len(dropped))
    assert sent["faults"] == []


def test_mistakes_are_counted_as_a_server_sees_them() -> None:
    network = Network(nodes=1, seed=3, cores=20, rate=40, duration=60, mistakes=5)
    node = Node(network, 0)
    delivered: Counter[str] = Counter()
    faults: Counter[tuple[str, int]] = Counter()
    (information,) = messages(node.information)
    cores = decode_node_information(information).cores

    def take(content: bytes) -> None:
        try:
            event = decode_event(content, cores)
        except DecodeError:
            faults["decode_error", content[8]] += 1
            return
        delivered[event.name] += 1
        if event.violations:
            faults["violation", content[8]] += 1

    for content in messages(node.advance(FOREVER)):
        take(content)
    assert len(faults) == 3
    assert node.tally.faults == faults
    assert node.tally.names() == delivered
    assert node.tally.events == sum(delivered.values())


def test_times_need_not_be_kept() -> None:
    node = Node(Network(nodes=1, cores=20, rate=10, duration=20), 0)
    node.tally.keeps_times = False
    node.advance(FOREVER)
    assert node.tally.names()["BestBlockChanged"] > 0
    assert not node.tally.best
    assert not node.tally.finalized


def test_the_text_adds_up() -> None:
    summary, _ = summary_of(Network(nodes=4, seed=3, cores=20, rate=40, duration=20))
    head, *rows = summary.as_text().splitlines()
    counts = [int(row.split()[0].replace(",", "")) for row in rows]
    assert head.startswith(f"{summary.events:,} events")
    assert sum(counts[:-1]) == summary.events
    assert counts[-1] == sum(summary.failures().values())


@pytest.mark.parametrize("gp", ["0.7", "0.8"])
@pytest.mark.parametrize("version", [0, 1])
def test_every_message_keeps_to_the_rules(gp: str, version: int) -> None:
    network = Network(nodes=2, seed=8, rate=300, duration=7, gp=gp, version=version)
    for index in range(2):
        node = Node(network, index)
        (content,) = messages(node.information)
        information = decode_node_information(content)
        assert not information.faults
        assert information.layout == f"gp-{gp}"
        assert information.version == version
        assert information.cores == network.cores
        assert information.node_id == network.node_id(index)
        for content in messages(node.advance(FOREVER)):
            assert not decode_event(content, network.cores, version).violations
