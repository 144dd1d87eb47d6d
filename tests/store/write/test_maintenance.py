"""What is done now and then: what is kept no longer goes, a little at a time, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ujson
from pytest_twisted import ensureDeferred

from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.reports import Report, pack_reports, spread_of
from telemetry_twisted.store.schema.network_tables import ANCHORS, NETWORK_SLOTS, THINGS
from telemetry_twisted.store.schema.policy import DAY, HOUR, Policy
from telemetry_twisted.store.schema.raw_tables import RAW_BATCHES
from telemetry_twisted.store.schema.table import INTEGER, Table
from telemetry_twisted.store.schema.tables import (
    CONNECTIONS,
    COUNTS,
    LATEST,
    NODES,
    RUNS,
    SLOTS,
    TABLES,
)
from telemetry_twisted.store.write import limits as limits_module
from telemetry_twisted.store.write import maintenance
from telemetry_twisted.store.write.limits import limits
from telemetry_twisted.store.write.maintenance import DEAD_SECONDS, Maintenance
from tests.store.conftest import NOW

MICROS = 1_000_000
YEAR = 365 * DAY
OWN_RUN = 1_000_000
Make = Callable[..., Any]


async def do_all(database: Database, now: int, policy: Policy | None = None) -> int:
    """A whole round; return how many steps it took."""
    kept = Maintenance(database, policy or Policy())
    steps = 1
    while not await kept.step(now, OWN_RUN):
        steps += 1
    return steps


async def insert(database: Database, table: Any, rows: list[tuple[Any, ...]]) -> None:
    await database.transact(lambda transaction: transaction.upsert(table, rows))


async def begin_run(database: Database, row: tuple[Any, ...]) -> int:
    def begin(transaction: Transaction) -> int:
        return transaction.insert(RUNS, row)

    return await database.transact(begin)


async def number_of(database: Database, table: str) -> int:
    ((number,),) = await database.query(f"SELECT count(*) FROM {table}")
    return int(number)


def slot_row(slot: int, first: int) -> tuple[Any, ...]:
    reports = [Report(node, node * 1000, 0) for node in range(1, 4)]
    found = spread_of([(first + r.delay, "0x" + 64 * "a") for r in reports], first)
    told = (found.nodes, first, *found.delays, found.off_clock, ujson.dumps(found.blocks))
    return (11, slot, 1, *told, found.histogram, pack_reports(reports))


@pytest.mark.parametrize("kept", [HOUR, 30 * DAY])
@ensureDeferred
async def test_windows_that_are_over_never_shrink(database: Database, kept: int) -> None:
    await database.open()
    begin = NOW - NOW % HOUR
    policy = Policy(slots=kept)
    await insert(database, SLOTS, [slot_row(n, (begin + 100 + 6 * n) * MICROS) for n in range(500)])
    for minutes in range(55, 6 * 60, 30):
        await do_all(database, begin + minutes * 60, policy)
        windows = await database.query("SELECT slots FROM spreads WHERE width = 3600")
        assert windows == [(500,)]
    if kept == HOUR:
        assert await number_of(database, "slots") == 0


@ensureDeferred
async def test_windows_whose_slots_are_gone_already_stay(database: Database) -> None:
    await database.open()
    begin = NOW - NOW % HOUR
    rows = [slot_row(n, (begin + 100 + 6 * n) * MICROS) for n in range(500)]
    await insert(database, SLOTS, rows)
    await do_all(database, begin + HOUR)
    await database.transact(lambda t: t.execute("DELETE FROM slots WHERE slot < 300"))
    await do_all(database, begin + HOUR + 60)
    assert await database.query("SELECT slots FROM spreads WHERE width = 3600") == [(500,)]


def thing_row(table: Table, first: int) -> tuple[Any, ...]:
    """A row of what is understood of networks that is over since ``first`` (seconds)."""
    at = first * MICROS
    known = {"first": at, "last": at, "closed": at, "network": 1, "run": 1, "detail": b"x"}
    key = {table.key[1]: first if table is NETWORK_SLOTS else first.to_bytes(32, "big")}
    return tuple({**known, **key}.get(column) for column in table.written)


@ensureDeferred
async def test_what_networks_did_is_kept_so_long_and_that_of_single_nodes_less(
    database: Database,
) -> None:
    await database.open()
    policy = Policy(slots=10 * DAY, states=DAY)
    for table in THINGS:
        rows = [thing_row(table, NOW - age) for age in (100, 2 * DAY, 9 * DAY, 11 * DAY)]
        await insert(database, table, rows)
    await do_all(database, NOW, policy)
    for table in THINGS:
        assert await number_of(database, table.name) == 3
        details = await database.query(f"SELECT count(detail) FROM {table.name}")
        assert details == [(1 if table in (NETWORK_SLOTS, ANCHORS) else 3,)]


@ensureDeferred
async def test_what_a_dead_server_was_in_the_midst_of_is_over(database: Database) -> None:
    await database.open()
    dead = await begin_run(database, (NOW * MICROS, NOW * MICROS, None, "gone", 0, 0, 0, 0))
    for table in THINGS:
        row = dict(zip(table.written, thing_row(table, NOW), strict=True))
        await insert(database, table, [tuple({**row, "run": dead, "closed": None}.values())])
    await do_all(database, NOW + 10 * DEAD_SECONDS)
    for table in THINGS:
        assert await database.query(f"SELECT closed FROM {table.name}") == [(NOW * MICROS,)]


def node_row(number: int, last_seen: int) -> tuple[Any, ...]:
    nothing = [None] * (len(NODES.written) - 3)
    return (f"{number:064x}", *nothing, last_seen * MICROS, last_seen * MICROS)


async def insert_nodes(database: Database, seen: list[int], lasts: frozenset[int]) -> None:
    """Nodes that were last seen at such times, each with a connection; some of them last."""
    await insert(database, NODES, [node_row(n, at) for n, at in enumerate(seen)])
    numbers = dict(await database.query("SELECT node_id, node FROM nodes"))
    by_place = [numbers[f"{n:064x}"] for n in range(len(seen))]
    rows = [
        (number, at * MICROS, 1, "", None if n in lasts else at * MICROS, None)
        for n, (number, at) in enumerate(zip(by_place, seen, strict=True))
    ]
    await insert(database, CONNECTIONS, rows)
    await insert(database, LATEST, [(number, 11, 1, "{}") for number in by_place])


async def places(database: Database) -> list[int]:
    """Which nodes are there."""
    rows = await database.query("SELECT node_id FROM nodes ORDER BY node_id")
    return [int(node_id, 16) for (node_id,) in rows]


@ensureDeferred
async def test_nodes_that_nothing_refers_to_any_more_are_forgotten(database: Database) -> None:
    await database.open()
    now = NOW + 2 * YEAR
    long_ago = now - YEAR - 100
    # The third has been connected all the time, the last has the highest number.
    await insert_nodes(database, [long_ago, now - 50, long_ago, long_ago], frozenset({2}))
    await do_all(database, now)
    assert await places(database) == [1, 2, 3]
    assert await number_of(database, "latest") == 3
    await insert(database, NODES, [node_row(4, now)])
    await do_all(database, now)
    assert await places(database) == [1, 2, 4]
    assert await number_of(database, "latest") == 2
    assert await number_of(database, "connections") == 2


@ensureDeferred
async def test_of_too_many_nodes_those_gone_longest_are_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "MOST_NODES", 20)
    monkeypatch.setattr(maintenance, "NODES_AT_ONCE", 7)
    await database.open()
    seen = [NOW - 2000 + number for number in range(50)]
    seen[10:13] = [NOW - 10] * 3  # They may be back in a moment.
    await insert_nodes(database, seen, frozenset(range(5)))
    steps = await do_all(database, NOW)
    kept = await places(database)
    assert kept == [*range(5), 10, 11, 12, *range(38, 50)]
    assert len(kept) == await number_of(database, "latest") == 20
    assert steps > 4


@ensureDeferred
async def test_of_too_many_connections_the_newest_stay(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, "MOST_CONNECTIONS", 10)
    await database.open()
    await insert_nodes(database, [NOW - 900 + number for number in range(30)], frozenset({3}))
    await do_all(database, NOW)
    rows = await database.query("SELECT started FROM connections ORDER BY started")
    kept = [started // MICROS - NOW + 900 for (started,) in rows]
    assert kept == [3, *range(20, 30)]


@ensureDeferred
async def test_runs_go_when_their_server_is_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.open()
    old = (NOW - 2 * YEAR) * MICROS

    def run(server: str | None, ended: int | None) -> tuple[Any, ...]:
        return (old, NOW * MICROS, ended, server, *[None] * (len(RUNS.written) - 4))

    runs = [run("a", old), run(None, old), run("b", old), run("b", None), run("c", NOW * MICROS)]

    async def servers() -> list[str | None]:
        return [server for (server,) in await database.query("SELECT server FROM runs ORDER BY 1")]

    await database.transact(lambda t: [t.insert(RUNS, row) for row in runs])
    await do_all(database, NOW)
    assert await servers() == ["b", "b", "c"]
    monkeypatch.setattr(maintenance, "MOST_RUNS", 0)
    await do_all(database, NOW)
    assert await servers() == ["b", "b", "c"]  # the last is the newest
    await database.transact(lambda t: t.insert(RUNS, run("d", None)))
    await do_all(database, NOW)
    assert await servers() == ["b", "b", "d"]


@ensureDeferred
async def test_only_other_servers_are_taken_for_killed(database: Database) -> None:
    """What a store process left of the same server, the next one ends when it is told who is there,
    however long that takes."""
    await database.open()
    seen = (NOW - HOUR) * MICROS
    begun = []
    for server in ("ours", "another's", None, "ours"):
        row = (seen, seen, None, server, 0, 0, 0, 0)
        begun.append(await begin_run(database, row))
    await insert(database, CONNECTIONS, [(run, seen, run, "", None, None) for run in begun])
    kept = Maintenance(database, Policy())
    while not await kept.step(NOW, own_run=begun[-1]):
        pass
    closed = await database.query(
        "SELECT run FROM connections WHERE reason = ?", (maintenance.KILLED,)
    )
    assert sorted(closed) == [(begun[1],), (begun[2],)]
    ended = await database.query("SELECT run FROM runs WHERE ended IS NOT NULL")
    assert sorted(ended) == [(begun[1],), (begun[2],)]


@ensureDeferred
async def test_no_connection_of_a_killed_server_ends_before_it_began(database: Database) -> None:
    """Its last commit may be from before the clock was set back, by what it says."""
    await database.open()
    seen = (NOW - HOUR) * MICROS
    row = (seen, seen, None, "killed", 0, 0, 0, 0)
    run = await begin_run(database, row)
    started = [(1, seen - MICROS, run, "", None, None), (2, seen + MICROS, run, "", None, None)]
    await insert(database, CONNECTIONS, started)
    await do_all(database, NOW)
    rows = await database.query("SELECT node, ended, reason FROM connections ORDER BY node")
    assert rows == [(1, seen, maintenance.KILLED), (2, seen + MICROS, maintenance.KILLED)]
    assert await database.query("SELECT ended FROM runs") == [(seen,)]


@ensureDeferred
async def test_a_step_deletes_few_rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "STEP_ROWS", 50)
    monkeypatch.setattr(maintenance, "BATCHES_AT_ONCE", 5)
    await database.open()
    old = NOW - NOW % 10 - 2 * DAY
    nodes = range(20)
    rows = [(old + 10 * step, node, 1, 1, b"") for step in range(30) for node in nodes]
    await insert(database, COUNTS[10], [*rows, (NOW - NOW % 10, 1, 1, 1, b"")])
    batches = [(n, 1, n, n, 1, 1) for n in range(32)]
    await insert(database, RAW_BATCHES, batches)
    kept = Maintenance(database, Policy())
    before, raw = len(rows) + 1, len(batches)
    over = False
    while not over:
        over = await kept.step(NOW, OWN_RUN)
        after = await number_of(database, "counts_10s")
        raw_after = await number_of(database, "raw_batches")
        assert before - after <= 50 + len(nodes)
        assert raw - raw_after <= 5
        before, raw = after, raw_after
    assert (before, raw) == (1, 0)


def test_every_table_with_a_time_has_a_limit() -> None:
    limited = {limit.table.name for limit in limits(Policy())}
    others = {"runs", "nodes", "networks", "latest"}
    others |= {"raw_batches", "raw_chunks", "raw_postings"}
    assert limited | others == {table.name for table in TABLES}
    for limit in limits(Policy()):
        assert limit.table.columns[limit.column] == INTEGER
        indexed = [limit.table.key[0], *(columns[0] for columns in limit.table.indexes)]
        # What is looked for by time is found by an index, but for the few windows.
        assert limit.column in indexed or limit.table.name == "spreads"
