"""A plain, slow and obvious reading of what nodes sent, to hold the simulator's account to.

It looks at decoded events and at ``chains.json``, and at nothing that the simulator knows.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from attrs import Factory, define

from telemetry_twisted import jip3
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.simulator.play import NodeEvent

RULES = json.loads((resources.files(jip3) / "chains.json").read_text())
NAMES = {event.discriminator: event.name for event in TABLE.events.values()}
REFERENCES: Mapping[str, tuple[str, frozenset[str]]] = {
    row["name"]: (row["field"], frozenset(NAMES[each] for each in row["to"]))
    for row in RULES["references"].values()
}
ROOTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    row["name"]: (
        frozenset(NAMES[each] for each in row["success"]),
        frozenset(NAMES[each] for each in row["failure"]),
    )
    for row in RULES["roots"].values()
}
LATENCIES = [(row["name"], NAMES[row["from"]], NAMES[row["to"]]) for row in RULES["latencies"]]
STAGES = {
    "BlockAnnounced": "announced",
    "Authored": "authored",
    "Importing": "importing",
    "BlockVerified": "verified",
    "BlockExecuted": "executed",
    "BestBlockChanged": "best",
    "FinalizedBlockChanged": "finalized",
}
FETCHES = {
    "SendingShardRequest",
    "ReceivingShardRequest",
    "ReceivingBundleShardRequest",
    "ReceivingBundleRequest",
}


@define(eq=False)
class WalkedChain:
    """A chain: all its events, and the chain it is in."""

    root: NodeEvent
    parent: WalkedChain | None
    events: list[NodeEvent] = Factory(list)
    inner: list[WalkedChain] = Factory(list)

    @property
    def top(self) -> WalkedChain:
        return self.parent.top if self.parent else self

    @property
    def outcome(self) -> str:
        success, failure = ROOTS[self.root.name]
        for event in self.events:
            if event.name in success:
                return "success"
            if event.name in failure and not _only_known(self, event):
                return "failure"
        return "unfinished"

    @property
    def all_events(self) -> list[NodeEvent]:
        inner = [event for chain in self.inner for event in chain.all_events]
        return sorted([*self.events, *inner], key=lambda event: event.event_id)

    def first(self, *names: str) -> NodeEvent | None:
        return next((event for event in self.events if event.name in names), None)

    @property
    def naming(self) -> NodeEvent | None:
        """The event that says which package the outermost chain is about, and which core."""
        return self.top.first("WorkPackageReceived", "DuplicateWorkPackage")

    @property
    def core(self) -> int | None:
        return self.naming.fields["core"] if self.naming else None

    @property
    def block(self) -> str | None:
        outlined = self.first("Authored", "Importing")
        return outlined.fields["outline"]["hash"] if outlined else None


def _only_known(chain: WalkedChain, event: NodeEvent) -> bool:
    return chain.root.name == "WorkPackageBeingShared" and event.name == "DuplicateWorkPackage"


@define
class Walk:
    """All chains on one connection of a node, whose events were ``events``.

    ``wrong`` says which references break the rules; ``orphans`` are the events that refer to what
    was dropped, or to another of them that is no root.
    """

    events: list[NodeEvent]
    chains: list[WalkedChain] = Factory(list)
    of_event: dict[int, WalkedChain] = Factory(dict)
    wrong: list[str] = Factory(list)
    orphans: list[NodeEvent] = Factory(list)

    def __attrs_post_init__(self) -> None:
        known: dict[int, NodeEvent] = {}
        untold: set[int] = set()
        for event in self.events:
            known[event.event_id] = event
            parent = None
            if event.name == "Dropped":
                untold.update(range(event.event_id, event.event_id + event.fields["num"]))
            if event.name in REFERENCES:
                field, targets = REFERENCES[event.name]
                target = event.fields[field]
                if target in untold:
                    self.orphans.append(event)
                    if event.name not in ROOTS:
                        untold.add(event.event_id)
                        continue
                elif target >= event.event_id or target not in known:
                    self.wrong.append(f"{event} refers to no earlier event")
                    continue
                elif known[target].name not in targets:
                    self.wrong.append(f"{event} refers to {known[target]}")
                    continue
                parent = self.of_event.get(target)
                if parent and parent.outcome != "unfinished":
                    self.wrong.append(f"{event} refers to what has ended: {known[target]}")
            if event.name in ROOTS:
                chain = WalkedChain(event, parent)
                self.chains.append(chain)
                if parent:
                    parent.inner.append(chain)
            elif parent:
                chain = parent
            else:
                continue
            chain.events.append(event)
            self.of_event[event.event_id] = chain


def outcomes(walks: Iterable[Walk]) -> Counter[Any]:
    return Counter(
        (chain.root.name, chain.outcome, chain.core) for walk in walks for chain in walk.chains
    )


def latencies(walks: Iterable[Walk]) -> dict[Any, Counter[int]]:
    found: defaultdict[Any, Counter[int]] = defaultdict(Counter)
    for walk in walks:
        for chain in walk.chains:
            for name, begin, end in LATENCIES:
                for number, event in enumerate(chain.events):
                    begun = [each for each in chain.events[:number] if each.name == begin]
                    if event.name == end and begun:
                        core = chain.core if _is_after_core(chain, event) else None
                        found[name, core][event.time - begun[-1].time] += 1
    return dict(found)


def _is_after_core(chain: WalkedChain, event: NodeEvent) -> bool:
    return chain.naming is not None and chain.naming.event_id <= event.event_id


def cores(walks: Iterable[Walk]) -> Counter[Any]:
    return Counter(
        (chain.core, event.name)
        for walk in walks
        for chain in walk.chains
        for event in chain.events
        if _is_after_core(chain, event)
    ) + Counter(
        (event.fields["core"], event.name)
        for walk in walks
        for event in walk.orphans
        if "core" in event.fields
    )


def withheld(walks: Iterable[Walk]) -> Counter[tuple[int, str]]:
    """By node: orphans, and costs of which it is not known whose they are."""
    found: Counter[tuple[int, str]] = Counter()
    for walk in walks:
        for event in walk.orphans:
            found[event.node, "orphans"] += 1
        told = [(chain, event) for chain in walk.chains for event in chain.events]
        for chain, event in [*told, *((None, event) for event in walk.orphans)]:
            if chain is None or not chain.first("WorkPackageReceived"):
                found[event.node, "costs"] += event.name == "Authorized"
                found[event.node, "costs"] += len(event.fields.get("costs", ()))
    return +found


def costs(walks: Iterable[Walk]) -> dict[Any, tuple[int, dict[str, int]]]:
    counts: Counter[Any] = Counter()
    sums: defaultdict[Any, Counter[str]] = defaultdict(Counter)

    def add(key: Any, cost: Any) -> None:
        counts[key] += 1
        sums[key].update(dict(_leaves(cost, "")))

    for walk in walks:
        for chain in walk.chains:
            received = chain.first("WorkPackageReceived")
            items = received.fields["outline"]["work_items"] if received else []
            services = [item["service_id"] for item in items]
            for event in chain.events:
                if event.name == "Authorized" and services:
                    add(("authorize", services[0], chain.core), event.fields["cost"])
                elif event.name == "Refined" and services:
                    for service, cost in zip(services, event.fields["costs"], strict=True):
                        add(("refine", service, chain.core), cost)
                elif event.name == "BlockExecuted":
                    for service, cost in event.fields["accumulate_costs"]:
                        add(("accumulate", service, None), cost)
        for event in walk.orphans:
            for service, cost in event.fields.get("accumulate_costs", ()):
                add(("accumulate", service, None), cost)
    return {key: (counts[key], dict(sums[key])) for key in counts}


def _leaves(value: Any, path: str) -> Iterable[tuple[str, int]]:
    if isinstance(value, int):
        return [(path, value)]
    return [
        leaf
        for name, inner in value.items()
        for leaf in _leaves(inner, f"{path}.{name}" if path else name)
    ]


def journeys(walks: Iterable[Walk]) -> dict[str, list[tuple[int, int, int, str]]]:
    """By work-package hash, the events as time, node, ID and name."""
    found: defaultdict[str, list[tuple[int, int, int, str]]] = defaultdict(list)
    for walk in walks:
        for chain in walk.chains:
            naming = chain.naming
            if chain.parent or not naming:
                continue
            of_outline = naming.fields.get("outline", {}).get("work_package_hash")
            found[of_outline or naming.fields["hash"]] += [
                (event.time, event.node, event.event_id, event.name) for event in chain.all_events
            ]
    return {package: sorted(events) for package, events in found.items()}


def stages(walks: Iterable[Walk]) -> dict[tuple[str, str, int], int]:
    """When each node first told of a stage of a block: by hash, stage and node."""
    found: dict[tuple[str, str, int], int] = {}
    for walk in walks:
        for event in walk.events:
            if event.name in STAGES:
                chain = walk.of_event.get(event.event_id)
                block = chain.block if chain else event.fields.get("hash")
                if block is None:
                    assert event in walk.orphans or walk.orphans
                    continue
                key = block, STAGES[event.name], event.node
                found[key] = min(event.time, found.get(key, event.time))
    return found


def guarantees(walks: Iterable[Walk], name: str) -> Counter[tuple[str, int, int]]:
    """By report, node and time: those that were built, received or discarded."""
    return Counter(
        (event.fields["outline"]["work_report_hash"], event.node, event.time)
        for walk in walks
        for event in walk.events
        if event.name == name and (name != "GuaranteeBuilt" or event.event_id in walk.of_event)
    )


def begun(walks: Iterable[Walk]) -> Counter[tuple[str, int, int]]:
    """By anchor, node and time: assurances that were begun."""
    return Counter(
        (event.fields["statement"]["anchor"], event.node, event.time)
        for walk in walks
        for event in walk.events
        if event.name == "DistributingAssurance"
    )


def assured(walks: Iterable[Walk]) -> Counter[tuple[str, str, int, int]]:
    """By anchor, sender, node and time: assurances that were received."""
    return Counter(
        (event.fields["anchor"], event.fields["sender"], event.node, event.time)
        for walk in walks
        for event in walk.events
        if event.name == "AssuranceReceived"
    )


def fetches(walks: Iterable[Walk]) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """By root and erasure root: how many succeeded and failed, how long in all and at most."""
    found: dict[tuple[str, str], tuple[int, int, int, int]] = {}
    for walk in walks:
        for chain in walk.chains:
            told = [e.fields["erasure_root"] for e in chain.events if "erasure_root" in e.fields]
            if chain.root.name not in FETCHES or not told or chain.outcome == "unfinished":
                continue
            key = chain.root.name, told[0]
            succeeded, failed, total, greatest = found.get(key, (0, 0, 0, 0))
            if chain.outcome == "success":
                took = chain.events[-1].time - chain.root.time
                found[key] = succeeded + 1, failed, total + took, max(greatest, took)
            else:
                found[key] = succeeded, failed + 1, total, greatest
    return found
