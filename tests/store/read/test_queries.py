"""What history answers, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import ujson
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read.browse import NEWEST, Place, Wanted
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.ranges import MOST_POINTS, span_of
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.turns import Turns

NOW = 1_795_506_120
HOUR = 3600
DAY = 86400
Make = Callable[..., Any]


@pytest.fixture
def history(database: Database, clock: Clock) -> History:
    """Asks the database."""
    return History(database, Policy(), clock.seconds, Turns(cast(IReactorTime, reactor)))


KEPT = Policy().counts


@pytest.mark.parametrize(
    ("back", "length", "step", "width"),
    [
        (900, 900, 10, 10),
        (HOUR, HOUR, 10, 10),
        (6 * HOUR, 6 * HOUR, 60, 60),
        (DAY, DAY, 300, 60),
        (2 * DAY + HOUR, HOUR, 60, 60),
        (7 * DAY, 7 * DAY, 3600, 3600),
        (30 * DAY, 30 * DAY, 7200, 3600),
        (60 * DAY, HOUR, 3600, 3600),
        (400 * DAY, HOUR, 3600, 3600),
        (365 * DAY, 365 * DAY, 604800, 3600),
    ],
)
def test_resolution_follows_the_range(back: int, length: int, step: int, width: int) -> None:
    now = NOW - NOW % 604800
    span = span_of(now - back, now - back + length, now, KEPT, 1500)
    assert (span.step, span.width) == (step, width)
    assert len(span.times) <= MOST_POINTS + 1
    assert span.begin <= now - back
    assert span.end >= now - back + length


def test_span_is_whole_steps() -> None:
    span = span_of(NOW + 1, NOW + 2, NOW, KEPT, 1500)
    assert (span.begin, span.end) == (NOW, NOW + 10)
    assert [span.index(bucket) for bucket in span.buckets] == [0]


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
    first = await history.nodes(0, 3)
    assert first.next is not None
    second = await history.nodes(first.next, 3)
    rows = [*first.rows, *second.rows]
    assert second.next is None
    assert [row["node_id"] for row in rows] == [feed.node_id(slot) for slot in range(5)]
    assert (rows[3]["best"]["slot"], rows[3]["synced"], rows[2]["best"]) == (9, True, None)
    present = [feed.node_id(1), feed.node_id(2), "ff" * 32]
    there = await history.nodes(0, 10, present, connected=True)
    assert [row["node_id"] for row in there.rows] == [feed.node_id(1), feed.node_id(2)]
    away = await history.nodes(0, 10, present, connected=False)
    assert [row["node_id"] for row in away.rows] == [feed.node_id(slot) for slot in (0, 3, 4)]
    assert (await history.nodes(0, 10, [], connected=True)).rows == []
    assert len((await history.nodes(0, 10, [], connected=False)).rows) == 5
    others = await history.nodes(0, 10, implementation="A")
    assert [row["node_id"] for row in others.rows] == [feed.node_id(1), feed.node_id(3)]


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
    number = await history.node_number(feed.node_id(1))
    assert number is not None
    node = await history.node(number)
    assert node["implementation"] == "PolkaJam"
    assert [connection["reason"] for connection in node["connections"]] == [None, "left"]
    assert node["connections"][1]["ended"] == "2026-11-24T07:42:01.000000Z"
    assert await history.node_number("ff" * 32) is None


@ensureDeferred
async def test_network_is_not_led_by_one_liar(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    for slot in range(40):
        feed.connect(slot)
        number = 2**32 - 1 if slot == 7 else 100 + (slot % 2)
        feed.fact(slot, "BestBlockChanged", NOW, slot=number, hash="0x" + 64 * "a")
        feed.fact(slot, "SyncStatusChanged", NOW, synced=slot > 9)
    await commit(writer)
    network = await history.network({feed.node_id(slot) for slot in range(38)})
    assert network["nodes"] == {"known": 40, "connected": 38, "synced": 28}
    assert network["best"] == {"slot": 101, "hash": "0x" + 64 * "a", "nodes": 18}
    assert network["finalized"] is None
    assert network["implementations"] == [
        {
            "implementation": "PolkaJam",
            "implementation_version": "0.1",
            "gp_version": "0.7.1",
            "nodes": 38,
        }
    ]


@ensureDeferred
async def test_blocks_ahead_of_the_clock_are_in_no_figure_of_the_network(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    """However many nodes claim them; each is still shown with what it claims."""
    newest = newest_slot(NOW)
    writer = make_writer(database)
    feed = make_feed(writer)
    for slot in range(10):
        feed.connect(slot)
        number = newest - 50 if slot > 7 else newest + 1_000
        for event in ("BestBlockChanged", "FinalizedBlockChanged"):
            feed.fact(slot, event, NOW, slot=number, hash="0x" + 64 * "a")
    await commit(writer)
    network = await history.network({feed.node_id(slot) for slot in range(10)})
    for name in ("best", "finalized"):
        assert network[name] == {"slot": newest - 50, "hash": "0x" + 64 * "a", "nodes": 2}
    rows = (await history.nodes(0, 10)).rows
    assert rows[0]["best"]["slot"] == newest + 1_000


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
    one = await history.node_number(feed.node_id(1))
    assert one is not None
    by_type = await history.by_type(NOW, NOW + 30, None, None, group=False)
    assert (by_type["from"], by_type["resolution_seconds"]) == ("2026-11-24T07:42:00.000000Z", 10)
    assert [(row["event_type"], row["total"], row["counts"]) for row in by_type["series"]] == [
        (10, 7, [5, 2, 0]),
        (11, 1, [1, 0, 0]),
        (131, 600, [600, 0, 0]),
    ]
    by_group = await history.by_type(NOW, NOW + 20, None, [one], group=True)
    assert by_group["series"] == [{"group": "status", "total": 8, "counts": [6, 2]}]
    chosen = await history.by_type(NOW, NOW + 20, {11}, None, group=False)
    assert [row["name"] for row in chosen["series"]] == ["BestBlockChanged"]
    by_node = await history.by_node(NOW, NOW + 20, None)
    assert by_node["series"] == [
        {"node_id": feed.node_id(2), "total": 600, "counts": [600, 0]},
        {"node_id": feed.node_id(1), "total": 8, "counts": [6, 2]},
    ]
    assert (await history.by_node(NOW, NOW + 20, [one]))["series"][0]["total"] == 8
    assert (await history.by_node(NOW, NOW + 20, []))["series"] == []
    assert await history.totals(NOW - HOUR, NOW + HOUR) == {10: 7, 11: 1, 131: 600}


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
    number = await history.node_number(feed.node_id(1))
    assert number is not None
    timeline = await history.timeline(number, NOW - 20, NOW)
    assert timeline["groups"] == [
        {"group": "status", "total": 5, "counts": [5, 0]},
        {"group": "networking", "total": 2, "counts": [2, 0]},
    ]
    assert [(state["best"], state["synced"]) for state in timeline["states"]] == [
        (9, None),
        (9, False),
    ]
    assert len(timeline["connections"]) == 1
    assert (await history.timeline(number, NOW - HOUR, NOW - 60))["connections"] == []


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
    known = await history.slot(1)
    assert known is not None
    assert known["finalized"] is None
    best = known["best"]
    assert (best["nodes"], best["p50_ms"], best["all_ms"]) == (4, 100.0, 300.0)
    assert best["first"] == "2026-11-24T07:42:06.000000Z"
    assert best["blocks"] == [{"hash": "0x" + 64 * "c", "nodes": 4}]
    assert sum(row["nodes"] for row in best["histogram"]) == 4
    assert await history.slot(99) is None
    by_slot = await history.propagation(NOW, NOW + 60, "best")
    assert [(point["slot"], point["nodes"]) for point in by_slot["points"]] == [
        (0, 4), (1, 4), (2, 4),
    ]  # fmt: skip
    assert by_slot["total"]["slots"] == 3
    clock.advance(60)
    while not (merged := await history.propagation(NOW - DAY, NOW + 600, "best"))["points"]:
        await commit(writer)
    (point,) = merged["points"]
    assert (point["slots"], point["nodes"]) == (3, 12)
    assert 100 <= point["p50_ms"] <= 120
    assert merged["total"] == {key: point[key] for key in merged["total"]}
    assert (await history.propagation(NOW, NOW + 60, "finalized"))["total"]["p50_ms"] is None


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
        _, page = await history.failures(NOW - back, NOW + 1, None, 0, 2)
        assert [(row["name"], row["reason"], row["count"]) for row in page.rows] == [
            ("ConnectInFailed", "b", 3),
            ("ConnectInFailed", "c", 2),
        ]
        assert page.next is not None
        _, page = await history.failures(NOW - back, NOW + 1, None, page.next, 2)
        assert len(page.rows) == 2
        assert page.next is None
    _, page = await history.failures(NOW, NOW + 1, {41}, 0, 10)
    assert [row["event_type"] for row in page.rows] == [41]


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
        _, page = await history.protocol_errors(NOW - 60, NOW + length, None, None, 0, 10)
        assert [
            (row["node_id"], row["event_type"], row["count"], row["excerpt"], row["offset"])
            for row in page.rows
        ] == [(feed.node_id(1), 11, 6, "aa", 10), (None, None, 3, "00ff", 9)]
    node = await history.node_number(feed.node_id(1))
    _, page = await history.protocol_errors(NOW, NOW + DAY, node, "decode_error", 0, 10)
    assert len(page.rows) == 1
    _, page = await history.protocol_errors(NOW, NOW + DAY, node, "violation", 0, 10)
    assert page.rows == []


def ids(messages: list[bytes]) -> list[int]:
    return [ujson.loads(message)["data"]["id"] for message in messages]


EVER = {"begin": 0, "end": 2**62}


@pytest.fixture
def raw(make_writer: Make, make_feed: Make, commit: Make, database: Database) -> Make:
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
async def test_browsing_page_by_page(history: History, raw: Make) -> None:
    await raw()
    seen: list[int] = []
    place: Place | None = NEWEST
    while place is not None:
        found = await history.browse(Wanted(None, None, **EVER), place, 5)
        seen += ids(found.messages)
        place = None if found.next is None else Place.parse(str(found.next))
    assert seen == list(range(12, 0, -1))


@ensureDeferred
async def test_browsing_by_node_type_and_time(history: History, raw: Make) -> None:
    feed = await raw()
    one = await history.node_number(feed.node_id(1))
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
                page = await history.browse(Wanted(node, types, **EVER), place, limit)
                found += ids(page.messages)
                place = page.next
            assert found == wanted
    begin, end = (NOW - 99) * 1_000_000, (NOW - 80) * 1_000_000
    assert ids((await history.browse(Wanted(None, None, begin, end), NEWEST, 9)).messages) == [
        8, 7, 6, 5, 4, 3,
    ]  # fmt: skip
    assert ids((await history.browse(Wanted(None, {11}, begin, end), NEWEST, 9)).messages) == [
        8, 6, 4,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.x", "1.2.-3", "1.2.3.4", "1.2.9" + 19 * "9"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Place.parse(text)


@ensureDeferred
async def test_how_much_history_there_is(history: History, raw: Make) -> None:
    await raw()
    totals = await history.totals_of_history()
    assert (totals["nodes_known"], totals["raw_events"], totals["raw_batches"]) == (2, 12, 3)
    assert totals["raw_oldest"] == "2026-11-24T07:40:20.000000Z"
    assert totals["raw_bytes"] > 0
    assert await history.raw_share(NOW, NOW + 60) == {"seen": 0, "kept": 0}
