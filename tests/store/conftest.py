"""Every store test runs on SQLite and on a real PostgreSQL that is started here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from telemetry_twisted.store.database import Database, open_database
from telemetry_twisted.store.testing import PostgresqlMissing, ThrowawayPostgresql

_numbers = count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[ThrowawayPostgresql]:
    """A running PostgreSQL; the test is skipped where it is not installed, unless
    TELEMETRY_REQUIRE_POSTGRESQL is 1."""
    try:
        server = ThrowawayPostgresql()
    except PostgresqlMissing as missing:
        if os.environ.get("TELEMETRY_REQUIRE_POSTGRESQL") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgresql_url(postgresql_server: ThrowawayPostgresql) -> str:
    """The address of an empty PostgreSQL database."""
    return postgresql_server.create_database(f"telemetry_{next(_numbers)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'telemetry.sqlite'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def make_database() -> Iterator[Callable[[str], Database]]:
    """Makes databases that are closed when the test is over."""
    made: list[Database] = []

    def make(url: str) -> Database:
        database = open_database(url, reactor)
        made.append(database)
        return database

    yield make
    for database in made:
        pytest_twisted.blockon(Deferred.fromCoroutine(database.close()))


@pytest.fixture
def database(database_url: str, make_database: Callable[[str], Database]) -> Database:
    """An empty database of either kind."""
    return make_database(database_url)


Until = Callable[..., Any]


@pytest.fixture
def until() -> Until:
    """Waits until a condition holds, for at most so many seconds."""

    async def wait(condition: Callable[[], object], seconds: float = 20) -> None:
        deadline = reactor.seconds() + seconds  # type: ignore[attr-defined]
        while not condition():
            assert reactor.seconds() < deadline, "the condition did not come true"
            await deferLater(reactor, 0.01)

    return wait
