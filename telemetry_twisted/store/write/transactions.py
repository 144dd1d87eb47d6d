"""What the store process does in single transactions; all of it runs in the writing thread.

Each begins by writing the row of the process's run, and so waits for a commit of the same run, or
of the run before, that is still under way though nobody waits for its answer any more: what is read
after that is what holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from attrs import frozen

from telemetry_twisted.store.database.interface import DatabaseError, DatabaseReplaced, Transaction
from telemetry_twisted.store.schema.raw_tables import RAW_BATCHES, RAW_CHUNKS, RAW_POSTINGS
from telemetry_twisted.store.schema.sum_tables import NETWORKS
from telemetry_twisted.store.schema.table import Row, Table, marks
from telemetry_twisted.store.schema.tables import NO_NODE, NODES, RUNS

from .careful import Careful
from .closing import close_runs
from .limits import LATE_SECONDS
from .presence import END_LOST
from .raw import Batch, Waiting, make_batch
from .rows import Keys, Numbers, genesis_hashes, node_ids, numbered
from .spread import OPEN_SECONDS, Slot, reporters, unpack_slot
from .taking_over import TakenOver, take_over

T = TypeVar("T")

NODES_AT_ONCE = 1000
"""Nodes that one statement numbers."""


class Superseded(DatabaseError):
    """Another store process works for the server: what this one would write, that one does."""

    def __init__(self) -> None:
        super().__init__("another store process of the same server has begun; this one is to end")


@frozen
class Begun:
    """A new run, and what the runs of its server before it have left: the number of the last
    record that is in the database, raw events written and let go of, slots by type and number, and
    what was ``taken_over`` of what is understood, ``at`` a time (microseconds).
    """

    run: int
    position: int
    raw_written: int
    raw_dropped: int
    slots: list[tuple[int, int, Slot]]
    taken_over: TakenOver
    at: int


@frozen
class Commit:
    """What one transaction writes, ready but for the numbers of nodes.

    ``number`` counts the transactions of the run. Where ``resumed`` is not None, connections of
    the server's runs before have ended by then, unless they are among the rows.
    """

    number: int
    position: int
    raw_dropped: int
    rows: Sequence[tuple[Table, Sequence[Row]]]
    resumed: int | None


@frozen
class RawCommit:
    """Raw events that one transaction writes, under the number ``batch``, which is about when
    (microseconds); ``raw_written`` is how many the run has written with them."""

    number: int
    batch: int
    raw_written: int
    waiting: Sequence[Waiting]


def begin_run(transaction: Transaction, server: str, now: int) -> Begun:
    """Begin a run of ``server`` at ``now`` (microseconds), which takes over from those before."""
    transaction.execute("UPDATE runs SET seen = seen WHERE server = ?", (server,))
    ((position, written, dropped),) = transaction.query(
        "SELECT coalesce(max(position), 0), CAST(coalesce(sum(raw_written), 0) AS BIGINT), "
        "CAST(coalesce(sum(raw_dropped), 0) AS BIGINT) FROM runs WHERE server = ?",
        (server,),
    )
    run = transaction.insert(RUNS, (now, now, None, server, position, 0, 0, 0))
    slots = _take_over_slots(transaction, server, run, now)
    names_of = partial(node_names, transaction)
    taken_over = take_over(transaction, server, run, now, names_of)
    return Begun(run, position, written, dropped, slots, taken_over, now)


def begin_stretch(transaction: Transaction, now: int) -> int:
    """Begin a run for the rows of seconds that come again."""
    return transaction.insert(RUNS, (now, now, now, None, None, None, None, None))


def _take_over_slots(
    transaction: Transaction, server: str, run: int, now: int
) -> list[tuple[int, int, Slot]]:
    """The slots that the runs before were in the midst of; their rows are those of ``run`` now."""
    transaction.execute(
        "UPDATE slots SET run = ? WHERE first >= ? "
        "AND run IN (SELECT run FROM runs WHERE server = ? AND run < ?)",
        (run, now - LATE_SECONDS * 1_000_000, server, run),
    )
    rows = transaction.query(
        "SELECT type, slot, first, blocks, reports FROM slots "
        "WHERE run = ? AND first >= ? AND reports IS NOT NULL ORDER BY first",
        (run, now - OPEN_SECONDS * 1_000_000),
    )
    numbers = {number for *_, reports in rows for number in reporters(reports)}
    names = node_names(transaction, numbers)
    return [
        (kind, slot, unpack_slot(first, blocks, reports, names))
        for kind, slot, first, blocks, reports in rows
    ]


def node_names(transaction: Transaction, numbers: Iterable[int]) -> dict[int, str]:
    """The IDs of nodes, by their numbers; of those that were forgotten there is none."""
    names: dict[int, str] = {}
    for some in _in_pieces(sorted(numbers)):
        names.update(
            transaction.query(
                f"{NODES.select('node', 'node_id')} WHERE node IN ({marks(some)})", some
            )
        )
    return names


def read_commits(transaction: Transaction, run: int) -> int:
    """How many transactions of ``run`` are in the database.

    :raises DatabaseReplaced: there is no such run.
    """
    if not transaction.execute("UPDATE runs SET seen = seen WHERE run = ?", (run,)):
        raise DatabaseReplaced
    ((commits,),) = transaction.query("SELECT commits FROM runs WHERE run = ?", (run,))
    return int(commits)


def write_commit(
    transaction: Transaction, keys: Keys, now: int, commit: Commit, careful: bool
) -> Careful:
    """Write a commit at ``now`` (microseconds).

    :param careful: leave out rows that the database refuses; what is returned says how many.
    :raises Superseded: there is a later run of the same server.
    """
    _write_run(
        transaction,
        keys,
        {
            "seen": now,
            # Another server may have taken this one for dead while its database was away.
            "ended": None,
            "commits": commit.number,
            "position": commit.position,
            "raw_dropped": commit.raw_dropped,
        },
    )
    written = Careful(transaction)
    upsert = written.upsert if careful else transaction.upsert
    # First of all, for what numbers a node knows nothing of it.
    for table, rows in commit.rows:
        if table is NODES:
            upsert(table, rows)
    numbers = Numbers(
        _numbers(transaction, node_ids(commit.rows), now),
        number_networks(transaction, genesis_hashes(commit.rows), now),
    )
    for table, rows in commit.rows:
        if table is not NODES:
            upsert(table, numbered(table, rows, numbers))
    if commit.resumed is not None:
        _close_runs(transaction, keys, commit.resumed, END_LOST, keys.run)
    return written


def write_raw(transaction: Transaction, keys: Keys, commit: RawCommit) -> None:
    """Write raw events.

    :raises Superseded: as :func:`write_commit` does.
    """
    _write_run(
        transaction,
        keys,
        {"commits": commit.number, "raw_written": commit.raw_written},
    )
    ids = {node_id for item in commit.waiting for node_id in item.nodes} - {""}
    batch = make_batch(commit.waiting, _numbers(transaction, ids, commit.batch))
    write_batch(transaction, (commit.batch, keys.run), batch)


def write_batch(transaction: Transaction, key: tuple[int, int], batch: Batch) -> None:
    """Write ``batch`` under ``key``: its number, and the run it is of."""
    transaction.append(RAW_CHUNKS, ((*key, *chunk) for chunk in batch.chunks))
    transaction.append(RAW_POSTINGS, ((term, *key, where) for term, where in batch.postings))
    transaction.append(RAW_BATCHES, [(*key, batch.first, batch.last, batch.events, batch.bytes)])


def end_run(transaction: Transaction, keys: Keys, now: int, reason: str) -> None:
    """The server ends at ``now`` (microseconds), and with it all its runs and connections."""
    _write_run(transaction, keys, {"seen": now})
    _close_runs(transaction, keys, now, reason, keys.run + 1)
    transaction.execute("UPDATE runs SET ended = ? WHERE run = ?", (now, keys.run))


def number_nodes(transaction: Transaction, wanted: Iterable[str], now: int) -> dict[str, int]:
    """The number of each node, given to it at ``now`` (microseconds) if it has none yet."""
    numbers: dict[str, int] = {}
    for some in _in_pieces(sorted(wanted)):
        numbers.update(_numbers_of(transaction, some))
        new = [node_id for node_id in some if node_id not in numbers]
        if new:
            rows = ", ".join(["(?, ?, ?)"] * len(new))
            transaction.execute(
                f"INSERT INTO nodes (node_id, first_seen, last_seen) VALUES {rows} "
                "ON CONFLICT (node_id) DO NOTHING",
                [value for node_id in new for value in (node_id, now, now)],
            )
            numbers.update(_numbers_of(transaction, new))
    return numbers


def number_networks(transaction: Transaction, wanted: Collection[str], now: int) -> dict[str, int]:
    """The number of each network by its genesis hash, given to it at ``now`` (microseconds) if it
    has none yet; it was seen then."""
    if not wanted:
        return {}
    transaction.upsert(NETWORKS, [(genesis, now, now) for genesis in sorted(wanted)])
    numbers: dict[str, int] = {}
    for some in _in_pieces(sorted(wanted)):
        numbers.update(
            transaction.query(
                f"{NETWORKS.select('genesis', 'network')} WHERE genesis IN ({marks(some)})", some
            )
        )
    return numbers


def _numbers(transaction: Transaction, wanted: Iterable[str], now: int) -> dict[str, int]:
    """What :func:`number_nodes` says, and the one that stands for none of them."""
    return {**number_nodes(transaction, wanted, now), "": NO_NODE}


def _numbers_of(transaction: Transaction, node_ids: Sequence[str]) -> dict[str, int]:
    return dict(
        transaction.query(
            f"{NODES.select('node_id', 'node')} WHERE node_id IN ({marks(node_ids)})", node_ids
        )
    )


def _in_pieces(values: Sequence[T]) -> Iterable[Sequence[T]]:
    return (values[begin : begin + NODES_AT_ONCE] for begin in range(0, len(values), NODES_AT_ONCE))


def _write_run(transaction: Transaction, keys: Keys, values: Mapping[str, int | None]) -> None:
    """Write the row of the run, first of all, and see that no other has taken over.

    :raises DatabaseReplaced: there is no such run.
    :raises Superseded: there is a later one of the same server.
    """
    changes = ", ".join(f"{column} = ?" for column in values)
    row = (*values.values(), keys.run, keys.server)
    if not transaction.execute(f"UPDATE runs SET {changes} WHERE run = ? AND server = ?", row):
        raise DatabaseReplaced
    if transaction.query(
        "SELECT 1 FROM runs WHERE server = ? AND run > ?", (keys.server, keys.run)
    ):
        raise Superseded


def _close_runs(transaction: Transaction, keys: Keys, at: int, reason: str, before: int) -> None:
    """The server's runs ``before`` one have ended, and their connections ``at`` a time."""
    close_runs(transaction, "server = ? AND run < ?", (keys.server, before), at, reason)
