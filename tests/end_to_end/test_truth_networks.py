"""Chains of connections that end in the middle: what was open is unfinished, all else counts once.

What a server has read of a connection that was cut is known from what a subscriber was sent of it;
and what that means, from a simulated node that sends as much again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from telemetry_twisted.simulator import Network, Node
from telemetry_twisted.simulator.account import Account
from telemetry_twisted.simulator.accounting import Accounting
from telemetry_twisted.simulator.records import Records
from tests.end_to_end.account import querying
from tests.end_to_end.conftest import await_true
from tests.end_to_end.truth import PATIENCE, Scene, scene
from tests.end_to_end.understood import Understood

SETTINGS: dict[str, Any] = {
    "nodes": 32,
    "cores": 10,
    "rate": 40,
    "events": 240,
    "clock_skew": 800,
    "forks": 0.4,
    "stuck": 0.2,
    "drops": 0.3,
}
OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]

Begun = tuple[int, int]
"""A connection: the index of the node, and when it began, in true microseconds of the era."""


def test_connections_that_are_cut(database_url: str, tmp_path: Path) -> None:
    told = tmp_path / "account.json"
    with scene(tmp_path / "server", database_url) as at, at.server.subscriber() as subscriber:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        simulation = at.simulate(
            *OPTIONS, "--mistakes=0", "--reconnect", "--cut-after=20", f"--account={told}", rate=40
        )
        lost = simulation.result()["connections"]["lost"]
        assert lost
        settle(at)
        total = at.events()
        subscriber.receive_until(lambda: len(subscriber.events) == total, PATIENCE)
        assert not at.lost()
        at.server.stop(seconds=PATIENCE)
    account = delivered(Account.load(told), subscriber.events)
    understood = Understood(querying(database_url), account)
    assert understood.wrong() == []


def test_ingestion_that_is_killed(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path / 'history'}"
    told = tmp_path / "account.json"
    with scene(tmp_path / "server", url) as at, at.server.subscriber() as subscriber:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        simulation = at.simulate(
            *OPTIONS, "--mistakes=0", "--reconnect", f"--account={told}", rate=40
        )
        at.await_events(5_000)
        at.kill(at.await_pid("ingestion"))
        assert simulation.result()["connections"]["lost"]
        settle(at)
        total = at.events()
        subscriber.receive_until(lambda: len(subscriber.events) == total, PATIENCE)
        lost = at.lost()
        at.server.stop(seconds=PATIENCE)
    sent = Account.load(told)
    cut = {each["node"] for each in sent.connections if not each["whole"]}
    account = delivered(sent, subscriber.events)
    expected, found = Understood(querying(url), account).both_sums()
    assert not found - expected
    missing = expected - found
    # What the process had found and not told went with it, and is said to have.
    nodes = {key[1] for key in missing if key[0] == "node"}
    assert nodes <= {account.node_id(node) for node in cut}
    chains = {key: count for key, count in missing.items() if key[::2] == ("network", "outcomes")}
    assert chains
    assert lost == {"chains": sum(chains.values())}


def settle(at: Scene) -> None:
    """Wait until all nodes have left, and all that came is counted."""
    await_true(lambda: at.get("/api/metrics/live")["nodes"] == 0, "all left", PATIENCE)
    await_true(lambda: at.stored() == at.events(), "all is counted", PATIENCE)


def delivered(sent: Account, events: Iterable[Mapping[str, Any]]) -> Account:
    """The account of what came of each connection, given the events of all of them."""
    network = Network(**SETTINGS, seed=sent.told["seed"], start=sent.told["start"])
    index = {network.node_id(node): node for node in range(network.nodes)}
    known = {(each["node"], each["began"]) for each in sent.connections}
    now: dict[int, Begun] = {}
    came: Counter[Begun] = Counter()
    for message in events:
        data = message["data"]
        node = index[data["node_id"]]
        if not data["event_id"]:
            ((_, fields),) = data["event"].items()
            now[node] = node, fields["timestamp"] - network.clock_offset(node)
            assert now[node] in known
        came[now[node]] += 1
    tallies = []
    for (node, began), count in came.items():
        again = Node(network, node, began, count)
        again.tally.accounting = Accounting(Records())
        again.advance(again.ends)
        assert again.tally.events == count
        tallies.append((node, again.tally))
    return Account.of(network, tallies)
