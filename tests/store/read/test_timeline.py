"""What one node did over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_twisted import ensureDeferred

from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read.counts import GroupSeries
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.nodes import node_number
from telemetry_twisted.store.read.timeline import timeline
from telemetry_twisted.store.schema.policy import HOUR
from tests.store.conftest import NOW

Make = Callable[..., Any]


@ensureDeferred
async def test_timeline_of_a_node(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1, at=NOW - 20)
    feed.counts({1: {10: 5, 21: 2}}, at=NOW - 20)
    feed.fact(1, "BestBlockChanged", NOW - 17, slot=9, hash="0x" + 64 * "a")
    feed.fact(1, "SyncStatusChanged", NOW - 8, synced=False)
    await commit(writer)
    number = await node_number(history, feed.node_id(1))
    assert number is not None
    shown = await timeline(history, number, feed.node_id(1), NOW - 20, NOW)
    assert shown.groups == [
        GroupSeries(5, [5, 0], "status"),
        GroupSeries(2, [2, 0], "networking"),
    ]
    assert [(state.best, state.synced) for state in shown.states] == [
        (9, None),
        (9, False),
    ]
    assert len(shown.connections) == 1
    before = await timeline(history, number, feed.node_id(1), NOW - HOUR, NOW - 60)
    assert before.connections == []
