"""What a table is: its columns, and what becomes of a row whose key is there already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import field, frozen

INTEGER = "integer"
TEXT = "text"
BLOB = "blob"
AUTOMATIC = "automatic"
"""A primary key that the database numbers from 1."""

LARGEST_INTEGER = 2**63 - 1
"""The largest integer of both databases."""


def marks(values: Collection[object]) -> str:
    """A question mark for each of some values, as SQL lists them."""
    return ", ".join("?" * len(values))


@frozen
class Table:
    """A table: its ``columns`` with their types, and the ``key`` that identifies a row.

    When a row is written whose key is there already, all other columns are replaced, except that
    those in ``least`` and ``greatest`` keep what is less or greater, and only where ``unless`` (SQL
    over the table's name and ``excluded``) does not hold. ``indexes`` are further ones: the columns
    of each, and the version of the schema that brought it. ``series`` are such by which rows of one
    kind are found over long ranges of time, in a database that keeps rows as they came, and not by
    their key. ``since`` is the version that brought
    the table, and ``later`` says which of its columns, the last ones, came with which version after
    that; they are null in older rows. Rows are ``large`` where few fit a page: such lie in the
    order in which they come.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    least: frozenset[str] = field(default=frozenset())
    greatest: frozenset[str] = field(default=frozenset())
    unless: str = ""
    indexes: Mapping[tuple[str, ...], int] = field(factory=dict)
    series: Mapping[tuple[str, ...], int] = field(factory=dict)
    since: int = 1
    later: Mapping[str, int] = field(factory=dict)
    large: bool = False

    @property
    def written(self) -> tuple[str, ...]:
        """The columns that are given when a row is written."""
        return tuple(name for name, kind in self.columns.items() if kind != AUTOMATIC)

    @property
    def insert(self) -> str:
        """The statement that writes a new row of the columns that are ``written``."""
        columns = self.written
        return f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES ({marks(columns)})"

    def select(self, *columns: str) -> str:
        """The beginning of a query for some of the ``columns`` of this table.

        :raises KeyError: if it has no such column.
        """
        if missing := set(columns) - self.columns.keys():
            raise KeyError(f"{self.name} has no {', '.join(sorted(missing))}")
        return f"SELECT {', '.join(columns)} FROM {self.name}"

    @property
    def conflict(self) -> str:
        """The ``ON CONFLICT`` clause that replaces a row, the same in both databases."""
        replaced = [column for column in self.written if column not in self.key]
        if not replaced:
            return f"ON CONFLICT ({', '.join(self.key)}) DO NOTHING"
        action = ", ".join(f"{column} = {self._replacement(column)}" for column in replaced)
        condition = f" WHERE NOT ({self.unless})" if self.unless else ""
        return f"ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {action}{condition}"

    def _replacement(self, column: str) -> str:
        there, new = f"{self.name}.{column}", f"excluded.{column}"
        if column in self.least:
            return f"CASE WHEN {there} < {new} THEN {there} ELSE {new} END"
        if column in self.greatest:
            return f"CASE WHEN {there} > {new} THEN {there} ELSE {new} END"
        return new


Row = Sequence[object]
"""The values of a table's ``written`` columns, in their order."""
