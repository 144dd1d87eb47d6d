"""What the API answers about chains and work, held to the simulator's account."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.network.journey import STAGES
from telemetry_twisted.simulator.account import Account
from telemetry_twisted.store.reports import nearest_rank
from tests.end_to_end.account import differences
from tests.end_to_end.truth import Scene
from tests.end_to_end.understood import NAMES, ending

LEFT_OUT = ("time_backwards", "orphans", "sightings", "rows", "costs")
SHARES = {"p50_ms": 0.5, "p75_ms": 0.75, "p95_ms": 0.95, "p99_ms": 0.99, "p100_ms": 1.0}
EXACT = 0.05
"""How far a percentile may be off, as the API says."""


def answers(at: Scene, account: Account) -> list[str]:
    """Where the API answers otherwise than the account."""
    chains = at.get("/api/chains?from=-1h")
    left_out = dict.fromkeys(LEFT_OUT, 0)
    for (_, what), count in account.withheld().items():
        left_out[what] += count
    wrong = differences("left out", left_out, chains["left_out"])
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
    for asked in (latencies, cores, services, funnel, work_packages):
        wrong += asked(at, account)
    return wrong


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


def funnel(at: Scene, account: Account) -> list[str]:
    """Events of each stage of work, on whatever core."""
    expected: Counter[str] = Counter()
    for (_, event), count in account.cores().items():
        expected[event] += count
    answered = at.get("/api/funnel?from=-1h")["stages"]
    found = {NAMES[stage["event_type"]]: stage["total"] for stage in answered}
    return differences("/api/funnel", {name: expected[name] for name in found}, found)


def work_packages(at: Scene, account: Account) -> list[str]:
    """How far packages came and how they ended: all together, and each that has a hash."""
    expected: Counter[str] = Counter()
    known: dict[str, Any] = {}
    for package in (*account.journeys().values(), *account.nameless()):
        events = {event.name for event in package.events}
        reached = [stage for kind, stage in STAGES.items() if NAMES[kind] in events]
        ended = ending(package)
        expected.update({"packages": 1, ended: 1})
        expected.update(stage for stage in reached if stage != "distributed")
        if package.package:
            known[package.package] = ended, reached, len(package.outcomes), len(package.events)
    path = "/api/work-packages?from=-1h&limit=500"
    answered = at.get(path)["funnel"]
    found = {name: count for name, count in answered.items() if isinstance(count, int)}
    assert found.pop("complete")
    rows = {
        row["work_package"]: (row["outcome"], row["stages"], row["guarantors"], row["events"])
        for row in at.pages(path, "work_packages")
        if row["work_package"]
    }
    return differences("funnel", expected, found) + differences(path, known, rows)
