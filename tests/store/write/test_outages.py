"""Databases that are absent, lost, slow, full, and back again: nothing but raw events is lost."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from telemetry_twisted.standstill import LOOK_SECONDS
from telemetry_twisted.store.database import pool, postgresql, sqlite
from telemetry_twisted.store.database.interface import Database, DatabaseUnavailable, Transaction
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.testing import PASSWORD, ThrowawayPostgresql
from telemetry_twisted.store.write import transactions
from telemetry_twisted.store.write.writer import LONGEST_DELAY

NOW = 1_795_506_120
_numbers = count()
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def made_server() -> Iterator[ThrowawayPostgresql]:
    """A PostgreSQL server that no other module needs."""
    server = ThrowawayPostgresql()
    yield server
    server.remove()


@pytest.fixture
def server(made_server: ThrowawayPostgresql) -> Iterator[ThrowawayPostgresql]:
    """A PostgreSQL server to stop and start; it does not run yet."""
    yield made_server
    made_server.kill()


@pytest.fixture
def url(server: ThrowawayPostgresql) -> str:
    """The address of an empty database of the server."""
    server.start()
    url = server.create_database(f"telemetry_{next(_numbers)}")
    server.stop()
    return url


@pytest.fixture
def state(clock: Clock, until: Make) -> Make:
    """Waits until a writer is in a state, letting its time go on."""

    async def wait(writer: Any, *states: str) -> None:
        def reached() -> bool:
            clock.advance(0.1)
            return writer.status()["state"] in states

        await until(reached, 30)

    return wait


async def total(database: Database, table: str = "totals_10s") -> Counter[int]:
    """Counts by type over all nodes and time."""
    rows = await database.query(f"SELECT counts FROM {table}")
    return Counter(add_up(packed for (packed,) in rows))


async def assert_exact(database: Database, counts: dict[int, int]) -> None:
    for table in ("totals_10s", "totals_1m", "totals_1h"):
        assert await total(database, table) == counts


@ensureDeferred
async def test_sqlite_absent_at_start(
    tmp_path: Path,
    make_database: Make,
    make_writer: Make,
    make_feed: Make,
    state: Make,
    commit: Make,
) -> None:
    directory = tmp_path / "later"
    database = make_database(f"sqlite:{directory / 'telemetry.sqlite'}")
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    await state(writer, "unavailable")
    assert "unable to open" in writer.status()["last_error"]
    for _ in range(10):
        feed.counts({1: {10: 1}})
        feed.chunk((1, 10))
    directory.mkdir()
    await state(writer, "ok")
    await commit(writer)
    await assert_exact(database, {10: 10})
    assert await database.query("SELECT sum(events) FROM raw_batches") == [(10,)]


@ensureDeferred
async def test_postgresql_absent_at_start_then_lost_then_back(
    server: ThrowawayPostgresql,
    url: str,
    make_database: Make,
    make_writer: Make,
    make_feed: Make,
    state: Make,
    commit: Make,
) -> None:
    database = make_database(url)
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    feed.counts({1: {10: 1}})
    await state(writer, "unavailable")
    assert PASSWORD not in str(writer.status())
    server.start()
    await state(writer, "ok")
    for round_number in range(2):
        # Not only a Status, which is written with the next commit that has more, or 15 seconds.
        feed.counts({1: {10: 1, 13: 1}})
        feed.chunk((1, 10))
        await commit(writer)
        server.stop("immediate")
        feed.counts({1: {11: 1}}, at=NOW + round_number)
        feed.fact(1, "ConnectInFailed", connecting_id=1, reason="why")
        feed.chunk((1, 11), (1, 11))
        await state(writer, "unavailable")
        feed.counts({1: {12: 1}}, at=NOW + 30)
        server.start()
        await state(writer, "ok")
    await commit(writer)
    await assert_exact(database, {10: 3, 11: 2, 12: 2, 13: 2})
    assert await database.query("SELECT failures FROM failures_1h") == [(2,)]
    assert await database.query("SELECT CAST(sum(events) AS bigint) FROM raw_batches") == [(6,)]
    assert writer.status()["raw_events_dropped"] == 0


@ensureDeferred
async def test_reading_goes_on_when_postgresql_is_back(
    server: ThrowawayPostgresql, url: str, make_database: Make
) -> None:
    server.start()
    database = make_database(url)
    assert await database.query("SELECT 1") == [(1,)]
    server.stop("immediate")
    with pytest.raises(DatabaseUnavailable):
        await database.query("SELECT 1")
    server.start()
    assert await database.query("SELECT 1") == [(1,)]


@ensureDeferred
async def test_reading_from_a_frozen_postgresql_is_given_up(
    server: ThrowawayPostgresql, url: str, make_database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    database = make_database(url)
    assert await database.query("SELECT 1") == [(1,)]
    monkeypatch.setattr(pool, "QUERY_SECONDS", 0.2)
    monkeypatch.setattr(pool, "CONNECT_SECONDS", 0.2)
    server.freeze()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable, match="took longer"):
            await database.query("SELECT 1")
    server.thaw()
    monkeypatch.undo()
    assert await database.query("SELECT 1") == [(1,)]


@ensureDeferred
async def test_frozen_postgresql_counts_as_gone_until_it_answers(
    server: ThrowawayPostgresql,
    url: str,
    make_database: Make,
    make_writer: Make,
    make_feed: Make,
    state: Make,
    commit: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.start()
    database = make_database(url)
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    await commit(writer)
    monkeypatch.setattr(postgresql, "TRANSACTION_SECONDS", 0.5)
    server.freeze()
    feed.counts({1: {10: 1}})
    await state(writer, "unavailable")
    feed.counts({1: {10: 1}})
    monkeypatch.undo()
    server.thaw()
    await state(writer, "ok")
    await commit(writer)
    await assert_exact(database, {10: 2})


@ensureDeferred
async def test_a_slow_database_is_said_to_be_slow(
    server: ThrowawayPostgresql,
    url: str,
    make_database: Make,
    make_writer: Make,
    make_feed: Make,
    clock: Clock,
    commit: Make,
    state: Make,
) -> None:
    server.start()
    writer = make_writer(make_database(url))
    feed = make_feed(writer)
    await commit(writer)
    server.freeze()
    feed.counts({1: {11: 1}})
    clock.advance(11)
    await state(writer, "slow")
    server.thaw()
    await state(writer, "ok")


@ensureDeferred
async def test_stop_ends_soon_though_the_database_stands_still(
    server: ThrowawayPostgresql,
    url: str,
    make_database: Make,
    make_writer: Make,
    make_feed: Make,
    clock: Clock,
    commit: Make,
    until: Make,
) -> None:
    server.start()
    writer = make_writer(make_database(url))
    feed = make_feed(writer)
    await commit(writer)
    server.freeze()
    feed.counts({1: {10: 1}})
    stopped = Deferred.fromCoroutine(writer.stop(3))
    clock.pump([LOOK_SECONDS] * 11)
    assert not stopped.called
    clock.advance(LOOK_SECONDS)
    await until(lambda: stopped.called)


@ensureDeferred
async def test_stop_waits_for_a_database_that_is_slow(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    clock: Clock,
    commit: Make,
    until: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    await commit(writer)
    number_nodes, slow = transactions.number_nodes, 0
    waits, goes_on = Event(), Event()

    def number_slowly(transaction: Transaction, *arguments: Any) -> Any:
        nonlocal slow
        for _ in range(20):
            slow += 1
            waits.set()
            assert goes_on.wait(20)
            goes_on.clear()
            transaction.query("SELECT 1")
        return number_nodes(transaction, *arguments)

    monkeypatch.setattr(transactions, "number_nodes", number_slowly)
    feed.counts({1: {10: 7}})
    stopped = Deferred.fromCoroutine(writer.stop(3))
    for number in range(1, 21):
        await until(lambda number=number: slow == number)
        clock.pump([LOOK_SECONDS] * 8)
        assert not stopped.called
        goes_on.set()
    await until(lambda: stopped.called)
    assert writer.status()["state"] == "stopped"


def fill_up(database: Database) -> tuple[Make, Make]:
    """What makes a database full, and what gives it room again."""
    if database.kind == "sqlite":

        def fill(transaction: Transaction) -> None:
            ((pages,),) = transaction.query("PRAGMA page_count")
            transaction.query(f"PRAGMA max_page_count = {pages}")

        def free(transaction: Transaction) -> None:
            transaction.query("PRAGMA max_page_count = 1000000")

        return fill, free

    def refuse(transaction: Transaction) -> None:
        transaction.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        for table in ("counts_10s", "raw_chunks"):
            transaction.execute(
                f"CREATE TRIGGER refuse BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()"
            )

    def allow(transaction: Transaction) -> None:
        transaction.execute("DROP FUNCTION refuse CASCADE")

    return refuse, allow


@ensureDeferred
async def test_full_database_loses_the_oldest_raw_events_only(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    state: Make,
    commit: Make,
    clock: Clock,
) -> None:
    writer = make_writer(database, queue_events=1000)
    feed = make_feed(writer)
    feed.connect(1)
    await commit(writer)
    fill, free = fill_up(database)
    await database.transact(fill)
    for number in range(1, 60):
        feed.connect(number)
        feed.counts({number: dict.fromkeys(range(200), 1)}, at=clock.seconds())
        feed.sampled(100, 100)
        feed.chunk(*[(number, 10)] * 100)
    await state(writer, "full")
    status = writer.status()
    dropped = status["raw_events_dropped"]
    assert dropped >= 5900 - 1000 - 100
    # Some may have found room before there was none.
    assert status["queue_events"] + status["raw_events_written"] == 5900 - dropped
    await database.transact(free)
    clock.advance(LONGEST_DELAY)
    await state(writer, "ok")
    await commit(writer)
    await assert_exact(database, dict.fromkeys(range(200), 59))
    rows = await database.query("SELECT CAST(sum(events) AS bigint) FROM raw_batches")
    assert rows == [(5900 - dropped,)]
    shares = await database.query("SELECT CAST(sum(dropped) AS bigint) FROM raw_share")
    assert shares == [(dropped,)]


@ensureDeferred
async def test_sqlite_that_another_holds_is_waited_for(
    tmp_path: Path,
    make_database: Make,
    make_writer: Make,
    make_feed: Make,
    state: Make,
    commit: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    path = tmp_path / "telemetry.sqlite"
    database = make_database(f"sqlite:{path}")
    writer = make_writer(database)
    feed = make_feed(writer)
    feed.connect(1)
    await commit(writer)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    feed.counts({1: {10: 1}})
    await state(writer, "unavailable")
    other.execute("ROLLBACK")
    other.close()
    await state(writer, "ok")
    await commit(writer)
    await assert_exact(database, {10: 1})


@ensureDeferred
async def test_database_of_a_later_release_is_left_alone(
    database_url: str,
    make_database: Make,
    make_writer: Make,
    state: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await make_database(database_url).open()
    for module in (sqlite, postgresql):
        monkeypatch.setattr(module, "NEWEST", 0)
    writer = make_writer(make_database(database_url))
    await state(writer, "failed")
    assert "upgrade telemetry_twisted" in writer.status()["last_error"]
