"""History in an SQLite file: one thread writes, a few read beside it (WAL)."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.store.schema.table import AUTOMATIC, BLOB, INTEGER, TEXT, Row, Table, marks
from telemetry_twisted.store.schema.versions import NEWEST, Dialect, changes_since

from .address import DatabaseAddress
from .interface import (
    QUERY_SECONDS,
    Condition,
    DatabaseError,
    DatabaseFull,
    DatabaseReplaced,
    DatabaseUnavailable,
    SchemaTooNew,
    Transaction,
)
from .sqlite_file import check_file
from .threads import Threads
from .waiting import ended

T = TypeVar("T")

File = tuple[int, int]
"""The device and the number of a file."""

READERS = 3
"""Threads that read, each with a connection of its own."""

BUSY_SECONDS = 5.0
"""How long to wait for another server that writes to the same file."""

PROGRESS_INSTRUCTIONS = 100_000
"""How often a query looks whether its time is up, in instructions of SQLite's machine."""

PAGE_BYTES = 16384
"""Size of a page: a chunk fits in one, which makes writing them a third faster than with 4 KiB."""


def _options(table: Table) -> str:
    by_key = AUTOMATIC not in table.columns.values() and not table.large
    return " WITHOUT ROWID" if by_key else ""


DIALECT = Dialect(
    {INTEGER: "INTEGER", TEXT: "TEXT", BLOB: "BLOB", AUTOMATIC: "INTEGER PRIMARY KEY"},
    _options,
    series=False,
)


class SqliteTransaction:
    """A transaction of the writing connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return self._connection.execute(sql, parameters).rowcount

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    def insert(self, table: Table, row: Row) -> int:
        number = self._connection.execute(table.insert, row).lastrowid
        assert number is not None
        return number

    def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        self._connection.executemany(f"{table.insert} {table.conflict}", rows)

    def append(self, table: Table, rows: Iterable[Row]) -> None:
        self._connection.executemany(table.insert, rows)


class SqliteDatabase:
    """A :class:`~.interface.Database` in the file at ``address.path``."""

    kind = "sqlite"
    _log = Logger()

    def __init__(self, address: DatabaseAddress, reactor: IServerReactor) -> None:
        self.name = address.name
        self._path = Path(address.path)
        self._reactor = reactor
        self._writing = Threads(reactor, 1, "store-writer")
        self._reading = Threads(reactor, READERS, "store-reader")
        self._closed = False
        self._writer: sqlite3.Connection | None = None
        self._file: File | None = None
        self._readers = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []

    def check(self) -> None:
        check_file(self._path)

    async def open(self) -> None:
        await self._writing.run(self._open)

    def _open(self) -> None:
        self._forget_writer()
        with _translated():
            self._make_private()
            connection = sqlite3.connect(
                self._path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                _write_ahead(connection)
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA cache_size = -65536")
                connection.execute("PRAGMA journal_size_limit = 67108864")
                self._upgrade(connection)
            except BaseException:
                connection.close()
                raise
            self._file = _file_at(self._path)
        self._writer = connection

    def _make_private(self) -> None:
        """Make the file if there is none, for its owner alone.

        SQLite gives the files that it puts beside it the same mode.
        """
        with suppress(OSError):  # SQLite says better what is wrong.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        with _committed(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > NEWEST:
                raise SchemaTooNew(version, NEWEST)
            for statement in changes_since(version, NEWEST, DIALECT):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {NEWEST}")

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        return await self._writing.run(self._transact, work)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        if self._writer is None:
            raise DatabaseUnavailable(f"{self.name} is not open")
        if _file_at(self._path) != self._file:
            # It can be written to all the same, but nobody will find it.
            raise DatabaseReplaced
        with _translated(), _committed(self._writer):
            return work(SqliteTransaction(self._writer))

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        given_up = threading.Event()
        try:
            return await self._reading.run(self._query, sql, parameters, given_up)
        finally:
            given_up.set()

    def _query(
        self, sql: str, parameters: Sequence[Any], given_up: threading.Event
    ) -> list[tuple[Any, ...]]:
        """The rows of a query, which ends soon after it was ``given_up``."""
        if given_up.is_set():
            return []
        with _translated():
            file = _file_at(self._path)
            connection: sqlite3.Connection | None = getattr(self._readers, "connection", None)
            if connection is not None and self._readers.file != file:
                self._reader_connections.remove(connection)
                connection.close()
                connection = self._readers.connection = None
            if connection is None:
                connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro",
                    uri=True,
                    timeout=QUERY_SECONDS,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._readers.connection = connection
                self._readers.file = file
                self._reader_connections.append(connection)
            deadline = time.monotonic() + QUERY_SECONDS
            connection.set_progress_handler(
                lambda: self._closed or given_up.is_set() or time.monotonic() > deadline,
                PROGRESS_INSTRUCTIONS,
            )
            return connection.execute(sql, parameters).fetchall()

    def over(self, table: Table, buckets: range) -> Condition:
        return f"bucket IN ({marks(buckets)})", buckets

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.interrupt()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not await ended(self._reactor, Deferred.fromCoroutine(self._end()), self.abort):
            self._log.warn("{name} did not end: it is left behind", name=self.name)

    async def _end(self) -> None:
        await self._writing.run(self._forget_writer)
        await self._writing.stop()
        await self._reading.stop()
        for connection in self._reader_connections:
            connection.close()

    def _forget_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _file_at(path: Path) -> File | None:
    """Which file is at ``path``, None if there is none: another one has another number."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have the file written ahead (WAL), though others do the same at this moment.

    SQLite does not wait for a lock here as it does elsewhere.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while not _is_written_ahead(connection, last_try=time.monotonic() > deadline):
        time.sleep(0.01)


def _is_written_ahead(connection: sqlite3.Connection, last_try: bool) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError:
        if last_try:
            raise
        return False
    return True


@contextmanager
def _committed(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that holds the write lock from its beginning.

    A commit that fails has failed: SQLite says so only where it has not written all of it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors as the store's."""
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
        if "disk is full" in reason:
            raise DatabaseFull(reason) from error
        if isinstance(error, (sqlite3.OperationalError, sqlite3.InterfaceError)):
            raise DatabaseUnavailable(reason) from error
        raise DatabaseError(reason) from error
