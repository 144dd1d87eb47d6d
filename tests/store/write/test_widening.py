"""Buckets of observations become part of wider ones: nothing is lost, and nothing counted twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.schema.policy import DAY, HOUR
from telemetry_twisted.store.schema.sum_tables import (
    KINDS,
    OF_CORES,
    OF_NODES,
    SUMS_OPEN,
    WIDER,
)
from telemetry_twisted.store.schema.table import BLOB, Table
from telemetry_twisted.store.schema.tables import RUNS
from telemetry_twisted.store.tallies import pack_tally, unpack_tally
from telemetry_twisted.store.write.widening import STRANGER_SECONDS, Settled, widen
from tests.store.conftest import NOW

MORNING = NOW - NOW % DAY
FOREVER = None


async def write(database: Database, table: Table, *rows: tuple[Any, ...]) -> None:
    await database.transact(lambda transaction: transaction.upsert(table, rows))


async def run_of(database: Database, server: str | None) -> int:
    """A new run of a server."""
    row = (NOW, NOW, None, server, 0, 0, 0, 0)
    return await database.transact(lambda transaction: transaction.insert(RUNS, row))


async def write_minute(
    database: Database, bucket: int, run: int, events: dict[int, int], core: int = 3
) -> None:
    """Events of a core in a minute, which is open."""
    empty = [b"" for _ in OF_CORES.sums[1:]]
    row = (bucket, 1, core, run, pack_tally(events), *empty)
    await write(database, OF_CORES.tables[60], row)
    await write(database, SUMS_OPEN, (bucket, OF_CORES.number, 60, run))


async def widen_all(database: Database, settled: Settled, now: int) -> int:
    """Whatever can be; returns in how many steps."""
    steps = 0

    def step(transaction: Transaction) -> bool:
        return any(
            widen(transaction, kind, width, settled, now) for kind in KINDS for width in WIDER
        )

    while await database.transact(step):
        steps += 1
    return steps


async def held(database: Database, width: int) -> dict[int, dict[int, int]]:
    """Events of cores by bucket, of all of them and all runs."""
    found: dict[int, Counter[int]] = {}
    table = OF_CORES.tables[width]
    for bucket, events in await database.query(table.select("bucket", "events")):
        found.setdefault(bucket, Counter()).update(unpack_tally(events))
    return {bucket: dict(events) for bucket, events in sorted(found.items())}


async def open_buckets(database: Database) -> list[tuple[int, int]]:
    rows = await database.query("SELECT width, bucket FROM sums_open ORDER BY width, bucket")
    return [(width, bucket) for width, bucket in rows]


@ensureDeferred
async def test_minutes_become_hours_and_hours_days(database: Database) -> None:
    await database.open()
    run = await run_of(database, "a")
    for minute in range(0, 180, 30):
        await write_minute(database, MORNING + minute * 60, run, {94: 1, minute: 2})
    # What the process may change is left alone: here all from 40 minutes past two on.
    settled = Settled("a", {run: MORNING + 2 * HOUR + 2400})
    assert await widen_all(database, settled, NOW) == 8
    hours = await held(database, HOUR)
    assert hours == {
        MORNING: {94: 2, 0: 2, 30: 2},
        MORNING + HOUR: {94: 2, 60: 2, 90: 2},
        MORNING + 2 * HOUR: {94: 2, 120: 2, 150: 2},
    }
    assert await held(database, DAY) == {MORNING: {94: 4, 0: 2, 30: 2, 60: 2, 90: 2}}
    assert await open_buckets(database) == [(HOUR, MORNING + 2 * HOUR)]
    assert await widen_all(database, settled, NOW) == 0


@ensureDeferred
async def test_what_may_change_stays_open(database: Database) -> None:
    await database.open()
    run = await run_of(database, "a")
    for minute in (0, 1, 2):
        await write_minute(database, MORNING + minute * 60, run, {94: 1})
    assert await widen_all(database, Settled("a", {run: MORNING + 120}), NOW) == 2
    assert await held(database, HOUR) == {MORNING: {94: 2}}
    assert await open_buckets(database) == [(60, MORNING + 120), (HOUR, MORNING)]
    # An hour is over only when all its minutes are in it.
    assert await widen_all(database, Settled("a", {run: MORNING + HOUR}), NOW) == 2
    assert await held(database, DAY) == {MORNING: {94: 3}}
    assert await open_buckets(database) == []


@ensureDeferred
async def test_a_process_goes_on_with_what_those_before_it_left_but_not_with_others(
    database: Database,
) -> None:
    await database.open()
    before, own, other = [await run_of(database, server) for server in ("a", "a", "b")]
    for run in (before, own, other):
        await write_minute(database, MORNING, run, {94: run})
    settled = Settled("a", {own: 0})
    assert await widen_all(database, settled, MORNING + 60) == 2
    assert await held(database, DAY) == {MORNING: {94: before}}
    # Whoever has left it open for so long will not go on with it.
    await widen_all(database, settled, MORNING + HOUR + STRANGER_SECONDS)
    assert await held(database, DAY) == {MORNING: {94: before + other}}
    assert await held(database, 60) == {MORNING: {94: before + own + other}}


@ensureDeferred
async def test_a_stretch_that_is_over_is_closed(database: Database) -> None:
    await database.open()
    own, stretch = await run_of(database, "a"), await run_of(database, None)
    await write_minute(database, MORNING, own, {94: 1})
    await write_minute(database, MORNING, stretch, {94: 2})
    await widen_all(database, Settled("a", {own: FOREVER, stretch: 0}), MORNING)
    assert await held(database, DAY) == {MORNING: {94: 1}}
    await widen_all(database, Settled("a", {own: FOREVER, stretch: MORNING + HOUR}), MORNING)
    assert await held(database, DAY) == {MORNING: {94: 3}}


@ensureDeferred
async def test_the_bounds_of_clocks_are_kept(database: Database) -> None:
    await database.open()
    run = await run_of(database, "a")
    assert [OF_NODES.tables[60].columns[name] == BLOB for name in OF_NODES.sums[:2]] == [False] * 2
    for minute, bounds in enumerate([(-5, 0), (None, None), (0, 7), (-3, 3)]):
        bucket = MORNING + minute * 60
        blobs = [b"" for _ in OF_NODES.sums[2:]]
        await write(database, OF_NODES.tables[60], (bucket, 9, 1, run, *bounds, *blobs))
        await write(database, SUMS_OPEN, (bucket, OF_NODES.number, 60, run))
    await widen_all(database, Settled("a", {run: FOREVER}), NOW)
    for width in (HOUR, DAY):
        table = OF_NODES.tables[width].name
        rows = await database.query(f"SELECT clock_least, clock_greatest FROM {table}")
        assert rows == [(-5, 7)]


@pytest.mark.parametrize("cores", [1, 300])
@ensureDeferred
async def test_each_thing_is_added_to_its_own(database: Database, cores: int) -> None:
    await database.open()
    run = await run_of(database, "a")
    for minute in (0, 1):
        for core in range(cores):
            await write_minute(database, MORNING + minute * 60, run, {94: core + 1}, core)
    await widen_all(database, Settled("a", {run: FOREVER}), NOW)
    rows = await database.query(OF_CORES.tables[DAY].select("core", "events"))
    assert {core: unpack_tally(events) for core, events in rows} == {
        core: {94: 2 * (core + 1)} for core in range(cores)
    }
