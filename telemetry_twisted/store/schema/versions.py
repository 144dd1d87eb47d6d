"""The versions of the schema, and how a database gets from one to the next.

Tables are declared as they are now (:mod:`.tables`), each of their parts with the version that
brought it. A new database goes through all versions as an old one does, so the two end up alike.

1. Release 1.0.0.
2. Before release 1.1.0.
3. Release 1.1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from attrs import frozen

from .table import AUTOMATIC, Table
from .tables import COUNTS, NO_NODE, TABLES, TOTALS

NEWEST = 3
"""The version that this release makes and knows."""


def _totals_of(counts: Table, totals: Table) -> str:
    """The statement that gives ``totals`` what stood among the ``counts`` of nodes.

    It goes from bucket to bucket by the key, for the rows are one in a thousand. They stay where
    they are, and go with their time.
    """
    columns = ", ".join(totals.columns)
    next_bucket = f"SELECT min(bucket) FROM {counts.name}"
    return (
        f"INSERT INTO {totals.name} ({columns}) WITH RECURSIVE buckets (bucket) AS ("
        f"{next_bucket} UNION ALL SELECT ({next_bucket} WHERE bucket > buckets.bucket) "
        "FROM buckets WHERE bucket IS NOT NULL) "
        f"SELECT {', '.join(f'counts.{name}' for name in totals.columns)} "
        f"FROM buckets JOIN {counts.name} counts ON counts.bucket = buckets.bucket "
        f"AND counts.node = {NO_NODE}"
    )


REPAIRS = {
    2: ("UPDATE nodes SET first_seen = last_seen WHERE first_seen > last_seen",),
    3: tuple(_totals_of(COUNTS[width], totals) for width, totals in TOTALS.items()),
}
"""What each version puts right, or elsewhere, of what an older one wrote."""


@frozen
class Dialect:
    """How a database wants its tables declared: the type of each kind of column, what follows
    the columns of a table, and whether it keeps rows as they came, so that it needs ``series``."""

    types: Mapping[str, str]
    options: Callable[[Table], str]
    series: bool


def changes_since(
    version: int,
    newest: int,
    dialect: Dialect,
    tables: Sequence[Table] = TABLES,
    repairs: Mapping[int, Sequence[str]] = REPAIRS,
) -> Iterator[str]:
    """The statements that bring a database of schema ``version`` (0 if empty) to ``newest``."""
    for step in range(version + 1, newest + 1):
        for table in tables:
            yield from _changes_in(step, table, dialect)
        if version:
            yield from repairs.get(step, ())


def _changes_in(step: int, table: Table, dialect: Dialect) -> Iterator[str]:
    """What version ``step`` brings of ``table``."""
    came = {name: table.later.get(name, table.since) for name in table.columns}
    columns = [
        f"{name} {dialect.types[kind]}"
        for name, kind in table.columns.items()
        if came[name] == step
    ]
    if table.since == step:
        if table.columns[table.key[0]] != AUTOMATIC:
            uniqueness = "UNIQUE" if AUTOMATIC in table.columns.values() else "PRIMARY KEY"
            columns.append(f"{uniqueness} ({', '.join(table.key)})")
        yield f"CREATE TABLE {table.name} ({', '.join(columns)}){dialect.options(table)}"
    else:
        for column in columns:
            yield f"ALTER TABLE {table.name} ADD COLUMN {column}"
    indexes = {**table.indexes, **(table.series if dialect.series else {})}
    for index, since in indexes.items():
        if since == step:
            name = "_".join((table.name, *index))
            yield f"CREATE INDEX {name} ON {table.name} ({', '.join(index)})"
