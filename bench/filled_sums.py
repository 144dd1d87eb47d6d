"""What a full network is observed to do: 341 cores with a work package in every slot, 1,024 nodes.

How often is as JIP-3 has it for such a network: each package goes to three guarantors, each
guarantee to all nodes, ten assurers ask for the shards of each report, all import every block.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial

from telemetry_twisted.jip3.bins import bin_of
from telemetry_twisted.jip3.observed import LEAVES
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.read.latencies import NUMBERS
from telemetry_twisted.store.schema.policy import DAY, HOUR, Policy
from telemetry_twisted.store.schema.sum_tables import (
    KINDS,
    MINUTE,
    NETWORK_SUMS,
    NETWORKS,
    OF_CORES,
    OF_EVENTS,
    OF_LATENCIES,
    OF_NODES,
    OF_PHASES,
    OF_SERVICES,
    SUMS_OPEN,
)
from telemetry_twisted.store.schema.table import BLOB, INTEGER, Table
from telemetry_twisted.store.tallies import (
    COUNT,
    Tally,
    cost_key,
    latency_key,
    number_key,
    outcome_key,
    pack_tally,
)

GENESIS = "0x" + 64 * "9"
CORES, SERVICES = 341, 300
TEMPLATES = 16
"""Different rows of each kind and width."""

STEP_ROWS = 200_000
"""Rows that are filled in one transaction, and those of the same bucket with the last."""

OF_NODE: Mapping[str, float] = {
    "connect_in": 0.1,
    "connect_out": 0.1,
    "verify": 10,
    "execute": 10,
    "import": 10,
    "tickets": 0.1,
    "authorize": 10,
    "imports": 10,
    "refine": 10,
    "report": 10,
    "guarantee": 3.3,
    "distribute": 3.3,
    "pipeline": 3.3,
    "share": 6.7,
    "guarantee_send": 100,
    "guarantee_receive": 3410,
    "shard_out": 33,
    "shard_in": 33,
    "shard_in_request": 33,
    "assurance": 10,
    "bundle_shard_out": 10,
    "bundle_shard_in": 10,
    "bundle_out": 1,
    "bundle_in": 1,
    "segment_shard_out": 10,
    "segment_shard_in": 10,
    "reconstruct_segments": 1,
    "segment_out": 3,
    "segment_in": 3,
    "preimage_out": 0.3,
    "preimage_in": 0.3,
}
"""How often a node does what is measured, in a minute."""

OF_CORE = {
    "authorize": 30,
    "imports": 30,
    "refine": 30,
    "report": 30,
    "guarantee": 10,
    "distribute": 10,
    "pipeline": 10,
    "share": 20,
    "guarantee_send": 300,
}
"""How often that belongs to a core, in a minute."""

STAGES = (94, 95, 96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 92, 93)
ROOTS = (21, 24, 43, 90, 91, 106, 110, 120, 121, 126, 140, 141, 162, 163, 173, 174)
CORE_ROOTS = (90, 91, 106)


def drawn(dice: random.Random, mean: float) -> int:
    """How often something happened that does so often on average."""
    return max(round(dice.gauss(mean, mean**0.5)), 0) if mean > 5 else int(mean + dice.random())


def latencies(
    dice: random.Random, often: Mapping[str, float], factor: float
) -> tuple[Tally, Tally]:
    """Histograms of what happened ``factor`` times as ``often``, and the sums."""
    bins: Tally = {}
    totals: Tally = {}
    for name, mean in often.items():
        number = NUMBERS[name]
        middle, spread = 8 + number % 7, 0.5
        for _ in range(min(count := drawn(dice, mean * factor), 2000)):
            time = int(dice.lognormvariate(middle, spread))
            key = latency_key(number, bin_of(time))
            # Of very many no more are drawn: each stands for several.
            bins[key] = bins.get(key, 0) + max(count // 2000, 1)
            totals[number] = totals.get(number, 0) + time * max(count // 2000, 1)
            seen = number_key(number)
            totals[seen] = totals.get(seen, 0) + max(count // 2000, 1)
    return bins, totals


def outcomes(dice: random.Random, roots: Sequence[int], mean: float) -> Tally:
    """How chains ended, of each of some roots ``mean`` times."""
    return {
        outcome_key(root, outcome): drawn(dice, mean * share)
        for root in roots
        for outcome, share in enumerate((0.95, 0.04, 0.01))
    }


def costs(dice: random.Random, phases: Sequence[int], mean: float) -> Tally:
    """What phases cost."""
    tally: Tally = {}
    for phase in phases:
        count = max(drawn(dice, mean), 1)
        tally[cost_key(phase, COUNT)] = count
        for index in range(1, len(LEAVES[phase]) + 1):
            tally[cost_key(phase, index)] = count * dice.randrange(10**5, 10**7)
    return tally


def _templates(dice: random.Random, kind: Table, width: int, nodes: int) -> list[list[bytes | int]]:
    """Rows of a table without their keys."""
    factor = width / 60
    made: list[list[bytes | int]] = []
    for _ in range(TEMPLATES):
        if kind is OF_SERVICES.tables.get(width):
            made.append([pack_tally(costs(dice, (0, 1, 2), 30 * factor))])
        elif kind is OF_CORES.tables.get(width):
            bins, totals = latencies(dice, OF_CORE, factor)
            guarantors = {
                dice.randrange(1, nodes + 1): 10 for _ in range(min(round(3 * factor), nodes))
            }
            made.append(
                [
                    pack_tally({kind: drawn(dice, 20 * factor) for kind in STAGES}),
                    pack_tally(outcomes(dice, CORE_ROOTS, 20 * factor)),
                    pack_tally(guarantors),
                    pack_tally(costs(dice, (0, 1), 30 * factor)),
                    pack_tally(totals),
                    pack_tally(bins),
                ]
            )
        elif kind is OF_NODES.tables.get(width):
            bins, totals = latencies(dice, OF_NODE, factor)
            least = dice.randrange(-5000, 5000)
            made.append(
                [
                    least,
                    least + dice.randrange(10**4, 10**6),
                    pack_tally(outcomes(dice, ROOTS, 20 * factor)),
                    pack_tally({2: drawn(dice, factor)}),
                    pack_tally(totals),
                    pack_tally(bins),
                ]
            )
        elif kind is OF_LATENCIES.tables.get(width):
            every = range(1, nodes + 1)
            counts = {node: drawn(dice, 10 * factor) for node in every}
            times = {node: count * dice.randrange(1000, 100_000) for node, count in counts.items()}
            made.append([pack_tally(counts), pack_tally(times)])
        elif kind is OF_EVENTS.tables.get(width):
            made.append([pack_tally({core: drawn(dice, 20 * factor) for core in range(CORES)})])
        elif kind is OF_PHASES.tables.get(width):
            every = range(1, SERVICES + 1)
            counts = {service: max(drawn(dice, 30 * factor), 1) for service in every}
            sums = [
                {service: count * dice.randrange(10**5, 10**7) for service, count in counts.items()}
                for _ in range(3)
            ]
            made.append([*map(pack_tally, (counts, *sums))])
        else:
            bins, totals = latencies(dice, OF_NODE, factor * nodes)
            made.append(
                [
                    pack_tally(outcomes(dice, ROOTS, 20 * factor * nodes)),
                    pack_tally({kind: drawn(dice, 6000 * factor) for kind in STAGES}),
                    pack_tally({2: drawn(dice, factor * nodes)}),
                    pack_tally(totals),
                    pack_tally(bins),
                ]
            )
    return made


async def fill_sums(database: Database, nodes: int, days: int, now: int) -> None:
    """Write ``days`` of what is observed, as far as each width is kept, up to ``now``."""
    dice = random.Random(5)
    seen = now * 1_000_000
    await database.transact(lambda t: t.upsert(NETWORKS, [(GENESIS, seen, seen)]))
    policy = Policy()
    things = {
        OF_NODES.number: (1, nodes),
        OF_CORES.number: (0, CORES - 1),
        OF_SERVICES.number: (1, SERVICES),
        OF_LATENCIES.number: (0, len(NUMBERS) - 1),
        OF_EVENTS.number: (min(STAGES), max(STAGES)),
        OF_PHASES.number: (0, len(LEAVES) - 1),
    }
    filled: list[tuple[Table, int, int, tuple[int, int], tuple[str, ...]]] = [
        (table, width, policy.network_sums[width], (1, 1), ("network",))
        for width, table in NETWORK_SUMS.items()
    ]
    filled += [
        (
            kind.tables[width],
            width,
            policy.sums[width],
            things[kind.number],
            tuple(kind.key),
        )
        for kind in KINDS
        for width in (MINUTE, HOUR, DAY)
    ]
    for table, width, kept, (first, last), key in filled:
        rows = _templates(dice, table, width, nodes)
        await database.transact(partial(_make_templates, table=table, rows=rows))
        step = max(STEP_ROWS // (last - first + 1), 1) * width
        begin = (now - min(kept, days * DAY)) // width * width
        for start in range(begin, now, step):
            await database.transact(
                partial(
                    _fill,
                    table=table,
                    width=width,
                    start=start,
                    end=min(start + step, now),
                    first=first,
                    last=last,
                    key=key,
                )
            )
    # The two newest minutes, and the hour before this one, are not part of wider buckets yet.
    await database.transact(
        lambda t: t.upsert(
            SUMS_OPEN,
            [
                ((now // width - back) * width, kind.number, width, 1)
                for kind in KINDS
                for width, backs in ((MINUTE, (1, 2)), (HOUR, (1,)))
                for back in backs
            ],
        )
    )


def _name(table: Table) -> str:
    return f"templates_{table.name}"


def _sums(table: Table) -> list[str]:
    return [name for name in table.columns if name not in table.key]


def _make_templates(
    transaction: Transaction, table: Table, rows: Sequence[Sequence[bytes | int]]
) -> None:
    columns = {name: table.columns[name] for name in _sums(table)}
    made = Table(_name(table), {"id": INTEGER, **columns}, ("id",))
    blob = "bytea" if type(transaction).__module__.endswith("postgresql") else "BLOB"
    types = {INTEGER: "bigint", BLOB: blob}
    told = ", ".join(f"{name} {types[kind]}" for name, kind in columns.items())
    transaction.execute(f"CREATE TABLE {made.name} (id bigint PRIMARY KEY, {told})")
    transaction.append(made, [(number, *row) for number, row in enumerate(rows)])


def _fill(
    transaction: Transaction,
    table: Table,
    width: int,
    start: int,
    end: int,
    first: int,
    last: int,
    key: tuple[str, ...],
) -> None:
    thing = {"network": "1"}
    selected = ", ".join(
        "n.thing" if name != "network" or len(key) == 1 else thing[name] for name in key
    )
    columns = ", ".join(f"t.{name}" for name in _sums(table))
    transaction.execute(
        f"INSERT INTO {table.name} "
        "WITH RECURSIVE b(bucket) AS (SELECT CAST(? AS bigint) UNION ALL "
        "SELECT bucket + ? FROM b WHERE bucket + ? < ?), "
        "n(thing) AS (SELECT CAST(? AS bigint) UNION ALL SELECT thing + 1 FROM n WHERE thing < ?) "
        f"SELECT bucket, {selected}, 1, {columns} FROM b CROSS JOIN n "
        f"JOIN {_name(table)} t ON t.id = (bucket / {width} + n.thing) % {TEMPLATES} "
        "ORDER BY bucket, n.thing",
        (start, width, width, end, first, last),
    )
