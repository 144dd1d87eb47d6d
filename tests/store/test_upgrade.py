"""A database that release 1.0.0 made is upgraded when it is opened, and its figures stay.

``release_1_0_0`` holds such a database of either kind, with something in every table, and what that
release answered of it.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import psycopg2
import pytest
import ujson
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.store.database import postgresql, sqlite
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.read import blocks, counts, failures, nodes, raw, raw_search, timeline
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.schema.table import Table
from telemetry_twisted.store.schema.tables import COUNTS, TOTALS
from telemetry_twisted.turns import Turns
from tests.store.database.test_versions import schema_of

MADE = Path(__file__).with_name("release_1_0_0")
BEGIN = 1_795_506_120
"""When the minute of history begins that is in it."""

Make = Callable[[str], Database]


@pytest.fixture
def older_url(database_url: str) -> str:
    """The address of a database that release 1.0.0 made."""
    if database_url.startswith("sqlite:"):
        content = lzma.decompress((MADE / "made.sqlite.xz").read_bytes())
        Path(database_url.removeprefix("sqlite:")).write_bytes(content)
    else:
        connection = psycopg2.connect(database_url)
        with connection, connection.cursor() as cursor:
            cursor.execute((MADE / "postgresql.sql").read_text())
        connection.close()
    return database_url


async def answers_of(database: Database) -> dict[str, Any]:
    """What is answered about the history in it."""
    begin, end = BEGIN, BEGIN + 60
    now = BEGIN + 344.0
    history = History(database, Policy(), lambda: now, Turns(cast(IReactorTime, reactor)))
    node_id = "01" * 32
    number = await nodes.node_number(history, node_id)
    assert number is not None
    wanted = raw_search.Wanted(None, None, 0, 2**62)
    found = await raw.browse(history, wanted, raw_search.NEWEST, 100)
    answers: dict[str, Any] = {
        "now": now,
        "nodes": (await nodes.nodes(history, 0, 10)).nodes,
        "node": await nodes.node(history, node_id),
        "totals": {
            series.event_type: series.total
            for series in (await counts.by_type(history, begin, end, None, None)).series
        },
        "by_type": await counts.by_type(history, begin, end, None, None),
        "by_node": await counts.by_node(history, begin, end, None),
        "timeline": await timeline.timeline(history, number, node_id, begin, end),
        "slot": await blocks.slot(history, 4_988_003),
        "propagation": await blocks.propagation(history, begin, end, "best"),
        "windows": await blocks.propagation(history, begin - 7200, begin + 3600, "finalized"),
        "failures": (await failures.failures(history, begin, end, None, 0, 10)).failures,
        "faults": (await failures.faults(history, begin, end, None, None, 0, 10)).protocol_errors,
        "raw": [ujson.loads(message) for message in found.messages],
    }
    plain: dict[str, Any] = json.loads(msgspec.json.encode(answers))
    return plain


def missing(before: Any, after: Any, place: str = "") -> list[str]:
    """What of ``before`` is not in ``after`` as it was; more may be told now."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            found
            for name, value in before.items()
            for found in missing(value, after.get(name), f"{place}.{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [found for at, (b, a) in pairs for found in missing(b, a, f"{place}[{at}]")]
    return [] if before == after else [f"{place}: {before} is now {after}"]


@ensureDeferred
async def test_figures_of_release_1_0_0_stay(older_url: str, make_database: Make) -> None:
    database = make_database(older_url)
    await database.open()
    before = json.loads((MADE / "answers.json").read_text())
    for node in (before["node"], *before["nodes"]):
        # What that release wrote was later than the last time.
        node["first_seen"] = min(node["first_seen"], node["last_seen"])
    assert missing(before, await answers_of(database)) == []
    rows = await database.query("SELECT count(*) FROM nodes WHERE first_seen > last_seen")
    assert rows == [(0,)]


@ensureDeferred
async def test_two_servers_may_upgrade_it_at_once(
    older_url: str, another_url: str, make_database: Make
) -> None:
    servers = [make_database(older_url) for _ in range(2)]
    await gatherResults([Deferred.fromCoroutine(server.open()) for server in servers])
    new = make_database(another_url)
    await new.open()
    for server in servers:
        assert await schema_of(server) == await schema_of(new)
    assert await answers_of(servers[0]) == await answers_of(servers[1])


@ensureDeferred
async def test_history_goes_on_in_it(
    older_url: str,
    make_database: Make,
    make_writer: Callable[..., Any],
    make_feed: Callable[..., Any],
    commit: Callable[..., Any],
) -> None:
    database = make_database(older_url)
    await database.open()
    before = await totals(database)
    known = await database.query("SELECT node_id, node FROM nodes ORDER BY node")
    writer = make_writer(database)
    feed = make_feed(writer)
    await commit(writer)
    feed.connect(1)
    feed.connect(77)
    feed.counts({1: {10: 5}, 77: {10: 1}})
    await commit(writer)
    assert await totals(database) == {**before, 10: before[10] + 6}
    after = await database.query("SELECT node_id, node FROM nodes ORDER BY node")
    assert after[:-1] == known
    assert after[-1][0] == feed.node_id(77)
    assert await database.query("SELECT count(*) FROM runs") == [(2,)]


@ensureDeferred
async def test_totals_that_stood_among_the_counts_of_nodes_are_found(
    database_url: str, make_database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every bucket and run, whatever buckets there are."""
    told = [(600, 7), (600, 8), (1200, 7), (10_200, 9)]
    rows = [
        (*place, events, bytes([place[0] % 251, place[1]])) for events, place in enumerate(told)
    ]
    database = make_database(database_url)
    with monkeypatch.context() as older:
        for module in (sqlite, postgresql):
            older.setattr(module, "NEWEST", 2)
        await database.open()
    for table in COUNTS.values():
        of_nodes = [(bucket, node, run, *more) for bucket, run, *more in rows for node in (0, 1, 5)]
        lone = (1800, 1, 7, 1, b"")  # of a bucket that all nodes together have nothing of
        await database.transact(partial(_upsert, table=table, rows=[*of_nodes, lone]))
    await database.open()
    for totals in TOTALS.values():
        columns = ", ".join(totals.columns)
        found = await database.query(f"SELECT {columns} FROM {totals.name} ORDER BY bucket, run")
        assert found == rows


def _upsert(transaction: Transaction, table: Table, rows: list[tuple[Any, ...]]) -> None:
    transaction.upsert(table, rows)


async def totals(database: Database) -> dict[int, int]:
    """Events by type in all that is there."""
    rows = await database.query("SELECT counts FROM totals_1h")
    return dict(add_up(packed for (packed,) in rows))
