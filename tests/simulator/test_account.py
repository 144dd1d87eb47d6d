"""The simulator's account against a plain reading of what its nodes sent."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any

import pytest

from telemetry_twisted.simulator import Network, Node
from telemetry_twisted.simulator.account import Account, SpreadBlock
from telemetry_twisted.simulator.accounting import Accounting
from telemetry_twisted.simulator.blockchain import SECOND
from telemetry_twisted.simulator.play import events_of
from telemetry_twisted.simulator.records import Records
from tests.simulator import walk
from tests.simulator.walk import Walk

FOREVER = 1 << 62

SKEW = 400
NETWORKS: dict[str, dict[str, Any]] = {
    "work": {"nodes": 12, "cores": 4, "seed": 3, "rate": 40, "duration": 15},
    "traffic": {"nodes": 2, "cores": 20, "seed": 4, "rate": 500, "duration": 4, "version": 1},
    "trouble": {
        "nodes": 8,
        "cores": 3,
        "seed": 6,
        "rate": 40,
        "duration": 30,
        "clock_skew": SKEW,
        "forks": 0.5,
        "stuck": 0.4,
    },
    "gaps": {"nodes": 12, "cores": 4, "seed": 7, "rate": 60, "duration": 30, "drops": 1},
    "cut short": {"nodes": 9, "cores": 3, "seed": 5, "rate": 200, "events": 333},
}


def nodes_of(network: Network) -> list[Node]:
    """The nodes of a network; the last of them connects twice."""
    nodes = [Node(network, index) for index in range(network.nodes)]
    again = Node(network, network.nodes - 1, network.start + 2 * SECOND)
    return [*nodes, again]


class Run:
    """A network that has run, its account, and what a plain reading finds."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.network = Network(**settings)
        nodes = nodes_of(self.network)
        for node in nodes:
            node.tally.accounting = Accounting(Records())
            node.advance(FOREVER)
        self.account = Account.of(self.network, [(node.index, node.tally) for node in nodes])

    @cached_property
    def walks(self) -> list[Walk]:
        return [Walk(list(events_of(node))) for node in nodes_of(self.network)]


RUNS: dict[str, Run] = {}


@pytest.fixture(params=NETWORKS)
def run(request: pytest.FixtureRequest) -> Run:
    if request.param not in RUNS:
        RUNS[request.param] = Run(NETWORKS[request.param])
    return RUNS[request.param]


def test_every_reference_is_to_an_open_event_of_the_right_type(run: Run) -> None:
    assert [wrong for each in run.walks for wrong in each.wrong] == []


def test_chains_end_as_the_account_says(run: Run) -> None:
    expected = walk.outcomes(run.walks)
    assert expected
    assert run.account.outcomes() == expected


def test_latencies_are_exact(run: Run) -> None:
    assert run.account.latencies() == walk.latencies(run.walks)


def test_events_count_for_their_core(run: Run) -> None:
    assert run.account.cores() == walk.cores(run.walks)


def test_what_refers_to_what_was_dropped_is_told(run: Run) -> None:
    assert run.account.withheld() == walk.withheld(run.walks)


def test_costs_are_summed(run: Run) -> None:
    expected = walk.costs(run.walks)
    assert expected
    assert run.account.costs() == expected


def test_journeys_hold_every_event(run: Run) -> None:
    journeys = run.account.journeys()
    found = {
        package: sorted((e.time, e.node, e.event_id, e.name) for e in journey.events)
        for package, journey in journeys.items()
    }
    assert found == walk.journeys(run.walks)
    for journey in journeys.values():
        assert {event.node for event in journey.events} <= {*journey.guarantors}
        assert set(journey.outcomes.values()) <= {"success", "failure", "unfinished"}


def test_blocks_spread_as_the_account_says(run: Run) -> None:
    blocks = run.account.blocks()
    found = {
        (block.hash, stage, node): time
        for block in blocks.values()
        for stage, nodes in block.stages.items()
        for node, time in nodes.items()
    }
    expected = walk.stages(run.walks)
    before = {key[0] for key in expected} - blocks.keys()
    assert found == {key: time for key, time in expected.items() if key[0] not in before}
    assert len(before) < 4, "blocks from before the nodes began"


def test_guarantees_are_told(run: Run) -> None:
    guarantees = run.account.guarantees()
    built = Counter((g.report, *each) for g in guarantees.values() for each in g.built)
    received = Counter((g.report, *each) for g in guarantees.values() for each in g.received)
    discarded = Counter(
        (g.report, node, time) for g in guarantees.values() for node, _, time in g.discarded
    )
    assert built == walk.guarantees(run.walks, "GuaranteeBuilt")
    assert received == walk.guarantees(run.walks, "GuaranteeReceived")
    assert discarded == walk.guarantees(run.walks, "GuaranteeDiscarded")


def test_assurances_are_told(run: Run) -> None:
    assurances = run.account.assurances()
    begun = Counter((a.anchor, a.sender, time) for a in assurances.values() for time in a.begun)
    received = Counter(
        (a.anchor, f"0x{run.account.node_id(a.sender)}", node, time)
        for a in assurances.values()
        for node, time in a.received
    )
    assert begun == walk.begun(run.walks)
    assert received == walk.assured(run.walks)


def test_fetches_are_told(run: Run) -> None:
    assert run.account.fetches() == walk.fetches(run.walks)


def trouble() -> Account:
    run = RUNS.setdefault("trouble", Run(NETWORKS["trouble"]))
    return run.account


def test_each_clock_is_off_by_what_the_account_says() -> None:
    account = trouble()
    settings = {**NETWORKS["trouble"], "clock_skew": 0}
    offsets = {account.clock_offset(node) for node in range(settings["nodes"])}
    assert len(offsets) == settings["nodes"]
    assert all(abs(offset) <= SKEW * 1_000 for offset in offsets)
    right = Run(settings).account
    for block, spread in right.blocks().items():
        for stage, nodes in spread.stages.items():
            assert account.blocks()[block].stages[stage] == {
                node: time + account.clock_offset(node) for node, time in nodes.items()
            }
    assert account.latencies() == right.latencies()
    assert account.outcomes() == right.outcomes()


def test_nodes_are_on_either_side_of_a_fork_and_import_both_blocks() -> None:
    slots: dict[int, list[SpreadBlock]] = {}
    for block in trouble().blocks().values():
        slots.setdefault(block.slot, []).append(block)
    forked = [blocks for slot, blocks in sorted(slots.items()) if len(blocks) == 2]
    assert len(forked) > 1
    for one, other in forked[:-1]:
        assert one.author != other.author
        sides = one.stages["best"].keys(), other.stages["best"].keys()
        assert all(sides)
        assert not sides[0] & sides[1]
        assert one.stages["executed"].keys() == other.stages["executed"].keys()


def test_stuck_packages_and_missed_slots_are_told() -> None:
    account = trouble()
    stuck = [journey for journey in account.journeys().values() if journey.fate == "stuck"]
    assert stuck
    for journey in stuck:
        assert set(journey.outcomes.values()) == {"unfinished"}
        assert all(event.name != "GuaranteeBuilt" for event in journey.events)
    assert all(not account.told["slots"][str(slot)]["blocks"] for slot in account.missed_slots())
    quiet = {**NETWORKS["trouble"], "nodes": 1, "seed": 2, "rate": 3, "duration": 36}
    assert [slot - 100_800 for slot in Run(quiet).account.missed_slots()] == [2, 5]


def test_what_is_received_was_sent_before() -> None:
    account = Run({"nodes": 12, "cores": 4, "seed": 8, "rate": 60, "duration": 24}).account
    both = [a for a in account.assurances().values() if a.begun and a.received]
    assert len(both) > 30
    assert all(min(time for _, time in a.received) > min(a.begun) for a in both)
    guarantees = [g for g in account.guarantees().values() if g.built and g.received]
    assert len(guarantees) > 8
    assert all(min(g.received, key=lambda each: each[1])[1] > g.built[0][1] for g in guarantees)
