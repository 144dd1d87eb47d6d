"""How blocks spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ujson
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read import blocks
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.reports import Report, pack_reports, spread_of
from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.tables import SLOTS
from telemetry_twisted.store.write.maintenance import merge_slots
from tests.store.conftest import NOW

Make = Callable[..., Any]


@ensureDeferred
async def test_slots_and_their_spread_over_time(
    database: Database,
    history: History,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    clock: Clock,
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    for slot in range(4):
        feed.connect(slot)
        for number in range(3):
            feed.fact(
                slot, "BestBlockChanged", NOW + 6 * number + 0.1 * slot,
                slot=number, hash="0x" + 64 * "c",
            )  # fmt: skip
    await commit(writer)
    known = await blocks.slot(history, 1)
    assert known is not None
    best = known.best
    assert best is not None
    assert known.finalized is None
    assert (best.nodes, best.p50_ms, best.all_ms) == (4, 100.0, 300.0)
    assert best.first == "2026-11-24T07:42:06.000000Z"
    assert best.blocks == [blocks.SlotBlock("0x" + 64 * "c", 4)]
    assert sum(row.nodes for row in best.histogram) == 4
    assert await blocks.slot(history, 99) is None
    by_slot = await blocks.propagation(history, NOW, NOW + 60, "best")
    assert [(point.slot, point.nodes) for point in by_slot.points] == [
        (0, 4), (1, 4), (2, 4),
    ]  # fmt: skip
    assert by_slot.total.slots == 3
    clock.advance(60)
    while not (merged := await blocks.propagation(history, NOW - DAY, NOW + 600, "best")).points:
        await commit(writer)
    (point,) = merged.points
    assert (point.slots, point.nodes) == (3, 12)
    assert point.p50_ms is not None
    assert 100 <= point.p50_ms <= 120
    total = merged.total
    assert (total.slots, total.nodes, total.p50_ms) == (point.slots, point.nodes, point.p50_ms)
    assert (total.p99_ms, total.all_ms) == (point.p99_ms, point.all_ms)
    finalized = await blocks.propagation(history, NOW, NOW + 60, "finalized")
    assert finalized.total.p50_ms is None


FIRST = NOW * 1_000_000


async def write_twice(database: Database) -> None:
    """A slot that two runs saw, one node of it both."""

    def row(run: int, began: int, *reports: Report) -> tuple[object, ...]:
        times = [(began + report.delay, "0x" + 64 * "c") for report in reports]
        found = spread_of(times, began)
        hashes, packed = ujson.dumps(found.blocks), pack_reports(reports)
        told = (*found.delays, found.off_clock, hashes, found.histogram, packed)
        return (11, 7, run, found.nodes, began, *told)

    await database.open()
    await database.transact(
        lambda t: t.upsert(
            SLOTS,
            [
                row(1, FIRST, Report(1, 0, 0), Report(2, 100_000, 0)),
                row(2, FIRST + 50_000, Report(2, 0, 0), Report(3, 150_000, 0)),
            ],
        )
    )


@ensureDeferred
async def test_a_slot_that_two_runs_saw_counts_once_and_so_do_its_nodes(
    database: Database, history: History
) -> None:
    await write_twice(database)
    known = await blocks.slot(history, 7)
    assert known is not None
    best = known.best
    assert best is not None
    assert (best.nodes, best.p50_ms, best.all_ms) == (3, 50.0, 200.0)
    assert best.blocks == [blocks.SlotBlock("0x" + 64 * "c", 3)]
    over_time = await blocks.propagation(history, NOW - 60, NOW + 60, "best")
    assert [(point.slot, point.nodes, point.p50_ms) for point in over_time.points] == [(7, 3, 50.0)]
    assert (over_time.total.slots, over_time.total.nodes) == (1, 3)


@ensureDeferred
async def test_it_counts_once_in_the_window_that_it_is_merged_into(
    database: Database, history: History
) -> None:
    await write_twice(database)
    await database.transact(lambda t: merge_slots(t, now=NOW))
    merged = await blocks.propagation(history, NOW - DAY, NOW + 600, "best")
    assert [(point.slots, point.nodes) for point in merged.points] == [(1, 3)]
