"""What is done now and then: old history goes, windows are merged, dead runs are closed."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from attrs import define, field

from telemetry_twisted.jip3.state_types import BEST_BLOCK, FINALIZED_BLOCK
from telemetry_twisted.store import reports
from telemetry_twisted.store.database.interface import Transaction, Writable
from telemetry_twisted.store.histogram import Histogram
from telemetry_twisted.store.schema.network_tables import ANCHORS, NETWORK_SLOTS
from telemetry_twisted.store.schema.policy import DAY, Policy
from telemetry_twisted.store.schema.sum_tables import KINDS, WIDER
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import CONNECTIONS, LATEST, NODES, SLOTS, SPREADS

from .closing import close_runs
from .limits import SPREAD_WIDTHS, Limit, first_window, limits
from .spread import OPEN_SECONDS
from .widening import Settled, widen

DEAD_SECONDS = 120
"""A run that wrote nothing for so long has been killed: a living one writes every few seconds."""

KILLED = "the server was killed"

STEP_ROWS = 5000
"""How many rows are deleted in one transaction, and those of the same bucket with the last."""

NODES_AT_ONCE = 200
"""Nodes that are forgotten in one transaction."""

BATCHES_AT_ONCE = 20
"""Batches of raw events that are deleted in one transaction."""

MOST_NODES = 100_000
"""Nodes that are kept: of more, those that have been gone for longest are forgotten."""

MOST_NETWORKS = 1000
"""Networks that are kept: of more, those that have not been heard of for longest are forgotten."""

MOST_RUNS = 10_000
"""Runs that are kept."""

BACK_SECONDS = 2 * OPEN_SECONDS
"""How long a node has to be gone to be forgotten, however many there are: while a slot is open, the
next store process asks for all who have reported it."""

Step = Callable[[Transaction], object]
"""A little of what is due: it returns whether there is more of the same."""


class Maintenance:
    """Removes what ``policy`` keeps no longer, and does what else is due, in rounds of steps.

    Each step is a transaction, and a short one: commits come in between.
    """

    def __init__(self, database: Writable, policy: Policy) -> None:
        self._database = database
        self._policy = policy
        self._due: deque[Step] = deque()
        self._let_go_until: dict[str, int] = {}

    async def step(
        self, now: float, own_run: int, settled: Callable[[int], Settled] | None = None
    ) -> bool:
        """Do a little of what is due; return whether the round is over.

        :param now: in seconds of Unix time.
        :param own_run: the run of this server, which is alive.
        :param settled: tells what this process changes no more of a kind of sums, by its number.
        """
        if not self._due:
            if settled is not None:  # before what is too old goes
                self._due.extend(_widening(int(now), settled))
            self._due.extend(self._round(int(now), own_run))
        if not await self._database.transact(self._due[0]):
            self._due.popleft()
        return not self._due

    def _round(self, now: int, own_run: int) -> Iterator[Step]:
        policy, micros = self._policy, now * 1_000_000
        yield partial(_close_dead_runs, now=micros, own_run=own_run)
        for kind in (BEST_BLOCK, FINALIZED_BLOCK):
            yield partial(merge_slots, now=now, kinds=(kind,))
        yield from self._let_go_of_details(now)
        for limit in limits(policy):
            yield partial(_delete_step, limit=limit, now=now)
        longest = max((policy.yearly, policy.states, policy.slots, *policy.counts.values()))
        yield partial(_forget_nodes, now=micros, gone=micros - longest * 1_000_000)
        yield partial(_forget_networks, seen=micros - longest * 1_000_000)
        yield partial(_forget_runs, ended=micros - longest * 1_000_000)
        yield partial(
            trim_raw,
            most_events=policy.raw_events,
            most_bytes=policy.raw_bytes,
            oldest=micros - policy.raw_seconds * 1_000_000,
        )

    def _let_go_of_details(self, now: int) -> Iterator[Step]:
        """Slots that no longer change need no reports, and what single nodes did in one is kept as
        long as their states are; a day of it in a step."""
        states = now - self._policy.states
        for table, column, end in (
            (SLOTS, "reports", first_window(now)),
            (NETWORK_SLOTS, "detail", states),
            (ANCHORS, "detail", states),
        ):
            begin = max(self._let_go_until.get(table.name, 0), now - self._policy.slots)
            self._let_go_until[table.name] = end
            for day in range(begin, end, DAY):
                until = min(day + DAY, end) * 1_000_000
                yield partial(
                    _let_go, table=table.name, column=column, begin=day * 1_000_000, end=until
                )


def _widening(now: int, settled: Callable[[int], Settled]) -> Iterator[Step]:
    """Buckets of observations that change no more become part of wider ones."""
    for kind in KINDS:
        known = settled(kind.number)
        for width in WIDER:
            yield partial(widen, kind=kind, width=width, settled=known, now=now)


def _delete_step(transaction: Transaction, limit: Limit, now: int) -> bool:
    """Delete the oldest rows that are beyond ``limit``; return whether more are left."""
    table, column = limit.table.name, limit.column
    before = (now - limit.seconds) * limit.units
    if limit.most is not None:
        found = transaction.query(
            f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL "
            f"ORDER BY {column} DESC LIMIT 1 OFFSET ?",
            (limit.most,),
        )
        before = max([before, *(newest + 1 for (newest,) in found)])
    last = transaction.query(
        f"SELECT {column} FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT 1 OFFSET ?",
        (before, STEP_ROWS),
    )
    until = last[0][0] + 1 if last else before
    transaction.execute(f"DELETE FROM {table} WHERE {column} < ?", (until,))
    return bool(last)


def _forget_nodes(transaction: Transaction, now: int, gone: int) -> bool:
    """Delete nodes that have not been seen since ``gone``, and of too many those that have been
    gone for longest; return whether more are left.

    Nothing refers to the former any more. What the latter sent still counts for the whole network,
    and goes with its time. The newest node stays, for SQLite would give its number to another.
    """
    ((nodes,),) = transaction.query("SELECT count(*) FROM nodes")
    too_many = nodes > MOST_NODES
    found = [
        number
        for (number,) in transaction.query(
            "SELECT node FROM nodes WHERE last_seen < ? AND node < (SELECT max(node) FROM nodes) "
            "AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.node = nodes.node "
            "AND c.ended IS NULL) ORDER BY last_seen LIMIT ?",
            (
                now - BACK_SECONDS * 1_000_000 if too_many else gone,
                min(NODES_AT_ONCE, nodes - MOST_NODES) if too_many else NODES_AT_ONCE,
            ),
        )
    ]
    if not found:
        return False
    for table in (LATEST, CONNECTIONS, NODES):
        transaction.execute(f"DELETE FROM {table.name} WHERE node IN ({marks(found)})", found)
    return True


def _forget_networks(transaction: Transaction, seen: int) -> None:
    """Delete networks that have not been seen since ``seen``, and of too many those that have not
    been for longest. The newest stays, for SQLite would give its number to another."""
    transaction.execute(
        "DELETE FROM networks WHERE network < (SELECT max(network) FROM networks) AND "
        "(last_seen < ? OR network NOT IN "
        "(SELECT network FROM networks ORDER BY last_seen DESC, network LIMIT ?))",
        (seen, MOST_NETWORKS),
    )


def _forget_runs(transaction: Transaction, ended: int) -> None:
    """Delete runs that ended before a time, or are too many, but none of a server that lives: it
    adds up what they wrote. The newest stays, for SQLite would give its number to another."""
    transaction.execute(
        "DELETE FROM runs WHERE ended IS NOT NULL AND run < (SELECT max(run) FROM runs) "
        "AND (ended < ? OR run <= (SELECT max(run) FROM runs) - ?) "
        "AND coalesce(server, '') NOT IN "
        "(SELECT coalesce(server, '-') FROM runs WHERE ended IS NULL)",
        (ended, MOST_RUNS),
    )


def _close_dead_runs(transaction: Transaction, now: int, own_run: int) -> None:
    """Say when the connections of killed servers ended, as nearly as it is known.

    One's own server is alive, whatever a clock that was set says of when it was last seen, and what
    its runs before have left ends with the next record that says who is there.
    """
    dead = transaction.query(
        "SELECT run, seen FROM runs WHERE ended IS NULL AND seen < ? AND run <> ? "
        "AND (server IS NULL OR server NOT IN "
        "(SELECT server FROM runs WHERE run = ? AND server IS NOT NULL))",
        (now - DEAD_SECONDS * 1_000_000, own_run, own_run),
    )
    for run, seen in dead:
        close_runs(transaction, "run = ?", (run,), seen, KILLED)


@define
class _Window:
    slots: int = 0
    nodes: int = 0
    histogram: Histogram = field(factory=Histogram)


def _let_go(transaction: Transaction, table: str, column: str, begin: int, end: int) -> None:
    """Nobody asks for a ``column`` of what began from ``begin`` to ``end`` (microseconds)."""
    transaction.execute(
        f"UPDATE {table} SET {column} = NULL "
        f"WHERE first >= ? AND first < ? AND {column} IS NOT NULL",
        (begin, end),
    )


def merge_slots(
    transaction: Transaction, now: int, kinds: Sequence[int] = (BEST_BLOCK, FINALIZED_BLOCK)
) -> None:
    """Recompute the windows in which slots may have changed."""
    begin = first_window(now)
    windows: defaultdict[tuple[int, int, int], _Window] = defaultdict(_Window)
    for kind in kinds:
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
        for key, window in sorted(windows.items(), key=lambda each: each[0])
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


def trim_raw(transaction: Transaction, most_events: int, most_bytes: int, oldest: int = 0) -> bool:
    """Delete whole batches of raw events, the oldest first, as long as there are too many; return
    whether there are more of them than are deleted at once.

    :param oldest: also those whose events are all older than this, in microseconds.
    """
    ((events, size),) = transaction.query(
        "SELECT CAST(coalesce(sum(events), 0) AS BIGINT), CAST(coalesce(sum(bytes), 0) AS BIGINT) "
        "FROM raw_batches"
    )
    if events > most_events or size > most_bytes or oldest:
        batches = transaction.query(
            "SELECT batch, run, last, events, bytes FROM raw_batches ORDER BY batch, run LIMIT ?",
            (BATCHES_AT_ONCE,),
        )
        for batch, run, last, its_events, its_bytes in batches:
            if events <= most_events and size <= most_bytes and last >= oldest:
                return False
            for table in ("raw_postings", "raw_chunks", "raw_batches"):
                transaction.execute(
                    f"DELETE FROM {table} WHERE batch = ? AND run = ?", (batch, run)
                )
            events -= its_events
            size -= its_bytes
        return len(batches) == BATCHES_AT_ONCE
    return False
