"""Databases: addresses, schema, transactions, errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

from telemetry_twisted.store.database.address import parse_database
from telemetry_twisted.store.database.interface import (
    Database,
    DatabaseError,
    DatabaseUnavailable,
    SchemaTooNew,
    Transaction,
)
from telemetry_twisted.store.schema.raw_tables import RAW_CHUNKS
from telemetry_twisted.store.schema.tables import NODES, RAW_SHARE
from telemetry_twisted.store.schema.versions import NEWEST
from telemetry_twisted.store.testing import PASSWORD

Make = Callable[[str], Database]


def test_address_of_sqlite() -> None:
    assert parse_database("sqlite:some/telemetry.sqlite").name == "sqlite:some/telemetry.sqlite"


def test_address_of_postgresql_never_shows_the_password() -> None:
    address = parse_database("postgresql://me:p%40ss%2Fword@db.example:6543/history")
    assert (address.user, address.password) == ("me", "p@ss/word")
    assert (address.host, address.port, address.database) == ("db.example", 6543, "history")
    assert address.name == "postgresql://me@db.example:6543/history"
    assert "p@ss/word" not in f"{address!r}{address}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite:",
        "telemetry.sqlite",
        "mysql://me:geheim@host/name",
        "postgresql://me:geheim@host",
        "postgresql://me:geheim@host:port/name",
        "postgresql:///name",
    ],
)
def test_wrong_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="give sqlite:PATH or postgresql://") as refused:
        parse_database(url)
    assert "geheim" not in str(refused.value)


def test_history_in_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="--no-database"):
        parse_database("sqlite::memory:")


@ensureDeferred
async def test_schema_is_created_once(database: Database) -> None:
    await database.open()
    await database.transact(lambda t: t.upsert(RAW_SHARE, [(10, 1, 2, 3, 4)]))
    await database.open()
    assert await database.query("SELECT seen FROM raw_share") == [(2,)]


@ensureDeferred
async def test_servers_that_start_at_once_share_the_schema(
    database_url: str, make_database: Make
) -> None:
    databases = [make_database(database_url) for _ in range(4)]
    await gatherResults([Deferred.fromCoroutine(database.open()) for database in databases])
    for database in databases:
        assert await database.query("SELECT count(*) FROM nodes") == [(0,)]


@ensureDeferred
async def test_newer_schema_is_refused(
    database_url: str, make_database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = make_database(database_url)
    await newer.open()
    for module in ("sqlite", "postgresql"):
        monkeypatch.setattr(f"telemetry_twisted.store.database.{module}.NEWEST", NEWEST - 1)
    with pytest.raises(SchemaTooNew, match=rf"has schema version {NEWEST}, .* upgrade"):
        await make_database(database_url).open()


@ensureDeferred
async def test_failed_work_is_rolled_back(database: Database) -> None:
    await database.open()

    def work(transaction: Transaction) -> None:
        transaction.upsert(RAW_SHARE, [(10, 1, 2, 3, 4)])
        raise KeyError("no")

    with pytest.raises(KeyError):
        await database.transact(work)
    with pytest.raises(DatabaseError):
        await database.transact(lambda t: t.execute("INSERT INTO nowhere VALUES (1)"))
    assert await database.query("SELECT * FROM raw_share") == []
    await database.transact(lambda t: t.upsert(RAW_SHARE, [(10, 1, 2, 3, 4)]))
    assert await database.query("SELECT bucket, run, seen, offered, dropped FROM raw_share") == [
        (10, 1, 2, 3, 4)
    ]


@ensureDeferred
async def test_rows_are_numbered_by_the_database(database_url: str, make_database: Make) -> None:
    databases = [make_database(database_url) for _ in range(2)]

    def insert(node_id: str) -> Callable[[Transaction], int]:
        row = (node_id, *[None] * (len(NODES.written) - 1))
        return lambda transaction: transaction.insert(NODES, row)

    numbers = {}
    for turn in range(4):
        await databases[turn % 2].open()
        node_id = f"{turn:064x}"
        numbers[node_id] = await databases[turn % 2].transact(insert(node_id))
    assert len(set(numbers.values())) == 4
    assert dict(await databases[0].query("SELECT node_id, node FROM nodes")) == numbers


@ensureDeferred
async def test_rows_are_replaced_by_key(database: Database) -> None:
    await database.open()
    await database.transact(lambda t: t.upsert(RAW_SHARE, [(10, 1, 2, 3, 4), (20, 1, 5, 6, 7)]))
    await database.transact(lambda t: t.upsert(RAW_SHARE, [(10, 1, 9, 9, 9)]))
    rows = await database.query("SELECT bucket, seen FROM raw_share WHERE run = ? ORDER BY 1", (1,))
    assert rows == [(10, 9), (20, 5)]


@ensureDeferred
async def test_appended_bytes_come_back_as_they_were(database: Database) -> None:
    await database.open()
    every_byte = bytes(range(256))
    row = (1, 2, 3, 4, every_byte, b"\\x00\\\t\n\r")
    await database.transact(lambda t: t.append(RAW_CHUNKS, [row]))
    columns = ", ".join(RAW_CHUNKS.columns)
    assert await database.query(f"SELECT {columns} FROM raw_chunks") == [row]


@ensureDeferred
async def test_sql_is_the_same_for_both(database: Database) -> None:
    await database.open()
    assert await database.query("SELECT 7 % CAST(? AS BIGINT), '%'", (4,)) == [(3, "%")]
    assert await database.query("SELECT 7 % 4") == [(3,)]
    assert await database.transact(lambda t: t.query("SELECT 7 % 4")) == [(3,)]


@ensureDeferred
async def test_error_of_a_query_is_the_stores(database: Database) -> None:
    await database.open()
    with pytest.raises(DatabaseError):
        await database.query("SELECT * FROM nowhere")
    assert await database.query("SELECT 1") == [(1,)]


@ensureDeferred
async def test_query_before_there_is_a_database(database: Database) -> None:
    with pytest.raises(DatabaseError):
        await database.query("SELECT * FROM nodes")


@ensureDeferred
async def test_wrong_password_is_not_shown(postgresql_url: str, make_database: Make) -> None:
    database = make_database(postgresql_url.replace("@127", "x@127"))
    with pytest.raises(DatabaseUnavailable) as refused:
        await database.open()
    with pytest.raises(DatabaseUnavailable) as unread:
        await database.query("SELECT 1")
    for shown in (str(refused.value), str(unread.value), database.name, repr(database)):
        assert PASSWORD not in shown
