"""What failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read import failures
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.nodes import node_number
from telemetry_twisted.store.schema.policy import DAY, HOUR
from tests.store.conftest import NOW

Make = Callable[..., Any]


@ensureDeferred
async def test_failures_most_frequent_first(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    for reason, times in (("a", 1), ("b", 3), ("c", 2)):
        for _ in range(times):
            feed.fact(1, "ConnectInFailed", NOW, connecting_id=1, reason=reason)
    feed.fact(1, "AuthoringFailed", NOW, authoring_id=1, reason="a")
    await commit(writer)
    for back in (HOUR, DAY, 30 * DAY):
        page = await failures.failures(history, NOW - back, NOW + 1, None, 0, 2)
        assert [(row.name, row.reason, row.count) for row in page.failures] == [
            ("ConnectInFailed", "b", 3),
            ("ConnectInFailed", "c", 2),
        ]
        assert page.next is not None
        page = await failures.failures(history, NOW - back, NOW + 1, None, page.next, 2)
        assert len(page.failures) == 2
        assert page.next is None
    page = await failures.failures(history, NOW, NOW + 1, {41}, 0, 10)
    assert [row.event_type for row in page.failures] == [41]


@ensureDeferred
async def test_protocol_errors_with_their_last_bytes(
    database: Database,
    history: History,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    clock: Clock,
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    fault = {
        "node_id": feed.node_id(1), "kind": "decode_error", "discriminator": 11, "offset": 9,
        "reason": "cut short", "count": 3, "excerpt": "00ff",
    }  # fmt: skip
    feed.faults(fault, {**fault, "kind": "violation", "node_id": None, "discriminator": None})
    clock.advance(HOUR)
    feed.faults({**fault, "excerpt": "aa", "offset": 10})
    await commit(writer)
    for length in (2 * HOUR, 30 * DAY):
        found = await failures.faults(history, NOW - 60, NOW + length, None, None, 0, 10)
        assert [
            (row.node_id, row.event_type, row.count, row.excerpt, row.offset)
            for row in found.protocol_errors
        ] == [(feed.node_id(1), 11, 6, "aa", 10), (None, None, 3, "00ff", 9)]
    node = await node_number(history, feed.node_id(1))
    found = await failures.faults(history, NOW, NOW + DAY, node, "decode_error", 0, 10)
    assert len(found.protocol_errors) == 1
    found = await failures.faults(history, NOW, NOW + DAY, node, "violation", 0, 10)
    assert found.protocol_errors == []
