"""Raw events, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import ujson
from pytest_twisted import ensureDeferred

from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read import extent, raw
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.nodes import node_number
from telemetry_twisted.store.read.raw_search import NEWEST, Place, Wanted
from tests.store.conftest import NOW

Make = Callable[..., Any]


def ids(messages: list[bytes]) -> list[int]:
    return [ujson.loads(message)["data"]["id"] for message in messages]


EVER = {"begin": 0, "end": 2**62}


@pytest.fixture
def written(make_writer: Make, make_feed: Make, commit: Make, database: Database) -> Make:
    """Writes three batches: 12 events of nodes 1 and 2 and types 10 to 12, ids 1 to 12."""

    async def write() -> Any:
        writer = make_writer(database)
        feed = make_feed(writer)
        feed.connect(1)
        feed.connect(2)
        for number in range(3):
            feed.chunk((1, 10), (2, 11), at=NOW - 100 + 10 * number)
            feed.chunk((2, 12), (1, 11), at=NOW - 99 + 10 * number)
            await commit(writer)
        return feed

    return write


@ensureDeferred
async def test_browsing_page_by_page(history: History, written: Make) -> None:
    await written()
    seen: list[int] = []
    place: Place | None = NEWEST
    while place is not None:
        found = await raw.browse(history, Wanted(None, None, **EVER), place, 5)
        seen += ids(found.messages)
        place = None if found.next is None else Place.parse(str(found.next))
    assert seen == list(range(12, 0, -1))


@ensureDeferred
async def test_browsing_by_node_type_and_time(history: History, written: Make) -> None:
    feed = await written()
    one = await node_number(history, feed.node_id(1))
    for node, types, wanted in (
        (None, {11}, [12, 10, 8, 6, 4, 2]),
        (None, {10, 12}, [11, 9, 7, 5, 3, 1]),
        (one, None, [12, 9, 8, 5, 4, 1]),
        (one, {11}, [12, 8, 4]),
        (one, {12}, []),
        (None, {99}, []),
    ):
        for limit in (1, 100):
            found: list[int] = []
            place: Place | None = NEWEST
            while place is not None:
                page = await raw.browse(history, Wanted(node, types, **EVER), place, limit)
                found += ids(page.messages)
                place = page.next
            assert found == wanted
    begin, end = (NOW - 99) * 1_000_000, (NOW - 80) * 1_000_000
    assert ids((await raw.browse(history, Wanted(None, None, begin, end), NEWEST, 9)).messages) == [
        8, 7, 6, 5, 4, 3,
    ]  # fmt: skip
    assert ids((await raw.browse(history, Wanted(None, {11}, begin, end), NEWEST, 9)).messages) == [
        8, 6, 4,
    ]  # fmt: skip


@ensureDeferred
async def test_range_that_begins_and_ends_within_a_row(
    history: History, make_writer: Make, make_feed: Make, commit: Make, database: Database
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    for number in range(10):
        feed.chunk((1, 10 + number % 2), at=NOW - 1 + 0.01 * number)
    await commit(writer)
    begin, end = NOW * 1_000_000 - 970_000, NOW * 1_000_000 - 930_000
    for types, wanted in ((None, [7, 6, 5, 4]), ({10}, [7, 5]), ({11}, [6, 4])):
        for limit in (1, 100):
            found: list[int] = []
            place: Place | None = NEWEST
            while place is not None:
                page = await raw.browse(history, Wanted(None, types, begin, end), place, limit)
                found += ids(page.messages)
                place = page.next
            assert found == wanted


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.x", "1.2.-3", "1.2.3.4", "1.2.9" + 19 * "9"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Place.parse(text)


@ensureDeferred
async def test_how_much_history_there_is(history: History, written: Make) -> None:
    await written()
    held = await extent.extent(history)
    assert (held.nodes_known, held.raw_events, held.raw_batches) == (2, 12, 3)
    assert held.raw_oldest == "2026-11-24T07:40:20.000000Z"
    assert held.raw_bytes > 0
    assert await raw.share(history, NOW, NOW + 60) == raw.Share(seen=0, kept=0)
