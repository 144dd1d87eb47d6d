"""The nodes, page by page and one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_twisted import ensureDeferred

from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read import nodes
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.nodes import node_number
from tests.store.conftest import NOW

Make = Callable[..., Any]


@ensureDeferred
async def test_nodes_page_by_page(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    for slot in range(5):
        feed.connect(slot, implementation_name="A" if slot % 2 else "B")
    feed.fact(3, "BestBlockChanged", NOW, slot=9, hash="0x" + 64 * "a")
    feed.fact(3, "SyncStatusChanged", NOW, synced=True)
    await commit(writer)
    first = await nodes.nodes(history, 0, 3)
    assert first.next is not None
    second = await nodes.nodes(history, first.next, 3)
    rows = [*first.nodes, *second.nodes]
    assert second.next is None
    assert [row.node_id for row in rows] == [feed.node_id(slot) for slot in range(5)]
    assert rows[3].best is not None
    assert (rows[3].best.slot, rows[3].synced, rows[2].best) == (9, True, None)
    present = [feed.node_id(1), feed.node_id(2), "ff" * 32]
    there = await nodes.nodes(history, 0, 10, present, connected=True)
    assert [row.node_id for row in there.nodes] == [feed.node_id(1), feed.node_id(2)]
    away = await nodes.nodes(history, 0, 10, present, connected=False)
    assert [row.node_id for row in away.nodes] == [feed.node_id(slot) for slot in (0, 3, 4)]
    assert (await nodes.nodes(history, 0, 10, [], connected=True)).nodes == []
    assert len((await nodes.nodes(history, 0, 10, [], connected=False)).nodes) == 5
    others = await nodes.nodes(history, 0, 10, implementation="A")
    assert [row.node_id for row in others.nodes] == [feed.node_id(1), feed.node_id(3)]


@ensureDeferred
async def test_one_node(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1, params={"core_count": 2})
    feed.gone(1, at=NOW + 1, reason="left")
    feed.connect(1, at=NOW + 2)
    await commit(writer)
    known = await nodes.node(history, feed.node_id(1))
    assert known is not None
    assert known.implementation == "PolkaJam"
    assert [connection.reason for connection in known.connections] == [None, "left"]
    assert known.connections[1].ended == "2026-11-24T07:42:01.000000Z"
    assert await nodes.node(history, "ff" * 32) is None
    assert await node_number(history, "ff" * 32) is None
