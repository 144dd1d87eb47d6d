"""History in PostgreSQL: txpostgres reads, a thread with psycopg2 writes.

Chunks of raw events go in with ``COPY``, which from a thread is several times as fast as
``INSERT … SELECT unnest(…)`` through txpostgres (``bench/store_rows.py``). Everything else is
written on the same connection, so that a commit is one transaction whatever it holds.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg2
from psycopg2.extras import execute_values
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.store.schema.table import AUTOMATIC, BLOB, INTEGER, TEXT, Row, Table, marks
from telemetry_twisted.store.schema.versions import NEWEST, Dialect, changes_since

from .address import DatabaseAddress
from .interface import (
    TRANSACTION_SECONDS,
    UPGRADE_SECONDS,
    Condition,
    DatabaseUnavailable,
    OutcomeUnknown,
    SchemaTooNew,
    Transaction,
)
from .pool import Pool
from .server import Server, mark_parameters, read_bytes, read_version
from .threads import Threads
from .waiting import ended

T = TypeVar("T")

SCHEMA_LOCK = 0x6A6970335F747774
"""The advisory lock under which servers that start at once change the schema one by one."""

DIALECT = Dialect(
    {
        INTEGER: "bigint",
        TEXT: "text",
        BLOB: "bytea",
        AUTOMATIC: "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    },
    lambda _: " WITH (fillfactor = 80)",
    series=True,
)


class PostgresqlTransaction:
    """A transaction of the writing connection."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        self._cursor.execute(mark_parameters(sql), tuple(parameters))
        rows: int = self._cursor.rowcount
        return rows

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._cursor.execute(mark_parameters(sql), tuple(parameters))
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def insert(self, table: Table, row: Row) -> int:
        (number,) = (name for name, kind in table.columns.items() if kind == AUTOMATIC)
        ((given,),) = self.query(f"{table.insert} RETURNING {number}", row)
        return int(given)

    def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        columns = ", ".join(table.written)
        execute_values(
            self._cursor,
            f"INSERT INTO {table.name} ({columns}) VALUES %s {table.conflict}",
            rows,
            page_size=1000,
        )

    def append(self, table: Table, rows: Iterable[Row]) -> None:
        lines = io.BytesIO(b"".join(map(_copy_line, rows)))
        self._cursor.copy_expert(
            f"COPY {table.name} ({', '.join(table.written)}) FROM STDIN", lines
        )


def _bring_up_to_date(transaction: Transaction) -> None:
    transaction.execute(f"SET LOCAL statement_timeout = {int(UPGRADE_SECONDS * 1000)}")
    transaction.query("SELECT pg_advisory_xact_lock(?)", (SCHEMA_LOCK,))
    transaction.execute("CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)")
    found = transaction.query("SELECT version FROM schema_version")
    version = found[0][0] if found else 0
    if version > NEWEST:
        raise SchemaTooNew(version, NEWEST)
    for statement in changes_since(version, NEWEST, DIALECT):
        transaction.execute(statement)
    transaction.execute("DELETE FROM schema_version")
    transaction.execute("INSERT INTO schema_version VALUES (?)", (NEWEST,))


def _copy_line(row: Row) -> bytes:
    """``row`` in the text format of COPY."""
    return b"\t".join(map(_copy_field, row)) + b"\n"


def _copy_field(value: object) -> bytes:
    if isinstance(value, bytes):
        return b"\\\\x" + value.hex().encode()
    if value is None:
        return b"\\N"
    text = str(value)
    for character, escape in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, escape)
    return text.encode()


class PostgresqlDatabase:
    """A :class:`~.interface.Database` in a PostgreSQL server."""

    kind = "postgresql"
    _log = Logger()

    def __init__(self, address: DatabaseAddress, reactor: IServerReactor) -> None:
        self.name = address.name
        self._server = Server(address)
        self._reactor = reactor
        self._writing = Threads(reactor, 1, "store-writer")
        self._closed = False
        self._writer: Any = None
        self._busy = False
        self._pool = Pool(self._server, reactor)

    def check(self) -> None:
        self._server.check()

    async def open(self) -> None:
        if await self._limited(TRANSACTION_SECONDS, self._connect) < NEWEST:
            await self._limited(UPGRADE_SECONDS, self._upgrade)

    def _connect(self) -> int:
        """Connect for writing; return the version of the schema that is there."""
        self._forget_writer()
        with self._server.errors():
            connection = psycopg2.connect(**self._server.parameters(TRANSACTION_SECONDS))
            read_bytes(connection)
            self._writer = connection
            try:
                with self._committed(connection):
                    version = read_version(connection)
                if version > NEWEST:
                    raise SchemaTooNew(version, NEWEST)
            except BaseException:
                self._forget_writer()
                raise
        return version

    def _upgrade(self) -> None:
        try:
            self._transact(_bring_up_to_date)
        except BaseException:
            self._forget_writer()
            raise

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        return await self._limited(TRANSACTION_SECONDS, self._transact, work)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        if self._writer is None:
            raise DatabaseUnavailable(f"{self.name} is not connected")
        with self._server.errors(), self._committed(self._writer) as transaction:
            return work(transaction)

    @contextmanager
    def _committed(self, connection: Any) -> Iterator[PostgresqlTransaction]:
        """A transaction of ``connection``.

        A commit has failed where the server said so and is still there; a connection that ended
        instead may have done so before or after the server was done.
        """
        try:
            with connection.cursor() as cursor:
                yield PostgresqlTransaction(cursor)
        except BaseException:
            with suppress(psycopg2.Error):  # A lost connection has nothing to roll back.
                connection.rollback()
            raise
        try:
            connection.commit()
        except psycopg2.Error as error:
            if connection.closed:
                raise OutcomeUnknown(self._server.reason(error)) from None
            raise

    async def _limited(self, seconds: float, work: Callable[..., T], *arguments: Any) -> T:
        """Run ``work`` in the writing thread, for at most so many ``seconds``."""
        self._busy = True
        timeout = self._reactor.callLater(seconds, self.abort)
        try:
            return await self._writing.run(work, *arguments)
        finally:
            self._busy = False
            if timeout.active():
                timeout.cancel()

    def abort(self) -> None:
        writer = self._writer
        if self._busy and writer is not None and not writer.closed:
            with socket.socket(fileno=os.dup(writer.fileno())) as link:
                link.shutdown(socket.SHUT_RDWR)

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await self._pool.query(sql, parameters)

    def over(self, table: Table, buckets: range) -> Condition:
        if table.series:
            return "bucket >= ? AND bucket < ?", (buckets.start, buckets.stop)
        return f"bucket IN ({marks(buckets)})", buckets

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._pool.close()
        if not await ended(self._reactor, Deferred.fromCoroutine(self._end_writing()), self.abort):
            self._log.warn("{name} did not end: it is left behind", name=self.name)

    async def _end_writing(self) -> None:
        await self._writing.run(self._forget_writer)
        await self._writing.stop()

    def _forget_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
