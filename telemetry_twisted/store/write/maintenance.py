"""What is done now and then: old history goes, windows are merged, dead runs are closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

from attrs import define, field

from telemetry_twisted.jip3.state_types import BEST_BLOCK, FINALIZED_BLOCK
from telemetry_twisted.store import reports
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.histogram import Histogram
from telemetry_twisted.store.schema.policy import DAY, Policy
from telemetry_twisted.store.schema.tables import (
    COUNTS,
    FAILURES,
    FAULTS,
    GAPS,
    LOSSES,
    SLOTS,
    SPREADS,
)

from .transactions import LATE_SECONDS

SPREAD_WIDTHS = (600, 3600)
"""Windows into which the spread of slots is merged, in seconds."""

DEAD_SECONDS = 120
"""A run that wrote nothing for so long has been killed: a living one writes every two seconds."""

KILLED = "the server was killed"

STEP_SECONDS = 600
"""How much of a table's past is deleted in one transaction."""


class Maintenance:
    """Removes what ``policy`` keeps no longer, a little in each transaction."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy
        self._with_reports = 0

    async def run(self, now: float, own_run: int) -> None:
        """Do all that is due at ``now``, in seconds of Unix time, as the server of ``own_run``."""
        seconds = int(now)
        await self._database.transact(
            partial(_close_dead_runs, now=seconds * 1_000_000, own_run=own_run)
        )
        await self._database.transact(partial(merge_slots, now=seconds))
        begin, self._with_reports = self._with_reports, _first_window(seconds) * 1_000_000
        await self._database.transact(
            partial(_let_go_of_reports, begin=begin, end=self._with_reports)
        )
        for table, column, scale, kept in self._limits():
            work = partial(
                _delete_step,
                table=table,
                column=column,
                step=STEP_SECONDS * scale,
                limit=(seconds - kept) * scale,
            )
            while await self._database.transact(work):
                pass
        policy = self._policy
        await self._database.transact(
            partial(
                trim_raw,
                most_events=policy.raw_events,
                most_bytes=policy.raw_bytes,
                oldest=(seconds - policy.raw_seconds) * 1_000_000,
            )
        )

    def _limits(self) -> list[tuple[str, str, int, int]]:
        """Table, column of time, its units in a second, and how many seconds are kept."""
        policy = self._policy
        return [
            *((COUNTS[width].name, "bucket", 1, kept) for width, kept in policy.counts.items()),
            ("states", "bucket", 1, policy.states),
            ("raw_share", "bucket", 1, policy.states),
            (FAILURES[60].name, "bucket", 1, policy.slots),
            (FAILURES[3600].name, "bucket", 1, policy.yearly),
            (FAILURES[DAY].name, "bucket", 1, policy.yearly),
            *((table.name, "bucket", 1, policy.yearly) for table in FAULTS.values()),
            *((table.name, "bucket", 1, policy.yearly) for table in LOSSES.values()),
            (GAPS.name, "began", 1_000_000, policy.yearly),
            ("spreads", "bucket", 1, policy.yearly),
            ("slots", "first", 1_000_000, policy.slots),
            ("connections", "ended", 1_000_000, policy.yearly),
        ]


def _delete_step(transaction: Transaction, table: str, column: str, step: int, limit: int) -> bool:
    """Delete the oldest rows up to ``limit``, ``step`` at most; return whether more are left."""
    ((oldest,),) = transaction.query(f"SELECT min({column}) FROM {table}")
    if oldest is None or oldest >= limit:
        return False
    until = min(oldest + step, limit)
    transaction.execute(f"DELETE FROM {table} WHERE {column} < ?", (until,))
    return bool(until < limit)


def _close_dead_runs(transaction: Transaction, now: int, own_run: int) -> None:
    """Say when the connections of killed servers ended, as nearly as it is known.

    One's own server is alive, whatever a clock that was set says of when it was last seen; and of
    the runs before its own, the hub says who is connected.
    """
    dead = transaction.query(
        "SELECT run, seen FROM runs WHERE ended IS NULL AND seen < ? AND "
        "(server IS NULL OR server <> (SELECT server FROM runs WHERE run = ?))",
        (now - DEAD_SECONDS * 1_000_000, own_run),
    )
    for run, seen in dead:
        transaction.execute(
            "UPDATE connections SET ended = ?, reason = ? WHERE run = ? AND ended IS NULL",
            (seen, KILLED, run),
        )
        transaction.execute(
            "UPDATE nodes SET last_seen = ? WHERE last_seen < ? AND node IN "
            "(SELECT node FROM connections WHERE run = ? AND ended = ?)",
            (seen, seen, run, seen),
        )
        transaction.execute("UPDATE runs SET ended = ? WHERE run = ?", (seen, run))


@define
class _Window:
    slots: int = 0
    nodes: int = 0
    histogram: Histogram = field(factory=Histogram)


def _first_window(now: int) -> int:
    """When the first window begins in which slots may change at ``now``."""
    return (now - LATE_SECONDS) // max(SPREAD_WIDTHS) * max(SPREAD_WIDTHS)


def _let_go_of_reports(transaction: Transaction, begin: int, end: int) -> None:
    """Nobody goes on with slots that began from ``begin`` to ``end`` (microseconds)."""
    transaction.execute(
        "UPDATE slots SET reports = NULL WHERE first >= ? AND first < ? AND reports IS NOT NULL",
        (begin, end),
    )


def merge_slots(transaction: Transaction, now: int) -> None:
    """Recompute the windows in which slots may have changed."""
    begin = _first_window(now)
    windows: defaultdict[tuple[int, int, int], _Window] = defaultdict(_Window)
    for kind in (BEST_BLOCK, FINALIZED_BLOCK):
        for spread in _slots_since(transaction, kind, begin * 1_000_000):
            decoded = Histogram.decode(spread.histogram)
            for width in SPREAD_WIDTHS:
                bucket = spread.first // 1_000_000 // width * width
                window = windows[width, kind, bucket]
                window.slots += 1
                window.nodes += spread.nodes
                window.histogram.update(decoded)
    rows = [
        (*key, window.slots, window.nodes, window.histogram.encode())
        for key, window in windows.items()
    ]
    if rows:
        transaction.upsert(SPREADS, rows)


def _slots_since(transaction: Transaction, kind: int, begin: int) -> Iterator[reports.Spread]:
    """The slots that began at ``begin`` (microseconds) or later, each once."""
    columns = ", ".join(name for name in reports.COLUMNS if name != "reports")
    rows: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for slot, *values in transaction.query(
        f"SELECT slot, {columns} FROM slots WHERE type = ? AND first >= ?", (kind, begin)
    ):
        rows[slot].append((*values, None))
    for slot, several in rows.items():
        if len(several) > 1:
            several = transaction.query(
                f"{SLOTS.select(*reports.COLUMNS)} WHERE type = ? AND slot = ? ORDER BY run",
                (kind, slot),
            )
        yield reports.merge([reports.read_row(*values) for values in several])


def trim_raw(transaction: Transaction, most_events: int, most_bytes: int, oldest: int = 0) -> None:
    """Delete whole batches of raw events, the oldest first, until there are not too many.

    :param oldest: also those whose events are all older than this, in microseconds.
    """
    ((events, size),) = transaction.query(
        "SELECT CAST(coalesce(sum(events), 0) AS BIGINT), CAST(coalesce(sum(bytes), 0) AS BIGINT) "
        "FROM raw_batches"
    )
    if events > most_events or size > most_bytes or oldest:
        batches = transaction.query(
            "SELECT batch, run, last, events, bytes FROM raw_batches ORDER BY batch, run"
        )
        for batch, run, last, its_events, its_bytes in batches:
            if events <= most_events and size <= most_bytes and last >= oldest:
                break
            for table in ("raw_postings", "raw_chunks", "raw_batches"):
                transaction.execute(
                    f"DELETE FROM {table} WHERE batch = ? AND run = ?", (batch, run)
                )
            events -= its_events
            size -= its_bytes
