"""The writer: what it is given is what the database holds, on both databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import pytest
import ujson
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.jip3.state_types import STATUS
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.packed import add_up, pack
from telemetry_twisted.store.raw_layout import cut_events
from telemetry_twisted.store.write import rows, transactions
from telemetry_twisted.store.write.maintenance import DEAD_SECONDS, KILLED
from telemetry_twisted.store.write.pace import COMMIT_SECONDS, LONGEST_SECONDS
from telemetry_twisted.store.write.writer import LONGEST_DELAY, Writer

NOW = 1_795_506_120
MICROS = NOW * 1_000_000
Make = Callable[..., Any]


async def stored_counts(
    database: Database, resolution: str
) -> dict[tuple[int, str | None], Counter[int]]:
    """Counts by bucket and node ID (None for all nodes), over all runs."""
    found: dict[tuple[int, str | None], Counter[int]] = {}
    for bucket, node_id, events, packed in await database.query(
        f"SELECT bucket, node_id, events, counts FROM counts_{resolution} c "
        "JOIN nodes n ON n.node = c.node UNION ALL "
        f"SELECT bucket, NULL, events, counts FROM totals_{resolution}"
    ):
        counts = add_up([packed])
        assert events == sum(counts.values())
        found.setdefault((bucket, node_id), Counter()).update(counts)
    return found


@ensureDeferred
async def test_nodes_may_come_while_others_are_given_their_numbers(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    await commit(writer)
    transact = database.transact
    coming = [2, 3]

    async def transact_while_nodes_come(work: Any) -> Any:
        done = await transact(work)
        if coming:
            feed.connect(slot := coming.pop(0))
            feed.counts({slot: {10: 1}}, at=NOW)
        return done

    monkeypatch.setattr(database, "transact", transact_while_nodes_come)
    feed.connect(1)
    feed.counts({1: {10: 1}}, at=NOW)
    for _ in range(3):
        await commit(writer)
    assert writer.status()["last_error"] is None
    counts = await stored_counts(database, "10s")
    assert counts == {(NOW, feed.node_id(slot)): {10: 1} for slot in (1, 2, 3)} | {
        (NOW, None): {10: 3}
    }


@ensureDeferred
async def test_nodes_are_numbered_some_at_a_time(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "NODES_AT_ONCE", 3)
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    fault = {"kind": "violation", "discriminator": 10, "reason": "r", "offset": 0, "excerpt": ""}
    for times in (1, 2):
        for slot in range(1, 11):
            feed.faults({**fault, "node_id": feed.node_id(slot), "count": 1})
        await commit(writer)
        found = await database.query(
            "SELECT node_id, faults FROM faults_1h f JOIN nodes n ON n.node = f.node"
        )
        assert sorted(found) == [(feed.node_id(slot), times) for slot in range(1, 11)]


@ensureDeferred
async def test_what_cannot_be_written_leaves_the_rest_as_it_is(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One row and one batch that mistakes are made with, among those of two nodes."""
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    feed.connect(2)
    feed.counts({1: {10: 5}, 2: {11: 1}}, at=NOW)

    def mistake(*_: object) -> Any:
        raise KeyError(11)

    def pack_all_but_one(counts: Counter[int]) -> Any:
        if counts == {11: 1}:
            mistake()
        return pack(counts)

    with monkeypatch.context() as patched:
        patched.setattr(rows, "pack", pack_all_but_one)
        patched.setattr(transactions, "make_batch", mistake)
        feed.chunk((1, 10), (1, 11))
        await commit(writer)
        await commit(writer)
    one = feed.node_id(1)
    assert await stored_counts(database, "10s") == {
        (NOW, one): {10: 5},
        (NOW, None): {10: 5, 11: 1},
    }
    status = writer.status()
    assert (status["state"], status["last_error"]) == ("ok", None)
    assert status["raw_events_dropped"] == 2
    feed.chunk((1, 10), (1, 11), (1, 12))
    await commit(writer)
    await commit(writer)
    assert writer.status()["raw_events_written"] == 3


@ensureDeferred
async def test_a_row_that_the_database_refuses_keeps_no_other_from_being_written(
    database: Database, make_writer: Make, make_feed: Make, commit: Make, clock: Clock, until: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    fault = {"kind": "violation", "discriminator": 10, "offset": 0, "excerpt": "", "count": 1}
    for node in range(10):
        feed.connect(node)
        feed.counts({node: {10: 5}}, at=NOW)
        offset = 2**70 if node == 7 else 0
        feed.faults({**fault, "node_id": feed.node_id(node), "reason": "r", "offset": offset})
    await until(lambda: writer.status()["state"] == "failed")
    clock.advance(LONGEST_DELAY)
    await commit(writer)
    counts = await stored_counts(database, "10s")
    assert counts[NOW, None] == {10: 50}
    for table in ("faults_1h", "faults_1d"):
        assert await database.query(f"SELECT count(*) FROM {table}") == [(9,)]
    status = writer.status()
    assert (status["state"], status["lost"]) == ("ok", {"rows": 2})


@ensureDeferred
async def test_counts_by_node_and_type(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    feed.connect(2)
    feed.counts({1: {10: 5, 11: 1}, 2: {131: 600}}, at=NOW + 1.5)
    await commit(writer)
    feed.counts({1: {10: 5}}, at=NOW + 9)
    feed.counts({1: {10: 7, 11: 1}}, at=NOW + 10)
    await commit(writer)
    one, two = feed.node_id(1), feed.node_id(2)
    assert await stored_counts(database, "10s") == {
        (NOW, one): {10: 10, 11: 1},
        (NOW, two): {131: 600},
        (NOW, None): {10: 10, 11: 1, 131: 600},
        (NOW + 10, one): {10: 7, 11: 1},
        (NOW + 10, None): {10: 7, 11: 1},
    }
    whole = {10: 17, 11: 2, 131: 600}
    assert (await stored_counts(database, "1m"))[NOW, None] == whole
    assert (await stored_counts(database, "1h"))[NOW - NOW % 3600, None] == whole


@ensureDeferred
async def test_counts_of_a_node_that_is_gone_are_still_its_own(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    feed.gone(1)
    feed.counts({1: {10: 5}, 9: {10: 1}})
    await commit(writer)
    assert await stored_counts(database, "10s") == {
        (NOW, feed.node_id(1)): {10: 5},
        (NOW, None): {10: 6},
    }


@ensureDeferred
async def test_runs_add_up(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    make_database: Make,
    database_url: str,
) -> None:
    for _ in range(2):
        writer = make_writer(database)
        feed = make_feed(writer)
        feed.connect(1)
        feed.counts({1: {10: 5}})
        await commit(writer)
        database = make_database(database_url)
    counts = await stored_counts(database, "1m")
    assert counts[NOW, feed.node_id(1)] == {10: 10}
    for table in ("counts_1m", "totals_1m"):
        assert await database.query(f"SELECT count(*) FROM {table}") == [(2,)]


@ensureDeferred
async def test_nodes_and_their_connections(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1, at=NOW, additional_info="nul\0 and ü")
    await commit(writer)
    feed.gone(1, at=NOW + 3, reason="it left\0")
    feed.connect(1, at=NOW + 4, implementation_name="Other\0", flags=7)
    await commit(writer)
    ((*node, info),) = await database.query(
        "SELECT node_id, address, implementation, implementation_version, gp_version, cores, "
        "flags, first_seen, last_seen, info FROM nodes"
    )
    assert node == [
        feed.node_id(1), "127.0.0.1:5001", "Other\ufffd", "0.1", "0.7.1", 2, 7,
        MICROS, MICROS + 4_000_000,
    ]  # fmt: skip
    assert ujson.loads(info)["implementation_name"] == "Other\0"
    assert await database.query(
        "SELECT started, ended, reason, address FROM connections ORDER BY started"
    ) == [
        (MICROS, MICROS + 3_000_000, "it left\ufffd", "127.0.0.1:5001"),
        (MICROS + 4_000_000, None, None, "127.0.0.1:5001"),
    ]


@ensureDeferred
async def test_states_latest_and_at_10_s(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    status = {
        "num_peers": 3, "num_val_peers": 2, "num_sync_peers": 1, "num_guarantees": [4, 5],
        "num_shards": 6, "shards_size": 2**64 - 1, "num_preimages": 8, "preimages_size": 9,
    }  # fmt: skip
    feed.fact(1, "Status", NOW + 1, **status)
    feed.fact(1, "BestBlockChanged", NOW + 2, slot=100, hash="0x" + 64 * "a")
    feed.fact(1, "SyncStatusChanged", NOW + 3, synced=True)
    await commit(writer)
    feed.fact(1, "FinalizedBlockChanged", NOW + 11, slot=98, hash="0x" + 64 * "b")
    await commit(writer)
    latest = await database.query("SELECT type, at, fields FROM latest ORDER BY type")
    assert [(kind, at - MICROS, ujson.loads(fields)) for kind, at, fields in latest] == [
        (10, 1_000_000, status),
        (11, 2_000_000, {"slot": 100, "hash": "0x" + 64 * "a"}),
        (12, 11_000_000, {"slot": 98, "hash": "0x" + 64 * "b"}),
        (13, 3_000_000, {"synced": True}),
    ]
    assert await database.query(
        "SELECT bucket, best, finalized, synced, num_peers, num_val_peers, num_sync_peers, "
        "num_guarantees, num_shards, shards_size, num_preimages, preimages_size "
        "FROM states ORDER BY bucket"
    ) == [
        (NOW, 100, None, 1, 3, 2, 1, 9, 6, 2**63 - 1, 8, 9),
        (NOW + 10, 100, 98, 1, 3, 2, 1, 9, 6, 2**63 - 1, 8, 9),
    ]


@ensureDeferred
async def test_slots_reported_by_nodes_that_were_forgotten(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    """The next run goes on with those of the others."""
    first = make_writer(database, server="the same")
    feed = make_feed(first)
    for node in range(3):
        feed.connect(node)
        feed.fact(node, "BestBlockChanged", NOW + node, slot=7, hash="0x" + 64 * "c")
    await commit(first)
    forget = "DELETE FROM nodes WHERE node_id = ?"
    await database.transact(lambda transaction: transaction.execute(forget, (feed.node_id(1),)))
    second = make_writer(database, server="the same")
    feed = make_feed(second)
    feed.connect(4)
    feed.fact(4, "BestBlockChanged", NOW + 3, slot=7, hash="0x" + 64 * "c")
    await commit(second)
    assert await database.query("SELECT nodes, last FROM slots") == [(3, 3_000_000)]


@ensureDeferred
async def test_spread_of_slots(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    for slot in range(4):
        feed.connect(slot)
        feed.fact(slot, "BestBlockChanged", NOW + 0.25 * slot, slot=7, hash="0x" + 64 * "c")
    feed.fact_stamped(3, "FinalizedBlockChanged", NOW, 0.0 + NOW, slot=5, hash="0x" + 64 * "d")
    await commit(writer)
    columns = "type, slot, nodes, first, p50, p95, p99, last, off_clock"
    assert await database.query(f"SELECT {columns} FROM slots ORDER BY type") == [
        (11, 7, 4, MICROS, 250_000, 750_000, 750_000, 750_000, 0),
        (12, 5, 1, MICROS, 0, 0, 0, 0, 0),
    ]


@ensureDeferred
async def test_slots_ahead_of_the_clock_spread_nowhere(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    newest = newest_slot(NOW)
    for slot in range(4):
        feed.connect(slot)
        number = newest if slot else newest + 1
        feed.fact(slot, "BestBlockChanged", NOW, slot=number, hash="0x" + 64 * "c")
    await commit(writer)
    assert await database.query("SELECT slot, nodes FROM slots") == [(newest, 3)]
    assert await database.query("SELECT best FROM states ORDER BY node") == [
        (newest + 1,),
        (newest,),
        (newest,),
        (newest,),
    ]


@ensureDeferred
async def test_a_core_count_that_is_learned_later(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    """A message that was decoded is read by its own length until then."""
    writer = make_writer(database)
    feed = make_feed(writer)
    for slot, told in enumerate((None, 0, 5)):
        feed.connect(slot, cores=told)
    status = {
        "num_peers": 3, "num_val_peers": 2, "num_sync_peers": 1, "num_guarantees": [4, 5],
        "num_shards": 6, "shards_size": 7, "num_preimages": 8, "preimages_size": 9,
    }  # fmt: skip
    feed.fact(0, "Status", NOW, **status)
    await commit(writer)
    cores = "SELECT cores FROM nodes ORDER BY node"
    assert await database.query(cores) == [(None,), (None,), (5,)]
    ((fields,),) = await database.query("SELECT fields FROM latest")
    assert ujson.loads(fields) == status
    for slot in range(3):
        feed.state(slot, cores=2)
    feed.state(3, cores=2)
    feed.gone(0)
    await commit(writer)
    assert await database.query(cores) == [(2,), (2,), (5,)]


@ensureDeferred
async def test_failures_by_type_and_reason(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    for at, reason in ((0, "timed out"), (30, "timed out"), (61, "timed out"), (61, "no\0pe")):
        feed.fact(1, "ConnectInFailed", NOW + at, connecting_id=1, reason=reason)
    feed.fact(1, "PreimageDiscarded", NOW, hash="0x" + 64 * "0", length=1, reason="Other")
    await commit(writer)
    rows = "SELECT bucket, type, reason, failures FROM failures_{} ORDER BY bucket, type, reason"
    assert await database.query(rows.format("1m")) == [
        (NOW, 22, "timed out", 2),
        (NOW, 199, "Other", 1),
        (NOW + 60, 22, "no\ufffdpe", 1),
        (NOW + 60, 22, "timed out", 1),
    ]
    day = NOW - NOW % 86400
    assert await database.query(rows.format("1d")) == [
        (day, 22, "no\ufffdpe", 1),
        (day, 22, "timed out", 3),
        (day, 199, "Other", 1),
    ]


@ensureDeferred
async def test_fact_that_cannot_be_read_stops_nothing(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    feed.fact(9, "SyncStatusChanged", synced=True)
    feed.fact(1, "SyncStatusChanged", synced=True)
    await commit(writer)
    assert await database.query("SELECT count(*) FROM latest") == [(1,)]


@ensureDeferred
async def test_what_nodes_got_wrong(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    fault = {
        "node_id": feed.node_id(1), "kind": "decode_error", "discriminator": 11, "offset": 9,
        "reason": "cut short", "count": 3, "excerpt": "00ff",
    }  # fmt: skip
    feed.faults(fault, {**fault, "discriminator": None, "node_id": None})
    await commit(writer)
    feed.faults({**fault, "count": 2, "excerpt": "01", "offset": 10})
    await commit(writer)
    assert await database.query(
        "SELECT bucket, node_id, kind, discriminator, reason, faults, f.last_seen, last_offset, "
        "excerpt FROM faults_1h f LEFT JOIN nodes n ON n.node = f.node ORDER BY discriminator"
    ) == [
        (NOW - NOW % 3600, None, "decode_error", -1, "cut short", 3, MICROS, 9, b"\0\xff"),
        (NOW - NOW % 3600, feed.node_id(1), "decode_error", 11, "cut short", 5, MICROS + 2_000_000,
         10, b"\1"),
    ]  # fmt: skip


@ensureDeferred
async def test_raw_events_are_kept_as_they_came(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    feed.connect(2)
    feed.sampled(5, 5)
    feed.chunk((1, 10), (2, 11), at=NOW + 0.25)
    feed.chunk((2, 12), at=NOW + 0.5)
    await commit(writer)
    feed.sampled(10, 1)
    feed.chunk((1, 13), at=NOW + 2)
    await commit(writer)
    batches = await database.query("SELECT first, last, events FROM raw_batches ORDER BY batch")
    assert batches == [
        (MICROS + 250_000, MICROS + 500_000, 3),
        (MICROS + 2_000_000, MICROS + 2_000_000, 1),
    ]
    ids = [
        ujson.loads(message)["data"]["id"]
        for lengths, events in await database.query(
            "SELECT lengths, events FROM raw_chunks ORDER BY batch, number"
        )
        for message in cut_events(lengths, events, range(len(lengths) // 4))
    ]
    assert ids == [1, 2, 3, 4]
    assert await database.query("SELECT bucket, seen, offered, dropped FROM raw_share") == [
        (NOW, 15, 6, 0)
    ]
    assert writer.status()["raw_events_written"] == 4
    assert writer.status()["raw_kept_share"] == 6 / 15


@ensureDeferred
async def test_raw_events_can_be_switched_off(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database, raw_seconds=0)
    feed = make_feed(writer)
    feed.connect(1)
    feed.chunk((1, 10))
    await commit(writer)
    assert await database.query("SELECT count(*) FROM raw_chunks") == [(0,)]


@ensureDeferred
async def test_raw_events_are_bounded(
    database: Database, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database, raw_events=250)
    feed = make_feed(writer)
    feed.connect(1)
    for _ in range(5):
        feed.chunk(*[(1, 10)] * 100)
        await commit(writer)
    assert await database.query("SELECT events FROM raw_batches") == [(100,), (100,)]
    for table in ("raw_chunks", "raw_postings"):
        assert await database.query(f"SELECT count(DISTINCT batch) FROM {table}") == [(2,)]


@ensureDeferred
async def test_old_history_goes(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    clock: Clock,
) -> None:
    writer = make_writer(database, counts={10: 100, 60: 200, 3600: 10_000}, states=100)
    feed = make_feed(writer)
    feed.connect(1)
    feed.counts({1: {10: 5}})
    feed.fact(1, "SyncStatusChanged", synced=True)
    feed.chunk((1, 10))
    await commit(writer)
    clock.advance(400)
    feed.counts({1: {10: 1}}, at=clock.seconds())
    await commit(writer)

    async def rows(table: str) -> int:
        ((count,),) = await database.query(f"SELECT count(*) FROM {table} WHERE bucket <= {NOW}")
        return int(count)

    gone = ("counts_10s", "totals_10s", "counts_1m", "totals_1m", "states")
    while [table for table in gone if await rows(table)]:
        await commit(writer)
    assert await rows("counts_1h") == await rows("totals_1h") == 1
    assert await database.query("SELECT count(*) FROM raw_batches") == [(1,)]
    clock.advance(3600)
    while await database.query("SELECT 1 FROM raw_batches"):
        await commit(writer)


@ensureDeferred
async def test_connections_of_a_killed_server_are_closed(
    database_url: str,
    make_database: Make,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    clock: Clock,
) -> None:
    killed = make_database(database_url)
    writer = make_writer(killed)
    make_feed(writer).connect(1)
    await commit(writer)
    await killed.transact(lambda t: t.execute("UPDATE runs SET ended = NULL"))
    last_seen = int(clock.seconds() * 1_000_000)
    await writer.stop(5)
    await make_database(database_url).open()
    reopened = make_database(database_url)
    await reopened.open()
    await reopened.transact(
        lambda t: (
            t.execute("UPDATE runs SET ended = NULL, seen = ?", (last_seen,)),
            t.execute("UPDATE connections SET ended = NULL, reason = NULL"),
        )
    )
    clock.advance(DEAD_SECONDS + 60)
    successor = make_writer(make_database(database_url))
    await commit(successor)
    while (await reopened.query("SELECT reason FROM connections")) != [(KILLED,)]:
        await commit(successor)
    assert await reopened.query("SELECT ended FROM connections") == [(last_seen,)]


@ensureDeferred
async def test_stop_writes_what_was_taken(
    database_url: str, make_database: Make, make_writer: Make, make_feed: Make
) -> None:
    writer: Writer = make_writer(make_database(database_url))
    feed = make_feed(writer)
    feed.connect(1)
    feed.counts({1: {10: 5}})
    feed.chunk((1, 10))
    await writer.stop(5)
    assert writer.status()["state"] == "stopped"
    database = make_database(database_url)
    await database.open()
    assert (await stored_counts(database, "10s"))[NOW, feed.node_id(1)] == {10: 5}
    assert await database.query("SELECT sum(events) FROM raw_batches") == [(1,)]
    assert await database.query("SELECT count(*) FROM runs WHERE ended IS NOT NULL") == [(1,)]


@ensureDeferred
async def test_counts_stay_exact_when_the_clock_is_set_forward_and_back(
    database: Database, make_writer: Make, make_feed: Make, commit: Make, clock: Clock
) -> None:
    ahead = 0

    def now() -> float:
        return clock.seconds() + ahead

    writer = make_writer(database, now=now)
    feed = make_feed(writer)
    feed.connect(1)
    one = feed.node_id(1)
    expected: Counter[tuple[int, str | None]] = Counter()

    async def count(times: int) -> None:
        for _ in range(times):
            feed.counts({1: {11: 1}}, at=now())
            bucket = int(now()) // 10 * 10
            expected.update([(bucket, one), (bucket, None)])
            await commit(writer)

    await count(20)
    ahead = 3_600
    await count(20)
    ahead = -60  # so that seconds come again whose buckets were let go of
    await count(20)
    found = await stored_counts(database, "10s")
    assert {key: counts[11] for key, counts in found.items()} == expected
    ((ended,),) = await database.query("SELECT ended FROM connections")
    assert ended is None, "the node is still connected"
    assert await database.query("SELECT count(*) FROM runs WHERE ended IS NULL") == [(1,)]


@ensureDeferred
async def test_a_run_waits_for_the_commit_of_the_one_before_that_is_under_way(
    postgresql_url: str, make_database: Make, until: Make
) -> None:
    """Its process is gone, and nobody hears how it ends; the database ends it all the same."""
    before, after, watching = (make_database(postgresql_url) for _ in range(3))
    await before.open()
    await after.open()
    begin = partial(transactions.begin_run, server="server", now=1)
    run = (await before.transact(begin)).run
    keys, commit = rows.Keys("server", [run]), transactions.Commit(1, 7, 0, [], None)
    written, ends = Event(), Event()

    def slowly(transaction: Transaction) -> None:
        transactions.write_commit(transaction, keys, 2, commit, careful=False)
        written.set()
        assert ends.wait(20)

    commits = Deferred.fromCoroutine(before.transact(slowly))
    await until(written.is_set)
    begins = Deferred.fromCoroutine(after.transact(begin))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while await watching.query(waits) == [(0,)]:
        assert not begins.called
    ends.set()
    await commits
    begun = await begins
    assert begun.position == 7
    assert begun.run > run
    with pytest.raises(transactions.Superseded):
        await before.transact(
            lambda t: transactions.write_commit(t, keys, 3, commit, careful=False)
        )


@ensureDeferred
async def test_nodes_that_are_merely_there_are_written_less_often(
    database: Database, make_writer: Make, make_feed: Make, commit: Make, clock: Clock, until: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    await commit(writer)
    before = writer.status()["commits"]
    for second in range(1, 4):
        feed.counts({1: {STATUS: 1}}, at=NOW + 2 * second)
        clock.advance(COMMIT_SECONDS)
        assert writer.status()["attempting"] is None
    clock.advance(LONGEST_SECONDS - 3 * COMMIT_SECONDS)
    await until(lambda: writer.status()["commits"] > before)
    assert (await stored_counts(database, "1h"))[NOW - NOW % 3600, None] == {STATUS: 3}
    feed.counts({1: {STATUS: 1, 11: 1}}, at=NOW + 10)
    await commit(writer)
    assert (await stored_counts(database, "1h"))[NOW - NOW % 3600, None] == {STATUS: 4, 11: 1}
