"""Events over time, and in all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.packed import pack
from telemetry_twisted.store.read import counts
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.nodes import node_number
from telemetry_twisted.store.schema.policy import HOUR
from telemetry_twisted.store.schema.tables import COUNTS
from tests.store.conftest import NOW

Make = Callable[..., Any]


@ensureDeferred
async def test_counts_over_time(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    feed.connect(2)
    feed.counts({1: {10: 5, 11: 1}, 2: {131: 600}})
    feed.counts({1: {10: 2}}, at=NOW + 10)
    await commit(writer)
    one = await node_number(history, feed.node_id(1))
    assert one is not None
    by_type = await counts.by_type(history, NOW, NOW + 30, None, None)
    assert (by_type.from_, by_type.resolution_seconds) == ("2026-11-24T07:42:00.000000Z", 10)
    assert [(row.event_type, row.total, row.counts) for row in by_type.series] == [
        (10, 7, [5, 2, 0]),
        (11, 1, [1, 0, 0]),
        (131, 600, [600, 0, 0]),
    ]
    by_group = await counts.by_group(history, NOW, NOW + 20, None, [one])
    assert by_group.series == [counts.AnySeries(group="status", total=8, counts=[6, 2])]
    chosen = await counts.by_type(history, NOW, NOW + 20, {11}, None)
    assert [row.name for row in chosen.series] == ["BestBlockChanged"]
    by_node = await counts.by_node(history, NOW, NOW + 20, None)
    assert by_node.series == [
        counts.AnySeries(node_id=feed.node_id(2), total=600, counts=[600, 0]),
        counts.AnySeries(node_id=feed.node_id(1), total=8, counts=[6, 2]),
    ]
    assert (await counts.by_node(history, NOW, NOW + 20, [one])).series[0].total == 8
    assert (await counts.by_node(history, NOW, NOW + 20, [])).series == []
    types = await counts.event_types(history, NOW - HOUR, NOW + HOUR)
    assert len(types.event_types) == len(TABLE.events)
    assert {row.event_type: row.count for row in types.event_types if row.count} == {
        10: 7, 11: 1, 131: 600,
    }  # fmt: skip


@pytest.mark.parametrize(("width", "steps"), [(10, 60), (60, 720), (3600, 300)])
@ensureDeferred
async def test_counts_of_a_node_over_a_range_are_its_own_and_of_that_range(
    database: Database, history: History, width: int, steps: int
) -> None:
    end = NOW // 7200 * 7200
    begin = end - width * steps
    there = [begin - width, *range(begin, end, 7 * width), end - width, end]
    rows = {
        (bucket, node, run): (bucket, node, run, 3 * node, pack({10: node, 11: 2 * node}))
        for bucket in there
        for node in (1, 2, 3)
        for run in (1, 2)
    }
    await database.open()
    await database.transact(lambda t: t.upsert(COUNTS[width], [*rows.values()]))
    inside = len({bucket for bucket in there if begin <= bucket < end})
    found = await counts.by_type(history, begin, end, None, [2])
    assert [(row.event_type, row.total) for row in found.series] == [
        (10, 2 * 2 * inside),
        (11, 2 * 4 * inside),
    ]
    both = await counts.by_group(history, begin, end, {10}, [1, 3])
    assert [row.total for row in both.series] == [2 * 4 * inside]
