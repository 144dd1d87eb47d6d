"""Connections that read: never more than so many, whatever callers and the server do."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import psycopg2
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.store.database import pool as pools
from telemetry_twisted.store.database.address import parse_database
from telemetry_twisted.store.database.interface import (
    DatabaseError,
    DatabaseUnavailable,
    NeverUsable,
    TooManyConnections,
)
from telemetry_twisted.store.database.pool import Pool
from telemetry_twisted.store.database.server import Server

LIMIT = 5
AT_ONCE = LIMIT - 1
"""One connection tells the server what to give up."""
CLOCK = cast(IServerReactor, reactor)
MakePool = Callable[..., Pool]


@pytest.fixture
def make_pool(postgresql_url: str) -> Iterator[MakePool]:
    """Makes pools that are closed when the test is over."""
    made: list[Pool] = []

    def make(url: str = postgresql_url) -> Pool:
        made.append(Pool(Server(parse_database(url)), CLOCK, LIMIT))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def admin(postgresql_url: str) -> Iterator[Any]:
    """A cursor to look at the server with, and to disturb it."""
    connection = psycopg2.connect(postgresql_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


OURS = "datname = current_database() AND pid <> pg_backend_pid()"


def connections(admin: Any) -> int:
    """How many connections the pool has, as the server sees it."""
    admin.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}")
    ((number,),) = admin.fetchall()
    return int(number)


def ask(pool: Pool, sql: str = "SELECT 1", *parameters: Any) -> Deferred[list[tuple[Any, ...]]]:
    return Deferred.fromCoroutine(pool.query(sql, parameters))


async def pause(seconds: float) -> None:
    await deferLater(CLOCK, seconds)


@ensureDeferred
async def test_twenty_cancelled_queries_leave_no_connection_behind(
    make_pool: MakePool, admin: Any
) -> None:
    pool = make_pool()
    for _ in range(20):
        asked = ask(pool, "SELECT pg_sleep(60)")
        await pause(0.01)
        asked.cancel()
        with pytest.raises(CancelledError):
            await asked
        assert connections(admin) <= LIMIT
    assert await gatherResults([ask(pool) for _ in range(AT_ONCE)]) == [[(1,)]] * AT_ONCE
    assert connections(admin) <= LIMIT
    admin.execute(f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND {OURS}")
    assert admin.fetchall() == [(0,)]


@ensureDeferred
async def test_a_query_that_waits_for_a_place_can_be_cancelled(make_pool: MakePool) -> None:
    pool = make_pool()
    busy = [ask(pool, "SELECT pg_sleep(60)") for _ in range(AT_ONCE)]
    waiting, next_in_line = ask(pool), ask(pool, "SELECT 2")
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    busy[0].cancel()
    assert await next_in_line == [(2,)]
    for asked in busy:
        asked.cancel()
    assert await gatherResults([ask(pool) for _ in range(3 * AT_ONCE)])
    for asked in busy:
        asked.addErrback(lambda failure: failure.trap(CancelledError))


class Most(threading.Thread):
    """Looks how many connections there are, all the time, and remembers the most."""

    def __init__(self, admin: Any) -> None:
        super().__init__(daemon=True)
        self.number = 0
        self._admin = admin
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.005):
            self.number = max(self.number, connections(self._admin))

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self.number


@ensureDeferred
async def test_a_thousand_queries_cancelled_at_random_leak_nothing(
    make_pool: MakePool, admin: Any
) -> None:
    chance = random.Random(4)
    pool = make_pool()
    most = Most(admin)
    most.start()
    answered = 0

    async def one(number: int) -> None:
        nonlocal answered
        asked = ask(pool, "SELECT pg_sleep(?), CAST(? AS int)", chance.random() / 300, number)
        if chance.random() < 0.8:
            CLOCK.callLater(chance.random() / 150, asked.cancel)
        with suppress(CancelledError):
            ((_, echoed),) = await asked
            assert echoed == number
            answered += 1

    for begin in range(0, 1000, 20):
        some = [Deferred.fromCoroutine(one(number)) for number in range(begin, begin + 20)]
        await gatherResults(some)
    assert 200 <= answered < 1000
    assert await gatherResults([ask(pool) for _ in range(2 * AT_ONCE)]) == [[(1,)]] * 2 * AT_ONCE
    assert most.stop() <= LIMIT
    assert connections(admin) <= LIMIT


@ensureDeferred
async def test_connections_that_the_server_ended_are_replaced_unseen(
    make_pool: MakePool, admin: Any
) -> None:
    pool = make_pool()
    await gatherResults([ask(pool, "SELECT pg_sleep(0.05)") for _ in range(AT_ONCE)])
    admin.execute(f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OURS}")
    assert admin.fetchall() == [(AT_ONCE,)]
    # The reactor has had no chance to notice: all of these ask a connection that is gone.
    assert await gatherResults([ask(pool) for _ in range(AT_ONCE)]) == [[(1,)]] * AT_ONCE
    assert connections(admin) <= LIMIT


@ensureDeferred
async def test_a_query_whose_connection_the_server_ends_is_told_so(
    make_pool: MakePool, admin: Any, until: Any
) -> None:
    pool = make_pool()
    asked = ask(pool, "SELECT pg_sleep(60)")
    await until(lambda: connections(admin))

    def ended() -> bool:
        admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE query LIKE '%pg_sleep(60)%' AND {OURS}"
        )
        return bool(admin.fetchall() != [(0,)])

    await until(ended)
    with pytest.raises(DatabaseUnavailable):
        await asked
    assert await ask(pool) == [(1,)]


@ensureDeferred
async def test_a_query_that_takes_too_long_is_given_up_by_the_server_too(
    make_pool: MakePool, admin: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    await ask(pool)
    monkeypatch.setattr(pools, "QUERY_SECONDS", 0.1)
    with pytest.raises(DatabaseUnavailable, match=r"took longer than 0\.1 s"):
        await ask(pool, "SELECT pg_sleep(60)")
    monkeypatch.undo()

    def idle() -> bool:
        admin.execute(f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND {OURS}")
        return bool(admin.fetchall() == [(0,)])

    await until(idle, 3)
    assert await ask(pool) == [(1,)]
    assert connections(admin) <= 3


@ensureDeferred
async def test_waiting_for_a_place_ends(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    busy = [ask(pool, "SELECT pg_sleep(60)") for _ in range(AT_ONCE)]
    monkeypatch.setattr(pools, "QUERY_SECONDS", 0.1)
    with pytest.raises(DatabaseUnavailable, match="is busy: none of the connections"):
        await ask(pool)
    for asked in busy:
        asked.addErrback(lambda failure: failure.trap(CancelledError))
        asked.cancel()
    monkeypatch.undo()
    assert await ask(pool) == [(1,)]


@ensureDeferred
async def test_a_server_that_takes_no_more_is_asked_again_and_told_of(
    make_pool: MakePool,
    admin: Any,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin.execute("DROP ROLE IF EXISTS narrow")
    admin.execute("CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 1")
    place = postgresql_url.rpartition("@")[2]
    url = f"postgresql://narrow:narrow@{place}"
    other = psycopg2.connect(url)
    pool = make_pool(url)
    with monkeypatch.context() as hurried:
        hurried.setattr(pools, "QUERY_SECONDS", 0.5)
        with pytest.raises(TooManyConnections, match="takes no more connections"):
            await ask(pool)
    asked = ask(pool, "SELECT 7")
    await pause(0.1)
    assert not asked.called
    other.close()
    assert await asked == [(7,)]
    # One connection is all it gets, and all share it.
    assert await gatherResults([ask(pool) for _ in range(AT_ONCE)]) == [[(1,)]] * AT_ONCE
    pool.close()


@ensureDeferred
async def test_mistakes_in_a_query_cost_no_place(make_pool: MakePool) -> None:
    pool = make_pool()
    for _ in range(LIMIT + 1):
        with pytest.raises(DatabaseError, match="nowhere"):
            await ask(pool, "SELECT * FROM nowhere")
        with pytest.raises(IndexError):
            await ask(pool, "SELECT ?, ?", 1)
        with pytest.raises(DatabaseError):
            await ask(pool, "SELECT ?", object())
    assert await ask(pool) == [(1,)]


@ensureDeferred
async def test_a_host_that_is_not_known_is_told(make_pool: MakePool) -> None:
    pool = make_pool("postgresql://me:secret@database.invalid/history")
    with pytest.raises(NeverUsable, match=r"the address of database\.invalid is not known"):
        await ask(pool)


@ensureDeferred
async def test_closing_ends_what_is_under_way(make_pool: MakePool, admin: Any, until: Any) -> None:
    pool = make_pool()
    asked = [ask(pool, "SELECT pg_sleep(60)") for _ in range(2 * AT_ONCE)]
    await until(lambda: connections(admin) == AT_ONCE)
    pool.close()
    for one in asked:
        with pytest.raises(DatabaseUnavailable, match="was closed"):
            await one
    with pytest.raises(DatabaseUnavailable, match="was closed"):
        await ask(pool)
