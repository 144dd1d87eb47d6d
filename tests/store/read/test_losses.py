"""What history does not have, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pytest_twisted import ensureDeferred

from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.read import losses, nodes
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.schema.policy import DAY, HOUR
from telemetry_twisted.store.schema.table import Row, Table
from telemetry_twisted.store.schema.tables import GAPS, LOSSES, NODES
from tests.store.conftest import NOW

AT = "2026-11-24T07:42:00.000000Z"
LATER = "2026-11-24T07:42:09.000000Z"


def upsert(table: Table, rows: Sequence[Row], transaction: Transaction) -> None:
    transaction.upsert(table, rows)


async def write(database: Database) -> None:
    """Two nodes; the second one loses more, in two runs and the day before yesterday as well."""
    await database.open()
    micros = NOW * 1_000_000
    known = (None, "PolkaJam", "0.1", "0.7.1", 0, 2, 0, None, micros, micros)
    await database.transact(
        lambda t: t.upsert(NODES, [(digit * 64, *known) for digit in ("a", "b")])
    )
    for width, table in LOSSES.items():
        now = NOW // width * width
        rows = [
            (now, 1, 1, 0, 0, None, None, 7),
            (now, 2, 1, 20, 2, micros, micros + 5_000_000, 0),
            (now, 2, 2, 10, 1, micros + 9_000_000, micros + 9_000_000, 1),
            (now - 2 * DAY, 2, 1, 500, 1, 1, 2, 0),
        ]
        await database.transact(partial(upsert, table, rows))
    await database.transact(
        lambda t: t.upsert(
            GAPS,
            [
                (micros, "one", micros + 9_000_000, 5, 4, 3, 2, 1, 6),
                (micros - 60_000_000, "two", micros - 50_000_000, 1, 0, 0, 0, 0, None),
            ],
        )
    )


@ensureDeferred
async def test_losses_of_nodes_the_most_first(database: Database, history: History) -> None:
    await write(database)
    shown = await losses.losses(history, NOW - 60, NOW, 0, 10)
    assert shown.losses == [
        losses.Loss("b" * 64, 30, 3, AT, LATER, 1),
        losses.Loss("a" * 64, 0, 0, None, None, 7),
    ]
    first = await losses.losses(history, NOW - 60, NOW, 0, 1)
    assert (len(first.losses), first.next) == (1, 1)
    second = await losses.losses(history, NOW - 60, NOW, 1, 1)
    assert ([row.node_id for row in second.losses], second.next) == (["a" * 64], None)
    assert (await losses.losses(history, NOW - 7 * DAY, NOW, 0, 10)).losses[0].dropped == 530


@ensureDeferred
async def test_losses_of_the_last_day_stand_with_the_node(
    database: Database, history: History
) -> None:
    await write(database)
    node, other = await nodes.node(history, "b" * 64), await nodes.node(history, "a" * 64)
    assert node is not None
    assert other is not None
    shown = node.losses
    assert (shown.dropped, shown.spans, shown.first, shown.last) == (30, 3, AT, LATER)
    assert shown.rate_limited == 1
    assert other.losses.rate_limited == 7


@ensureDeferred
async def test_gaps_the_newest_first(database: Database, history: History) -> None:
    await write(database)
    shown = await losses.gaps(history, NOW - HOUR, NOW + 60, 0, 10)
    assert shown.gaps[0] == losses.Gap(AT, LATER, "one", 5, 4, 3, 2, 1, 6)
    assert [gap.server for gap in shown.gaps] == ["one", "two"]
    part = await losses.gaps(history, NOW - 55, NOW - 52, 0, 10)
    assert [gap.server for gap in part.gaps] == ["two"]
    assert (await losses.gaps(history, NOW + 10, NOW + 20, 0, 10)).gaps == []
    page = await losses.gaps(history, NOW - HOUR, NOW + 60, 0, 1)
    assert ([gap.server for gap in page.gaps], page.next) == (["one"], 1)
