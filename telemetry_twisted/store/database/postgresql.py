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
import psycopg2.errors
import psycopg2.extensions
from psycopg2.extras import execute_values
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.python.failure import Failure
from txpostgres import txpostgres

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.store.schema.table import AUTOMATIC, BLOB, INTEGER, TEXT, Row, Table
from telemetry_twisted.store.schema.versions import NEWEST, Dialect, changes_since

from .address import DatabaseAddress
from .interface import (
    QUERY_SECONDS,
    TRANSACTION_SECONDS,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    OutcomeUnknown,
    SchemaTooNew,
    Transaction,
)
from .threads import Threads

T = TypeVar("T")

READERS = 4
"""Connections that read."""

CONNECT_SECONDS = 5
"""How long connecting may take."""

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
)

_BYTES = psycopg2.extensions.new_type(
    psycopg2.BINARY.values,
    "BYTES",
    lambda value, cursor: None if value is None else bytes(psycopg2.BINARY(value, cursor)),
)


class PostgresqlTransaction:
    """A transaction of the writing connection."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        self._cursor.execute(_format(sql), tuple(parameters))
        rows: int = self._cursor.rowcount
        return rows

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self._cursor.execute(_format(sql), tuple(parameters))
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def insert(self, table: Table, row: Row) -> int:
        (number,) = (name for name, kind in table.columns.items() if kind == AUTOMATIC)
        marks = ", ".join("?" * len(table.written))
        ((given,),) = self.query(
            f"INSERT INTO {table.name} ({', '.join(table.written)}) VALUES ({marks}) "
            f"RETURNING {number}",
            row,
        )
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


def _format(sql: str) -> str:
    """``sql`` with its parameters marked as psycopg2 wants them."""
    return sql.replace("%", "%%").replace("?", "%s")


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

    def __init__(self, address: DatabaseAddress, reactor: IServerReactor) -> None:
        self.name = address.name
        self._address = address
        self._reactor = reactor
        self._writing = Threads(reactor, 1, "store-writer")
        self._closed = False
        self._writer: Any = None
        self._busy = False
        self._readers = DeferredSemaphore(READERS)
        self._idle: list[_Reader] = []

    def _parameters(self, statement_seconds: float) -> dict[str, Any]:
        return {
            "host": self._address.host,
            "port": self._address.port,
            "user": self._address.user or None,
            "password": self._address.password or None,
            "dbname": self._address.database,
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "telemetry-twisted",
            "options": f"-c statement_timeout={int(statement_seconds * 1000)}",
        }

    async def open(self) -> None:
        await self._limited(self._open)

    def _open(self) -> None:
        self._forget_writer()
        with self._translated():
            connection = psycopg2.connect(**self._parameters(TRANSACTION_SECONDS))
            connection.set_client_encoding("UTF8")
            psycopg2.extensions.register_type(_BYTES, connection)
            self._writer = connection
            try:
                with self._committed(connection) as transaction:
                    self._upgrade(transaction)
            except BaseException:
                self._forget_writer()
                raise

    def _upgrade(self, transaction: PostgresqlTransaction) -> None:
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

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        return await self._limited(self._transact, work)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        if self._writer is None:
            raise DatabaseUnavailable(f"{self.name} is not connected")
        with self._translated(), self._committed(self._writer) as transaction:
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
                raise OutcomeUnknown(self._reason(error)) from None
            raise

    async def _limited(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run ``work`` in the writing thread, for at most :data:`TRANSACTION_SECONDS`."""
        self._busy = True
        timeout = self._reactor.callLater(TRANSACTION_SECONDS, self.abort)
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
        await self._readers.acquire()
        try:
            return await self._query(_format(sql), tuple(parameters))
        finally:
            self._readers.release()

    async def _query(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._translated():
            reader = self._idle.pop() if self._idle else await self._connected_reader()
            try:
                rows: list[tuple[Any, ...]] = await self._in_time(
                    reader.runQuery(sql, parameters), QUERY_SECONDS
                )
            except (psycopg2.Error, DatabaseUnavailable):
                reader.close()
                raise
            self._idle.append(reader)
            return rows

    async def _connected_reader(self) -> _Reader:
        reader = _Reader(self._reactor, lost=self._reader_lost)
        try:
            parameters = self._parameters(QUERY_SECONDS)
            await self._in_time(reader.connect(**parameters), CONNECT_SECONDS)
        except (psycopg2.Error, DatabaseUnavailable):
            if reader.pollable() is not None:
                reader.close()
            raise
        psycopg2.extensions.register_type(_BYTES, reader.pollable())
        return reader

    def _reader_lost(self, reader: _Reader) -> None:
        if reader in self._idle:
            self._idle.remove(reader)

    async def _in_time(self, result: Deferred[T], seconds: float) -> T:
        """What ``result`` fires with, if it does within ``seconds``.

        It is not cancelled: that would have psycopg2 wait, blocking, for a server that may not
        answer. Closing the connection is what ends it.
        """
        outcome: Deferred[T] = Deferred()

        def give_up() -> None:
            outcome.errback(DatabaseUnavailable(f"{self.name} took longer than {seconds:g} s"))

        timeout = self._reactor.callLater(seconds, give_up)

        def settle(value: T | Failure) -> None:
            if timeout.active():
                timeout.cancel()
                outcome.callback(value)

        result.addBoth(settle)
        return await outcome

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._writing.run(self._forget_writer)
        await self._writing.stop()
        while self._idle:
            self._idle.pop().close()

    def _forget_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """psycopg2's errors as the store's, without the password."""
        try:
            yield
        except psycopg2.Error as error:
            reason = self._reason(error)
            if isinstance(error, psycopg2.errors.DiskFull):
                raise DatabaseFull(reason) from None
            if isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError)):
                raise DatabaseUnavailable(reason) from None
            raise DatabaseError(reason) from None

    def _reason(self, error: psycopg2.Error) -> str:
        reason = " ".join(str(error).split()) or type(error).__name__
        if self._address.password:
            reason = reason.replace(self._address.password, "…")
        return reason


class _Reader(txpostgres.Connection):  # type: ignore[misc]  # txpostgres has no types
    """A connection that, lost while nobody asks anything of it, is closed rather than logged."""

    def __init__(self, reactor: IServerReactor, lost: Callable[[_Reader], None]) -> None:
        super().__init__(reactor)
        self._lost = lost

    def doRead(self) -> None:
        try:
            super().doRead()
        except psycopg2.Error:
            self.close()
            self._lost(self)
