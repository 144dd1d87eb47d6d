"""A database that answers when a test says so, and as it says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from attrs import define
from twisted.internet.defer import Deferred

from telemetry_twisted.store.database.interface import (
    Condition,
    DatabaseFull,
    DatabaseUnavailable,
    OutcomeUnknown,
    Transaction,
)
from telemetry_twisted.store.database.sqlite import DIALECT, SqliteTransaction
from telemetry_twisted.store.schema.table import Table
from telemetry_twisted.store.schema.versions import NEWEST, changes_since

T = TypeVar("T")


class Answer(Enum):
    """How a transaction goes."""

    WRITTEN = "written"
    REFUSED = "lost before it began"
    BROKEN = "lost in the middle of it"
    FULL = "full"
    UNHEARD = "written, but the answer is lost"
    UNKNOWN = "not written, and the answer is lost"


FAILURES = {
    Answer.BROKEN: DatabaseUnavailable("it went away"),
    Answer.FULL: DatabaseFull("there is no room"),
}
WRITES = (Answer.WRITTEN, Answer.UNHEARD)
MAINTENANCE = ("maintenance", "widening")
"""The modules of what is done now and then."""


@define(eq=False)
class Asked:
    """A transaction that waits for its answer: ``what`` is the function that it is to be."""

    what: Callable[..., Any]
    work: Callable[[Transaction], Any]
    answer: Deferred[Any]


class AnsweringDatabase:
    """A :class:`~telemetry_twisted.store.database.interface.Database` in memory.

    ``connection`` is to the database itself, which outlives those who use it. What they ask for
    waits in ``asked``; maintenance is answered at once.
    """

    kind = "sqlite"
    name = "sqlite:in memory"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.asked: Asked | None = None
        self.at_once = False

    def check(self) -> None:
        pass

    async def open(self) -> None:
        pass

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        assert self.asked is None, "one transaction at a time"
        counted: Any = work
        assert isinstance(counted, partial), "the writer counts the steps of what it asks for"
        what = getattr(counted.args[0], "func", counted.args[0])
        if what.__module__.endswith(MAINTENANCE) or self.at_once:
            return self._run(work)
        self.asked = Asked(what, work, Deferred())
        result: T = await self.asked.answer
        return result

    def answer(self, answer: Answer) -> None:
        """Do or do not what was asked, and say or do not say so."""
        assert self.asked is not None
        asked, self.asked = self.asked, None
        result = None
        try:
            if answer in FAILURES:
                self._run(partial(_and_fail, asked.work, FAILURES[answer]))
            elif answer in WRITES:
                result = self._run(asked.work)
        except Exception as error:
            asked.answer.errback(error)
            return
        if answer is Answer.WRITTEN:
            asked.answer.callback(result)
        elif answer is Answer.REFUSED:
            asked.answer.errback(DatabaseUnavailable("it is away"))
        else:
            asked.answer.errback(OutcomeUnknown("the answer is lost"))

    def _run(self, work: Callable[[Transaction], T]) -> T:
        self.connection.execute("BEGIN")
        try:
            result = work(SqliteTransaction(self.connection))
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result

    async def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, parameters).fetchall()

    def over(self, table: Table, buckets: range) -> Condition:
        raise NotImplementedError("nothing is read of it but by those who know its connection")

    def abort(self) -> None:
        pass

    async def close(self) -> None:
        pass


def _and_fail(
    work: Callable[[Transaction], Any], error: Exception, transaction: Transaction
) -> None:
    work(transaction)
    raise error


def empty_database() -> sqlite3.Connection:
    """A database in memory that has the tables of history."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in changes_since(0, NEWEST, DIALECT):
        connection.execute(statement)
    return connection
