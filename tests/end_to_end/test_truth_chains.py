"""What history says of chains and of the network is what its nodes meant, at all sizes.

Nodes' clocks are off, slots have two blocks, work packages get stuck, nodes drop events and make
mistakes, and begin anew in the middle. The simulator knows what it meant by each event: its account
is held to the database, to the event and to the microsecond, and to what the API answers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.codec import CodecUnavailable, load_codec
from telemetry_twisted.simulator.account import Account
from telemetry_twisted.store.reports import nearest_rank
from tests.end_to_end.account import differences, querying
from tests.end_to_end.conftest import await_true
from tests.end_to_end.truth import PATIENCE, Scene, scene
from tests.end_to_end.understood import Understood

LEFT_OUT = ("time_backwards", "orphans", "sightings", "rows", "costs")
SHARES = {"p50_ms": 0.5, "p75_ms": 0.75, "p95_ms": 0.95, "p99_ms": 0.99, "p100_ms": 1.0}
EXACT = 0.05
"""How far a percentile may be off, as the API says."""


@frozen
class Size:
    """A network: its nodes and cores, how often each node connects, and how it sends then."""

    nodes: int
    cores: int
    times: int
    rate: int
    events: int

    def __str__(self) -> str:
        return f"{self.nodes} nodes"


SMALL = Size(16, 5, times=2, rate=60, events=600)
MEDIUM = Size(128, 42, times=2, rate=25, events=250)
FULL = Size(1024, 341, times=1, rate=12, events=180)


@pytest.mark.parametrize(
    ("size", "codec", "database"),
    [
        (SMALL, "python", "sqlite"),
        (SMALL, "compiled", "postgresql"),
        (MEDIUM, "python", "postgresql"),
        (MEDIUM, "compiled", "sqlite"),
        (FULL, "auto", "sqlite"),
    ],
    ids=str,
)
def test_history_says_what_nodes_meant(
    request: pytest.FixtureRequest, tmp_path: Path, size: Size, codec: str, database: str
) -> None:
    if codec == "compiled" and not is_built():
        codec = "python"  # what is left to hold is the other database
    url = f"sqlite:{tmp_path / 'history'}"
    if database == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    told = tmp_path / "account.json"
    with scene(tmp_path / "server", url, f"--codec={codec}") as at:
        await_true(lambda: at.stored() == 0, "the store is there", PATIENCE)
        simulation = at.simulate(
            f"--nodes={size.nodes}",
            f"--cores={size.cores}",
            f"--events={size.events}",
            f"--times={size.times}",
            *("--clock-skew=800", "--forks=0.4", "--stuck=0.2", "--drops=0.2"),
            f"--account={told}",
            rate=size.rate,
        )
        sent = simulation.sent()
        assert sent.dropped
        assert sent.faults
        await_true(lambda: at.get("/api/metrics/live")["nodes"] == 0, "all left", PATIENCE)
        await_true(lambda: at.stored() == sent.events, "all is counted", PATIENCE)
        account = Account.load(told)
        assert answers(at, account) == []
        assert not at.lost()
        at.server.stop(seconds=PATIENCE)
    assert len(account.connections) == size.nodes * size.times
    query = querying(url)
    assert not query("SELECT 1 FROM journeys WHERE closed IS NULL")
    understood = Understood(query, account)
    # Nothing was too much to be told, so nothing may be missing.
    assert not understood.withheld()
    assert not understood.left_out()
    assert understood.wrong() == []


def is_built() -> bool:
    """Whether there is a compiled codec."""
    try:
        load_codec("compiled")
    except CodecUnavailable:
        return False
    return True


def answers(at: Scene, account: Account) -> list[str]:
    """Where the API answers otherwise than the account."""
    chains = at.get("/api/chains?from=-1h")
    wrong = differences("left out", dict.fromkeys(LEFT_OUT, 0), chains["left_out"])
    outcomes: Counter[Any] = Counter()
    for (root, outcome, _), count in account.outcomes().items():
        outcomes[root, outcome] += count
    wrong += differences(
        "/api/chains",
        outcomes,
        {
            (row["name"], outcome): row[outcome]
            for row in chains["chains"]
            for outcome in ("success", "failure", "unfinished", "forgotten")
        },
    )
    return wrong + latencies(at, account) + cores(at, account) + services(at, account)


def latencies(at: Scene, account: Account) -> list[str]:
    """Counts and means are exact, percentiles nearly."""
    durations: defaultdict[str, list[int]] = defaultdict(list)
    for (name, _), times in account.latencies().items():
        durations[name] += Counter(times).elements()
    answered = {row["name"]: row for row in at.get("/api/latencies?from=-1h")["latencies"]}
    assert answered.keys() >= durations.keys()
    assert answered.keys() <= {latency.name for latency in CHAINS.latencies}
    wrong = []
    for name, row in answered.items():
        took = sorted(durations[name])
        mean = round(sum(took) / len(took) / 1000, 3) if took else None
        if (row["count"], row["mean_ms"]) != (len(took), mean):
            wrong.append(f"{name}: {row} found, {len(took)} of {mean} ms expected")
        for share_name, share in SHARES.items() if took else ():
            exact = nearest_rank(took, share) / 1000
            if abs(row[share_name] - exact) > max(EXACT * exact, 0.001):
                wrong.append(f"{name} {share_name}: {row[share_name]} found, {exact} expected")
    return wrong


def cores(at: Scene, account: Account) -> list[str]:
    """Work on each core, in events."""
    names = {
        "work_packages": "WorkPackageReceived",
        "reports": "WorkReportBuilt",
        "guarantees": "GuaranteeBuilt",
        "distributed": "GuaranteesDistributed",
        "failed": "WorkPackageFailed",
        "duplicates": "DuplicateWorkPackage",
    }
    events = account.cores()
    expected = {
        (core, name): events[core, event]
        for core in {core for core, _ in events}
        for name, event in names.items()
    }
    found = {
        (row["core"], name): row[name]
        for row in at.pages("/api/cores?from=-1h&limit=100", "cores")
        for name in names
    }
    return differences("/api/cores", expected, found)


def services(at: Scene, account: Account) -> list[str]:
    """What each service cost, in gas and time."""
    parts = {
        "gas_used": "total.gas_used",
        "elapsed_ns": "total.elapsed_ns",
        "load_ns": "load_ns",
    }
    expected: Counter[Any] = Counter()
    for (phase, service, _), cost in account.costs().items():
        expected[service, phase, "count"] += cost.told
        for part, leaf in parts.items():
            expected[service, phase, part] += cost.leaves[leaf]
    found = {
        (row["service"], phase, part): row[phase][part]
        for row in at.pages("/api/services?from=-1h&limit=100", "services")
        for phase in ("authorize", "refine", "accumulate")
        for part in ("count", *parts)
    }
    return differences("/api/services", expected, found)
