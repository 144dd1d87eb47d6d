"""The start of history: a database that can never be used, seen at once or only later."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.application.service import Service
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.services import history
from telemetry_twisted.services.history import HistoryService
from telemetry_twisted.services.starting import CannotStart
from telemetry_twisted.store.database.interface import NeverUsable

CLOCK = cast(IServerReactor, reactor)


class NoDatabase:
    """A database that can never be used, which is known when ``known`` is set."""

    name = "postgresql://me@nowhere:5432/history"

    def __init__(self) -> None:
        self.known = threading.Event()

    def check(self) -> None:
        assert self.known.wait(20)
        raise NeverUsable("there is none. Give another with --database.")

    async def close(self) -> None:
        pass


class Client:
    """A client of a store process that there is not."""

    def drain(self) -> None:
        pass


def service(database: NoDatabase, told: Deferred[CannotStart]) -> HistoryService:
    client, part, unusable = cast(Any, Client()), cast(Any, Service()), cast(Any, database)
    return HistoryService(client, part, [Service()], unusable, CLOCK, told.callback)


def test_what_is_seen_at_once_keeps_it_from_starting() -> None:
    database, told = NoDatabase(), Deferred[CannotStart]()
    database.known.set()
    made = service(database, told)
    with pytest.raises(CannotStart, match=r"--database postgresql://me@nowhere.*: there is none\."):
        made.startService()
    assert not made.running


@ensureDeferred
async def test_what_is_seen_later_ends_it_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CHECK_SECONDS", 0.01)
    database, told = NoDatabase(), Deferred[CannotStart]()
    made = service(database, told)
    made.startService()
    assert made.running
    assert not told.called
    database.known.set()
    assert "there is none" in str(await told)
    await made.stopService()


@ensureDeferred
async def test_what_is_seen_after_the_end_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history, "CHECK_SECONDS", 0.01)
    database, told = NoDatabase(), Deferred[CannotStart]()
    made = service(database, told)
    made.startService()
    await made.stopService()
    database.known.set()
    (looking,) = [each for each in threading.enumerate() if each.name == "history-check"]
    looking.join(20)
    turn: Deferred[None] = Deferred()
    CLOCK.callFromThread(turn.callback, None)
    await turn
    assert not told.called
