"""A database is let go of in time, whatever is under way."""

from __future__ import annotations

import threading
from typing import cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.store.database import waiting
from telemetry_twisted.store.database.interface import Database, DatabaseError, Transaction

CLOCK = cast(IServerReactor, reactor)
LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n",
    "postgresql": "SELECT CAST(pg_sleep(60) AS text)",
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "CLOSE_SECONDS", 0.2)


@ensureDeferred
async def test_what_is_under_way_is_ended(database: Database) -> None:
    await database.open()
    writing = Deferred.fromCoroutine(database.transact(lambda t: t.query(LONG[database.kind])))
    reading = Deferred.fromCoroutine(database.query(LONG[database.kind]))
    begin = CLOCK.seconds()
    await database.close()
    assert CLOCK.seconds() - begin < 10
    for asked in (writing, reading):
        with pytest.raises(DatabaseError):
            await asked


@ensureDeferred
async def test_what_cannot_be_ended_is_left_behind(database: Database) -> None:
    await database.open()
    stuck, go_on = threading.Event(), threading.Event()

    def work(_: Transaction) -> None:
        stuck.set()
        go_on.wait(60)

    writing = Deferred.fromCoroutine(database.transact(work))
    writing.addErrback(lambda _: None)
    assert stuck.wait(20)
    await database.close()
    assert not writing.called
    go_on.set()
    await writing


@ensureDeferred
async def test_a_query_that_nobody_waits_for_holds_up_no_other(database: Database) -> None:
    await database.open()
    begin = CLOCK.seconds()
    for _ in range(20):
        asked = Deferred.fromCoroutine(database.query(LONG[database.kind]))
        asked.addErrback(lambda _: None)
        asked.cancel()
    assert await database.query("SELECT 1") == [(1,)]
    assert CLOCK.seconds() - begin < 4
