"""How buckets of observations become part of wider ones, in the database.

What is written of a bucket stays open until nothing changes of it any more; then its rows are added
to those of the wider bucket around it, in one transaction that says so. So each is added once,
whatever becomes of the process or of the answer of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from telemetry_twisted.store.database.interface import Transaction
from telemetry_twisted.store.schema.policy import HOUR
from telemetry_twisted.store.schema.sum_tables import MINUTE, SUMS_OPEN, WIDER, Kind
from telemetry_twisted.store.tallies import pack_tally, sum_packed

STRANGER_SECONDS = 6 * HOUR
"""How old a bucket has to be that a server left open which has ended, or is taken for dead, for
another to go on with it. One that lives goes on with its own."""


@frozen
class Settled:
    """What the process changes no more: of each of its ``runs`` what is before a time, or all if
    that is None; and all that earlier runs of its ``server`` wrote."""

    server: str
    runs: Mapping[int, int | None]

    def closed(self, run: int, server: str | None, end: int, now: int) -> bool:
        """Whether nothing changes any more of a bucket of ``run`` that ends at ``end``."""
        if run in self.runs:
            before = self.runs[run]
            return before is None or end <= before
        return server == self.server or end <= now - STRANGER_SECONDS


def widen(transaction: Transaction, kind: Kind, width: int, settled: Settled, now: int) -> bool:
    """Add the oldest bucket of ``width`` seconds that is open, and changes no more, to the wider
    one around it; return whether there was one."""
    rows = transaction.query(
        "SELECT o.bucket, o.run, r.server FROM sums_open o LEFT JOIN runs r ON r.run = o.run "
        "WHERE o.kind = ? AND o.width = ? ORDER BY o.bucket, o.run",
        (kind.number, width),
    )
    for bucket, run, server in rows:
        end = bucket + width
        if settled.closed(run, server, end, now) and not (
            width > MINUTE and _has_open(transaction, kind, bucket, end, run)
        ):
            _add_to_wider(transaction, kind, width, bucket, run)
            return True
    return False


def _has_open(transaction: Transaction, kind: Kind, begin: int, end: int, run: int) -> bool:
    """Whether there are minutes from ``begin`` to ``end`` that are open."""
    return bool(
        transaction.query(
            "SELECT 1 FROM sums_open WHERE kind = ? AND width = ? AND bucket >= ? AND bucket < ? "
            "AND run = ? LIMIT 1",
            (kind.number, MINUTE, begin, end, run),
        )
    )


def _add_to_wider(transaction: Transaction, kind: Kind, width: int, bucket: int, run: int) -> None:
    wider = WIDER[width]
    around = bucket - bucket % wider
    added = _rows(transaction, kind, width, bucket, run)
    there = _rows(transaction, kind, wider, around, run)
    merged = [
        (around, *key, run, *_merge(kind, there.get(key), sums)) for key, sums in added.items()
    ]
    if merged:
        transaction.upsert(kind.tables[wider], merged)
    transaction.execute(
        "DELETE FROM sums_open WHERE kind = ? AND width = ? AND bucket = ? AND run = ?",
        (kind.number, width, bucket, run),
    )
    if wider in WIDER:
        transaction.upsert(SUMS_OPEN, [(around, kind.number, wider, run)])


Sums = tuple[Any, ...]
"""The columns of a row that are added up."""


def _rows(
    transaction: Transaction, kind: Kind, width: int, bucket: int, run: int
) -> dict[tuple[int, int], Sums]:
    """What there is of a bucket, by what it is of."""
    rows = transaction.query(
        f"{kind.tables[width].select(*kind.key, *kind.sums)} WHERE bucket = ? AND run = ?",
        (bucket, run),
    )
    return {(first, second): tuple(sums) for first, second, *sums in rows}


def _merge(kind: Kind, there: Sums | None, added: Sums) -> Iterable[Any]:
    if there is None:
        return added
    return [
        _sum(kind, name, *pair)
        for name, pair in zip(kind.sums, zip(there, added, strict=True), strict=True)
    ]


def _sum(kind: Kind, name: str, there: Any, added: Any) -> Any:
    """Two values of the column ``name`` as one; either may be null, or an empty tally."""
    if there is None or there == b"":
        return added
    if added is None or added == b"":
        return there
    if name == kind.least:
        return min(there, added)
    if name == kind.greatest:
        return max(there, added)
    return pack_tally(sum_packed((there, added)))
