"""Followers of chains against the simulator's account: what they find is what was meant."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.following import DROPPED, Follower
from telemetry_twisted.jip3.gathering import PythonGatherer
from telemetry_twisted.jip3.moment import COMMON_ERA, Moment
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import (
    LEAVES,
    NO_CORE,
    Assurance,
    Fetch,
    Outcome,
    Phase,
    Withheld,
)
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.simulator import Network, Node, messages
from telemetry_twisted.simulator.account import Account, Cost
from telemetry_twisted.simulator.accounting import Accounting
from telemetry_twisted.simulator.blockchain import SECOND
from telemetry_twisted.simulator.records import Records

NETWORKS: list[dict[str, Any]] = [
    {"nodes": 12, "cores": 4, "seed": 3, "rate": 40, "duration": 20, "stuck": 0.3, "forks": 0.5},
    {"nodes": 2, "cores": 20, "seed": 4, "rate": 500, "duration": 4},
    {"nodes": 6, "cores": 2, "seed": 5, "rate": 100, "events": 555, "clock_skew": 900},
    {"nodes": 12, "cores": 4, "seed": 7, "rate": 60, "duration": 30, "drops": 1, "stuck": 0.2},
]


class Followed:
    """A network that was followed second by second, and its account."""

    def __init__(self, settings: dict[str, Any]) -> None:
        network = Network(**settings)
        gatherer = PythonGatherer()
        self.nodes = [Node(network, index) for index in range(network.nodes)]
        followers = [Follower(gatherer, index, 0, network.cores) for index in range(network.nodes)]
        ids = [0] * network.nodes
        self.wrong: list[str] = []
        self.found: list[Observations] = []
        now = network.start
        while any(not node.finished for node in self.nodes):
            now += SECOND
            moment = Moment(b"", second=now // SECOND, arrived=COMMON_ERA + now)
            for node, follower in zip(self.nodes, followers, strict=True):
                if node.tally.accounting is None:
                    node.tally.accounting = Accounting(Records())
                follower.begin(moment)
                for content in messages(node.advance(now)):
                    used = int.from_bytes(content[17:25], "little") if content[8] == DROPPED else 1
                    wrong = follower.follow(content, ids[node.index], used)
                    ids[node.index] += used
                    self.wrong += [wrong] if wrong else []
            self._take(gatherer, now)
        for follower in followers:
            follower.end()
        self._take(gatherer, now)
        self.account = Account.of(network, [(node.index, node.tally) for node in self.nodes])

    def _take(self, gatherer: PythonGatherer, now: int) -> None:
        body = gatherer.take(now - SECOND, now, now // SECOND, [bytes(32)])
        if body:
            self.found.append(Observations.decode(body))


@pytest.fixture(scope="module", params=range(len(NETWORKS)))
def followed(request: pytest.FixtureRequest) -> Followed:
    return Followed(NETWORKS[request.param])


def core_of(core: int) -> int | None:
    return None if core == NO_CORE else core


def test_no_reference_breaks_a_rule(followed: Followed) -> None:
    assert followed.wrong == []


def test_what_is_withheld_is_what_was_dropped(followed: Followed) -> None:
    found: Counter[Any] = Counter()
    for each in followed.found:
        for handle, what, count in each.withheld:
            if what != Withheld.SIGHTINGS:
                found[handle, Withheld(what).name.lower()] += count
    assert found == followed.account.withheld()


def test_outcomes_are_those_that_were_meant(followed: Followed) -> None:
    found: Counter[Any] = Counter()
    for each in followed.found:
        for _, root, outcome, core, times in each.outcomes:
            name = CHAINS.roots[root].name
            found[name, Outcome(outcome).name.lower(), core_of(core)] += times
    assert found == followed.account.outcomes()


def test_latencies_are_those_that_were_meant(followed: Followed) -> None:
    found: Counter[Any] = Counter()
    sums: Counter[Any] = Counter()
    for each in followed.found:
        for _, latency, on, number, times, microseconds in each.latencies:
            name = CHAINS.latencies[latency].name
            found[name, core_of(on), number] += times
            sums[name, core_of(on)] += microseconds
    expected: Counter[Any] = Counter()
    expected_sums: Counter[Any] = Counter()
    for (name, core), durations in followed.account.latencies().items():
        for duration, count in durations.items():
            expected[name, core, bin_of(duration)] += count
            expected_sums[name, core] += duration * count
    assert found == expected
    assert sums == expected_sums


def test_events_by_core_are_those_that_were_meant(followed: Followed) -> None:
    found: Counter[Any] = Counter()
    for each in followed.found:
        for _, kind, core, times in each.cores:
            found[core, TABLE.events[kind].name] += times
    assert found == followed.account.cores()


def test_costs_are_those_that_were_meant(followed: Followed) -> None:
    times: Counter[Any] = Counter()
    sums: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for each in followed.found:
        for row in each.costs:
            phase = Phase(row.phase)
            key = phase.name.lower(), row.service, core_of(row.core)
            times[key] += row.times
            sums[key].update(dict(zip(LEAVES[phase], row.sums, strict=True)))
    found = {key: Cost(times[key], dict(sums[key])) for key in times}
    assert found == followed.account.costs()


def test_fetches_are_those_that_were_meant(followed: Followed) -> None:
    found: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for each in followed.found:
        for row in map(Fetch._make, each.fetches):
            name = CHAINS.roots[row.root].name
            known = found[name, f"0x{row.erasure_root.hex()}"]
            known[:] = [
                known[0] + row.succeeded,
                known[1] + row.failed,
                known[2] + row.sum,
                max(known[3], row.greatest),
            ]
    assert {key: tuple(row) for key, row in found.items()} == followed.account.fetches()


def test_receipts_of_assurances_are_those_that_were_meant(followed: Followed) -> None:
    found = Counter(
        (f"0x{row.anchor.hex()}", row.sender.hex(), handle, time)
        for each in followed.found
        for row in map(Assurance._make, each.assurances)
        for handle, time in row.receipts
    )
    expected = Counter(
        (each.anchor, followed.account.node_id(each.sender), node, COMMON_ERA + time)
        for each in followed.account.assurances().values()
        for node, time in each.received
    )
    assert found == expected
