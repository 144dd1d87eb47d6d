"""What history needs of a database.

All writing is done by :meth:`Writable.transact`, one transaction at a time, in a thread of its own;
all reading by :meth:`Readable.query`. SQL is written once for both databases, with ``?`` for each
parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from telemetry_twisted.store.schema.table import Row, Table

T = TypeVar("T")

Condition = tuple[str, Sequence[int]]
"""SQL that holds for some rows, and its parameters."""

TRANSACTION_SECONDS = 30.0
"""How long a transaction may take before the database counts as gone."""

UPGRADE_SECONDS = 3600.0
"""How long it may take to bring the schema up to date: what is there may be read for it."""

QUERY_SECONDS = 5.0
"""How long a query may take before it is given up."""


class DatabaseError(Exception):
    """The database could not do what it was asked; the message never holds a password."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, or was lost on the way; nothing was written."""


class OutcomeUnknown(DatabaseUnavailable):
    """The database was lost while it committed: the transaction is in it whole, or not at all."""


class TooManyConnections(DatabaseUnavailable):
    """The server takes no more connections for now."""


class DatabaseFull(DatabaseError):
    """There is no room left where the database keeps its files; nothing was written."""


class DatabaseReplaced(DatabaseError):
    """The database is not the one that was written to before."""

    def __init__(self) -> None:
        super().__init__(
            "the database was deleted, emptied or replaced by another, with what had been written; "
            "history goes on in what is there now"
        )


class NeverUsable(DatabaseError):
    """The database cannot be used, and no waiting changes that; the message says what does."""


class SchemaTooNew(NeverUsable):
    """The database was made by a later release."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the database has schema version {found}, and this release knows versions up to "
            f"{known}: upgrade telemetry_twisted, or name another database with --database."
        )


class Transaction(Protocol):
    """What can be done inside :meth:`Database.transact`; used in its thread only."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; return the number of rows it changed."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    def insert(self, table: Table, row: Row) -> int:
        """Write a new row of ``table``; return the number that the database gave it.

        No two transactions, of whatever server, are given the same.
        """

    def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        """Write rows of ``table``, no two with the same key, replacing those that are there."""

    def append(self, table: Table, rows: Iterable[Row]) -> None:
        """Write new rows of ``table`` the fastest way there is."""


class Readable(Protocol):
    """What can be read from."""

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, read beside the writer.

        :raises DatabaseError: the query failed, or took longer than :data:`QUERY_SECONDS`.
        """

    def over(self, table: Table, buckets: range) -> Condition:
        """What holds for the rows of ``table`` in all its ``buckets`` from the first to the last of
        them, told so that those of a few nodes are found soonest."""


class Writable(Protocol):
    """What can be written to."""

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """What ``work`` returns, run in a transaction that commits if it returns.

        :raises OutcomeUnknown: the transaction may have committed or not.
        :raises DatabaseReplaced: it did not, for what :meth:`Database.open` has opened is gone.
        :raises DatabaseError: it did not.
        """


class Database(Readable, Writable, Protocol):
    """A place where history is kept.

    ``kind`` is ``sqlite`` or ``postgresql``; ``name`` says which one it is, without a password.
    """

    kind: str
    name: str

    def check(self) -> None:
        """Look whether the database can ever be used, blocking for some seconds at most.

        One that cannot be reached may come, and is not complained of.

        :raises NeverUsable: if it cannot.
        """

    async def open(self) -> None:
        """Connect for writing, and create the schema or bring it up to date.

        Called again to connect anew after a failure.

        :raises DatabaseUnavailable: if it cannot be reached.
        :raises SchemaTooNew: if a later release made it.
        """

    def abort(self) -> None:
        """Make a transaction that is under way fail soon, whatever the database does."""

    async def close(self) -> None:
        """Let go of the database."""
