"""What is observed, added up as simply as can be, and what the database holds of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import LEAVES, NO_CORE
from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.sum_tables import KINDS, NETWORK_SUMS, OF_NODES, OF_PHASES
from telemetry_twisted.store.tallies import unpack_tally
from telemetry_twisted.store.write.listed import COSTS

Told = Counter[tuple[Any, ...]]
"""How much by what it is of, and by what it is."""

NETWORK_TALLIES = ("outcomes", "events", "withheld", "totals", "latencies")

BY_NODE = ("guarantors", "node_counts", "node_totals")

Query = Callable[[str], list[tuple[Any, ...]]]


def add_observations(
    truth: Told, observed: Observations, node_at: Callable[[int], tuple[str, str]]
) -> None:
    """Add what was observed; ``node_at`` tells the ID and the genesis hash of a handle's node."""

    def add(handle: int, name: str, what: int, count: int, core: int = NO_CORE) -> None:
        node, genesis = node_at(handle)
        truth["node", node, genesis, name, what] += count
        truth["network", genesis, name, what] += count
        if core != NO_CORE:
            truth["core", genesis, core, name, what] += count

    for handle, root, outcome, core, count in observed.outcomes:
        add(handle, "outcomes", root << 2 | outcome, count, core)
    for handle, latency, core, number, count, microseconds in observed.latencies:
        add(handle, "latencies", latency << 10 | number, count, core)
        add(handle, "totals", latency, microseconds, core)
        add(handle, "totals", latency | 128, count, core)
        node, genesis = node_at(handle)
        truth["latency", genesis, latency, "node_counts", node] += count
        truth["latency", genesis, latency, "node_totals", node] += microseconds
    for handle, what, count in observed.withheld:
        add(handle, "withheld", what, count)
    for handle, kind, core, count in observed.cores:
        node, genesis = node_at(handle)
        truth["network", genesis, "events", kind] += count
        truth["core", genesis, core, "events", kind] += count
        truth["type", genesis, kind, "core_counts", core] += count
        if kind == 105:
            truth["core", genesis, core, "guarantors", node] += count
    for network, phase, service, core, count, sums in observed.costs:
        genesis = f"0x{observed.networks[network].hex()}"
        listed = [count, *(sums[LEAVES[phase].index(name)] for name in COSTS)]
        for name, value in zip(OF_PHASES.sums, listed, strict=True):
            truth["phase", genesis, phase, name, service] += value
        for index, value in enumerate((count, *sums)):
            truth["service", genesis, service, "costs", phase << 8 | index] += value
            if core != NO_CORE:
                truth["core", genesis, core, "costs", phase << 8 | index] += value


def sums_in(query: Query) -> Told:
    """What the database holds: of networks in buckets of each width, which have to agree; of all
    else in buckets that are open, and in those of a day."""
    nodes: dict[int, str] = dict(query("SELECT node, node_id FROM nodes"))
    names: dict[str, dict[Any, Any]] = {
        "node": nodes,
        "network": dict(query("SELECT network, genesis FROM networks")),
    }
    by_width = []
    for table in NETWORK_SUMS.values():
        by_width.append(Counter[tuple[Any, ...]]())
        for number, *packed in query(f"{table.select('network', *NETWORK_TALLIES)}"):
            key = ("network", names["network"][number])
            _add_tallies(by_width[-1], key, zip(NETWORK_TALLIES, packed, strict=True), nodes)
    assert all(each == by_width[0] for each in by_width)
    told = by_width[0]
    for kind in KINDS:
        tallies = [name for name in kind.sums if name not in (kind.least, kind.greatest)]
        columns = ", ".join(f"s.{name}" for name in (*kind.key, *tallies))
        (subject,) = {*kind.key} - {"network"}
        for width, table in kind.tables.items():
            of_open = (
                f"JOIN sums_open o ON o.kind = {kind.number} AND o.width = {width} "
                "AND o.bucket = s.bucket AND o.run = s.run"
            )
            for first, second, *packed in query(
                f"SELECT {columns} FROM {table.name} s {of_open if width < DAY else ''}"
            ):
                of = zip(kind.key, (first, second), strict=True)
                named = [names[name][value] if name in names else value for name, value in of]
                _add_tallies(told, (subject, *named), zip(tallies, packed, strict=True), nodes)
    return told


def _add_tallies(
    told: Told,
    key: tuple[Any, ...],
    packed: Iterable[tuple[str, bytes]],
    nodes: Mapping[int, str],
) -> None:
    for name, tally in packed:
        for what, number in unpack_tally(bytes(tally)).items():
            of = (*key, name, nodes[what] if name in BY_NODE else what)
            told[of] += number


def clocks_in(query: Query) -> dict[str, tuple[int, int]]:
    """The bounds of each node's clock over all that is written."""
    ids: dict[int, str] = dict(query("SELECT node, node_id FROM nodes"))
    found: dict[str, tuple[int, int]] = {}
    for table in OF_NODES.tables.values():
        for node, least, greatest in query(
            f"SELECT node, clock_least, clock_greatest FROM {table.name} "
            "WHERE clock_least IS NOT NULL"
        ):
            before = found.get(ids[node], (least, greatest))
            found[ids[node]] = (min(before[0], least), max(before[1], greatest))
    return found
