"""A database that is seen to go on while it is written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from attrs import define

from telemetry_twisted.store.database.interface import Transaction, Writable
from telemetry_twisted.store.schema.table import Row, Table

T = TypeVar("T")


class Steps:
    """Runs transactions of ``database``; ``taken`` counts what was done in them, and they."""

    def __init__(self, database: Writable) -> None:
        self.taken = 0
        self._database = database

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """See :meth:`.Writable.transact`."""
        done = await self._database.transact(partial(_step_by_step, work, self))
        self.taken += 1
        return done


def _step_by_step(work: Callable[[Transaction], T], steps: Steps, transaction: Transaction) -> T:
    return work(_Counted(transaction, steps))


@define
class _Counted:
    """A transaction of which each statement is counted that is done."""

    _transaction: Transaction
    _steps: Steps

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        with self._counted():
            return self._transaction.execute(sql, parameters)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._counted():
            return self._transaction.query(sql, parameters)

    def insert(self, table: Table, row: Row) -> int:
        with self._counted():
            return self._transaction.insert(table, row)

    def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        with self._counted():
            self._transaction.upsert(table, rows)

    def append(self, table: Table, rows: Iterable[Row]) -> None:
        with self._counted():
            self._transaction.append(table, rows)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        yield
        self._steps.taken += 1
