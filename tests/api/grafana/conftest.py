"""Asks a server that answers from a database of either kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import treq
from twisted.internet.task import Clock

from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.timestamps import rfc3339
from tests.store.conftest import (  # noqa: F401 (fixtures)
    NOW,
    Feed,
    clock,
    commit,
    database,
    make_database,
    make_feed,
    make_writer,
    until,
)
from tests.store.test_rest import Live, base, fetch, live  # noqa: F401 (fixtures)
from tests.store.test_rest import Make as Make

from .filling import fill

PREFIX = "/api/grafana/"


@pytest.fixture
def ask(fetch: Make) -> Callable[..., Any]:  # noqa: F811
    """Asks below ``/api/grafana`` about two minutes; gives the JSON."""

    async def get(path: str, status: int = 200, **given: Any) -> Any:
        asked = {"start": rfc3339(NOW - 60), "end": rfc3339(NOW + 60), **given}
        code, answer = await fetch(PREFIX + path, **asked)
        assert code == status, f"{path}: {answer}"
        return answer

    return get


@pytest.fixture
def post(base: str) -> Callable[..., Any]:  # noqa: F811
    """Posts JSON; gives that of the answer."""

    async def send(path: str, body: object, status: int = 200) -> Any:
        response = await treq.post(base + path, json=body, persistent=False)
        answer = await treq.json_content(response)
        assert response.code == status, answer
        return answer

    return send


@pytest.fixture
def feeding(
    database: Database,  # noqa: F811
    make_writer: Make,  # noqa: F811
    make_feed: Make,  # noqa: F811
    commit: Make,  # noqa: F811
) -> Callable[..., Any]:
    """Has the database take what a function feeds."""

    async def feed(tell: Callable[[Feed], object]) -> None:
        writer = make_writer(database)
        await commit(writer)
        tell(make_feed(writer))
        await commit(writer)

    return feed


@pytest.fixture
def empty(database: Database, make_writer: Make, commit: Make) -> Callable[..., Any]:  # noqa: F811
    """Has the database be there, with nothing in it."""

    async def begin() -> None:
        await commit(make_writer(database))

    return begin


@pytest.fixture
def filled(feeding: Make, live: Live, clock: Clock) -> Callable[..., Any]:  # noqa: F811
    """Has two networks do a little of everything."""

    async def tell() -> None:
        await feeding(fill)
        live.nodes = [Feed.node_id(handle) for handle in (1, 2, 3)]
        clock.advance(25)

    return tell
