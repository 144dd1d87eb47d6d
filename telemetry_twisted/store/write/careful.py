"""Rows that the database refuses, among others that it takes.

A commit is one transaction, so one row that cannot be written would keep all of history from being
written, for ever. Where the database has refused a commit, the next try writes what it can.
"""

from __future__ import annotations

from collections.abc import Sequence

from telemetry_twisted.store.database.interface import Transaction
from telemetry_twisted.store.schema.table import Row, Table

_SAVEPOINT = "row_of_history"


class Careful:
    """Writes rows in ``transaction``, and leaves out those that the database refuses.

    ``refused`` is how many these are, and ``why`` what it said of the last one.
    """

    def __init__(self, transaction: Transaction) -> None:
        self.refused = 0
        self.why: Exception | None = None
        self._transaction = transaction

    def upsert(self, table: Table, rows: Sequence[Row]) -> None:
        """Write rows of ``table`` as :meth:`.Transaction.upsert` does, as far as it can be done.

        Whatever is wrong with the database rather than with a row is raised.
        """
        self._transaction.execute(f"SAVEPOINT {_SAVEPOINT}")
        try:
            self._transaction.upsert(table, rows)
        except Exception as error:
            if _is_of_the_database(error):
                raise
            self._transaction.execute(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            self._transaction.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
            if len(rows) == 1:
                self.refused += 1
                self.why = error
                return
            half = len(rows) // 2
            self.upsert(table, rows[:half])
            self.upsert(table, rows[half:])
        else:
            self._transaction.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")


def _is_of_the_database(error: Exception) -> bool:
    """Whether it is an ``OperationalError``, as PEP 249 has drivers call it."""
    return any(kind.__name__ == "OperationalError" for kind in type(error).__mro__)
