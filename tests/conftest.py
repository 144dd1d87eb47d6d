"""What concerns all tests: which of them need real processes, and databases of both kinds.

A real PostgreSQL is started for those that need one.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

import tests.examples  # noqa: F401 (registers the profiles)
from telemetry_twisted.store.testing import PostgresqlMissing, ThrowawayPostgresql

settings.load_profile("quick")

_HERE = Path(__file__).parent

_WITH_PROCESSES = {"end_to_end", "bench"}
"""Folders whose tests all start processes."""

_STARTS_PROCESSES = {"postgresql_server", "start_process", "start_server", "server", "command"}
"""Fixtures that start processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs real processes, so that ``-m "not end_to_end"`` runs everything else."""
    for item in items:
        folder = item.path.relative_to(_HERE).parts[0]
        parameters = getattr(item, "callspec", None)
        values = set() if parameters is None else set(map(str, parameters.params.values()))
        fixtures = set(getattr(item, "fixturenames", ()))
        if folder in _WITH_PROCESSES or fixtures & _STARTS_PROCESSES or "postgresql" in values:
            item.add_marker("end_to_end")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at thousands of tests that stay, again and again."""
    gc.collect()
    gc.freeze()


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
def another_url(database_url: str, request: pytest.FixtureRequest) -> str:
    """The address of another empty database of the same kind."""
    if database_url.startswith("sqlite:"):
        return f"{database_url}-2"
    server: ThrowawayPostgresql = request.getfixturevalue("postgresql_server")
    return server.create_database(f"telemetry_{next(_numbers)}")
