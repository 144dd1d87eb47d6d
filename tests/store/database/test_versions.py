"""Versions of the schema: a database that was upgraded is like one that was made new."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from telemetry_twisted.store.database import postgresql, sqlite
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.schema.table import INTEGER, TEXT, Table
from telemetry_twisted.store.schema.tables import LATEST, TABLES
from telemetry_twisted.store.schema.versions import NEWEST, changes_since

Make = Callable[..., Any]


async def schema_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """The columns of each table, in their order and with all that is declared of them, and its
    indexes."""
    if database.kind == "sqlite":
        found = await database.query(
            "SELECT name, type, tbl_name, sql FROM sqlite_master ORDER BY name"
        )
        schema = {f"{name} {kind}": [(table, sql)] for name, kind, table, sql in found}
        for name, kind, _, _ in found:
            if kind == "table":
                schema[name] = await database.query(f"PRAGMA table_xinfo({name})")
        return schema
    columns = await database.query(
        "SELECT CAST(table_name AS text), CAST(column_name AS text), ordinal_position, "
        "CAST(data_type AS text), CAST(is_nullable AS text), CAST(column_default AS text), "
        "CAST(is_identity AS text) FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 3"
    )
    indexes = await database.query(
        "SELECT CAST(tablename AS text), indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' ORDER BY 1, 2"
    )
    return {
        name: [row[1:] for row in (*columns, *indexes) if row[0] == name]
        for name in {row[0] for row in columns}
    }


@pytest.mark.parametrize("version", range(1, NEWEST))
@ensureDeferred
async def test_an_upgraded_database_is_like_a_new_one(
    version: int,
    database_url: str,
    make_database: Make,
    monkeypatch: pytest.MonkeyPatch,
    another_url: str,
) -> None:
    upgraded, new = make_database(database_url), make_database(another_url)
    with monkeypatch.context() as older:
        for module in (sqlite, postgresql):
            older.setattr(module, "NEWEST", version)
        await upgraded.open()
        await upgraded.transact(lambda t: t.execute("INSERT INTO raw_share VALUES (1, 2, 3, 4, 5)"))
        before = await schema_of(upgraded)
    await upgraded.open()
    await new.open()
    schema = await schema_of(new)
    assert await schema_of(upgraded) == schema != before
    assert {table.name for table in TABLES} < schema.keys()
    for table in TABLES:
        assert await new.query(f"SELECT {', '.join(table.columns)} FROM {table.name}") == []
    assert await upgraded.query("SELECT bucket, dropped FROM raw_share") == [(1, 5)]


@pytest.mark.end_to_end
@ensureDeferred
async def test_an_upgrade_may_take_longer_than_a_transaction(
    postgresql_url: str, make_database: Make, until: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "TRANSACTION_SECONDS", 2.0)
    database = make_database(postgresql_url)
    with closing(psycopg2.connect(postgresql_url)) as other, other.cursor() as cursor:
        other.autocommit = True  # or it sees who waits as it was at first
        cursor.execute("SELECT pg_advisory_lock(%s)", (postgresql.SCHEMA_LOCK,))
        opening = Deferred.fromCoroutine(database.open())

        def is_waiting() -> bool:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '3 s'"
            )
            return cursor.fetchone() is not None

        await until(is_waiting)
    await opening
    assert (await database.query("SELECT version FROM schema_version")) == [(NEWEST,)]


def test_all_that_is_declared_comes_with_a_version_that_is_known() -> None:
    for table in TABLES:
        came = [table.since, *table.later.values(), *table.indexes.values()]
        assert set(came) <= set(range(1, NEWEST + 1)), table.name
        assert all(version > table.since for version in table.later.values()), table.name
        # What is added to a table comes last: a column has the same place in every database.
        ordered = [table.later.get(name, table.since) for name in table.columns]
        assert ordered == sorted(ordered), table.name
        assert table.later.keys() <= table.columns.keys() - set(table.key), table.name


def test_each_version_brings_its_own() -> None:
    table = Table(
        "made",
        {"id": INTEGER, "value": TEXT, "more": INTEGER},
        ("id",),
        indexes={("value",): 2, ("more",): 3},
        since=2,
        later={"more": 3},
    )
    repairs = {3: ("UPDATE made SET more = 0",)}

    def changes(since: int, newest: int) -> list[str]:
        return list(changes_since(since, newest, sqlite.DIALECT, (LATEST, table), repairs))

    steps = [changes(version - 1, version) for version in (1, 2, 3)]
    assert [len(step) for step in steps[1:]] == [2, 3]
    assert steps[0][0].startswith("CREATE TABLE latest")
    assert steps[1] == [
        "CREATE TABLE made (id INTEGER, value TEXT, PRIMARY KEY (id)) WITHOUT ROWID",
        "CREATE INDEX made_value ON made (value)",
    ]
    assert steps[2] == [
        "ALTER TABLE made ADD COLUMN more INTEGER",
        "CREATE INDEX made_more ON made (more)",
        "UPDATE made SET more = 0",
    ]
    # There is nothing to put right in what is new.
    assert changes(0, 3) == [change for step in steps for change in step][:-1]
