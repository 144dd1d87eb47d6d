"""How what is gathered becomes rows of the tables.

In the column ``node`` such rows have the ID of a node, in ``network`` a genesis hash;
:func:`numbered` puts their numbers there, in the transaction that writes them. They hold nothing
that changes afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import ujson
from attrs import frozen

from telemetry_twisted.store.detail import Detail
from telemetry_twisted.store.packed import pack
from telemetry_twisted.store.schema.network_tables import THINGS
from telemetry_twisted.store.schema.table import Row, Table
from telemetry_twisted.store.schema.tables import SLOTS, STATE_COLUMNS

from .changes import Source
from .counts import Place, Sum
from .faults import FaultCount, FaultKey
from .losses import Gap, Loss
from .presence import Connection, Node
from .share import Share
from .spread import Reports, Slot
from .sum_values import ByNode
from .text import clean


@frozen
class Keys:
    """What tells the rows of this process from those of others: the ``server`` it works for, and
    its run for each stretch of the wall clock, the first of which is its own."""

    server: str
    runs: Sequence[int]

    @property
    def run(self) -> int:
        """The run of the process."""
        return self.runs[0]


@frozen
class Section:
    """One kind of change: where it is gathered, the table it goes to, and how it becomes a row.

    :param row: makes a row of what ``source.take()`` lists.
    """

    source: Source
    table: Table
    row: Callable[[Any, Keys], Row]


@frozen
class Numbers:
    """The numbers that the database has given: by node ID, the empty one among them, and by genesis
    hash."""

    nodes: Mapping[str, int]
    networks: Mapping[str, int]


class Packed(Protocol):
    """A column that names nodes: ``node_ids``, whose numbers :meth:`pack` puts there."""

    @property
    def node_ids(self) -> Iterable[str]: ...

    def pack(self, numbers: Mapping[str, int]) -> bytes:
        """The column, the nodes having ``numbers`` in the database."""


def node_ids(rows: Iterable[tuple[Table, Sequence[Row]]]) -> set[str]:
    """The IDs of all nodes in rows by table, but for the empty one."""
    found: set[str] = set()
    for table, made in rows:
        if (column := _column(table, "node")) is not None:
            found.update(str(row[column]) for row in made)
        for column in _packed_columns(table):
            for row in made:
                if (packed := _packed(row, column)) is not None:
                    found.update(packed.node_ids)
    return found - {""}


def genesis_hashes(rows: Iterable[tuple[Table, Sequence[Row]]]) -> set[str]:
    """The genesis hashes of all networks in rows by table."""
    found: set[str] = set()
    for table, made in rows:
        if (column := _column(table, "network")) is not None:
            found.update(str(row[column]) for row in made)
    return found


def numbered(table: Table, rows: Sequence[Row], numbers: Numbers) -> Sequence[Row]:
    """``rows`` with the numbers of their nodes and networks."""
    for name, given in (("node", numbers.nodes), ("network", numbers.networks)):
        if (column := _column(table, name)) is not None:
            rows = [(*row[:column], given[str(row[column])], *row[column + 1 :]) for row in rows]
    for column in _packed_columns(table):
        rows = [
            row
            if (packed := _packed(row, column)) is None
            else (*row[:column], packed.pack(numbers.nodes), *row[column + 1 :])
            for row in rows
        ]
    return rows


def _column(table: Table, name: str) -> int | None:
    written = table.written
    return written.index(name) if name in written else None


def _packed_columns(table: Table) -> list[int]:
    """Which columns of rows of ``table`` are packed by the numbers of nodes."""
    names = {"guarantors", "node_counts", "node_totals"}
    if table is SLOTS:
        names = {"reports"}
    elif table in THINGS:
        names = {"detail"}
    return [column for column, name in enumerate(table.written) if name in names]


def _packed(row: Row, column: int) -> Packed | None:
    """What is to be packed, None where the column is null."""
    told = row[column]
    assert told is None or isinstance(told, (Reports, ByNode, Detail))
    return told


def node_row(item: tuple[str, Node], _: Keys) -> Row:
    node_id, node = item
    info = node.info
    return (
        node_id,
        node.address,
        clean(info["implementation_name"]),
        clean(info["implementation_version"]),
        clean(info["gp_version"]),
        node.version,
        node.cores,
        info["flags"],
        ujson.dumps(info, escape_forward_slashes=False),
        node.first_seen,
        node.last_seen,
    )


def connection_row(item: tuple[tuple[str, int], Connection], keys: Keys) -> Row:
    _, made = item
    return (made.node_id, made.started, keys.run, made.address, made.ended, made.reason)


def count_row(item: tuple[Place, str, Counter[int]], keys: Keys) -> Row:
    (stretch, bucket), node_id, counts = item
    return (bucket, node_id, keys.runs[stretch], sum(counts.values()), pack(counts))


def total_row(item: tuple[Place, None, Counter[int]], keys: Keys) -> Row:
    (stretch, bucket), _, counts = item
    return (bucket, keys.runs[stretch], sum(counts.values()), pack(counts))


def latest_row(item: tuple[tuple[str, int], tuple[int, dict[str, Any]]], _: Keys) -> Row:
    (node_id, kind), (at, fields) = item
    return (node_id, kind, at, ujson.dumps(fields))


def state_row(item: tuple[Place, str, dict[str, int]], keys: Keys) -> Row:
    (stretch, bucket), node_id, state = item
    return (bucket, node_id, keys.runs[stretch], *map(state.get, STATE_COLUMNS))


def slot_row(item: tuple[int, int, Slot], keys: Keys) -> Row:
    kind, number, slot = item
    return (kind, number, keys.run, *slot.row())


def failure_row(item: tuple[Place, tuple[int, str], Sum], keys: Keys) -> Row:
    (stretch, bucket), (kind, reason), failures = item
    return (bucket, kind, reason, keys.runs[stretch], failures.value)


def fault_row(item: tuple[Place, FaultKey, FaultCount], keys: Keys) -> Row:
    (stretch, bucket), (node_id, kind, discriminator, reason), count = item
    return (
        bucket,
        node_id,
        kind,
        discriminator,
        reason,
        keys.runs[stretch],
        count.faults,
        count.last_seen,
        count.offset,
        count.excerpt,
    )


def loss_row(item: tuple[Place, str, Loss], keys: Keys) -> Row:
    (stretch, bucket), node_id, loss = item
    return (
        bucket,
        node_id,
        keys.runs[stretch],
        loss.dropped,
        loss.spans,
        loss.first,
        loss.last,
        loss.rate_limited,
    )


def gap_row(item: tuple[int, Gap], keys: Keys) -> Row:
    began, gap = item
    return (began, keys.server, gap.ended, *gap.lost)


def share_row(item: tuple[Place, None, Share], keys: Keys) -> Row:
    (stretch, bucket), _, share = item
    return (bucket, keys.runs[stretch], share.seen, share.offered, share.dropped)
