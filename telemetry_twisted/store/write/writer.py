"""Writes history: takes records as they come, and commits what they say every two seconds.

What counts is merged in memory and written whole, so that it is exact whatever the database does in
between. Raw events wait in a queue of their own and are written in between; when the database does
not keep up, the oldest of them are dropped and counted, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.store.database.interface import (
    Database,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    Transaction,
)
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.schema.tables import (
    RAW_BATCHES,
    RAW_CHUNKS,
    RAW_POSTINGS,
    RUNS,
    Row,
    Table,
)
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport import records

from .counts import GRACE_SECONDS
from .gathering import Gathering, Share
from .maintenance import Maintenance, trim_raw
from .raw import Batch, RawQueue, Waiting, make_batch

COMMIT_SECONDS = 2.0
"""How often what was gathered is written: the most that ``kill -9`` can lose, and a little."""

RAW_EVENTS_AT_ONCE = 20_000
"""Raw events that are written before the next commit is due."""

NUMBERS_AT_ONCE = 1000
"""Nodes that are given their numbers in one transaction."""

MAINTENANCE_SECONDS = 60.0
"""How often old history is removed."""

FIRST_DELAY, LONGEST_DELAY, DELAY_FACTOR = 0.5, 5.0, 1.7
"""How long to wait before the database is tried again: seconds, and how they grow."""

SLOW_SECONDS = 10.0
"""A commit that is older than this while the database answers shows that it is slow."""


class Writer:
    """Takes the records of the link and keeps ``database`` up to date.

    :param clock: tells when to commit.
    :param now: tells Unix time, which is what is written.
    :param errors: where mistakes with single rows, and with raw events, stay.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        clock: IReactorTime,
        policy: Policy,
        now: Now,
        errors: InternalErrors,
    ) -> None:
        self._errors = errors
        self._database = database
        self._clock = clock
        self._time = now
        self._policy = policy
        self._maintenance = Maintenance(database, policy)
        self._gathering = Gathering()
        self._raw = RawQueue(policy.queue_events, policy.queue_bytes)
        self._batch: tuple[int, list[Waiting]] | None = None
        self._last_batch = 0
        self._runs: list[int] = []
        self._ahead = now() - clock.seconds()

        self._wake: Deferred[None] | None = None
        self._ended: Deferred[None] = Deferred()
        self._open = False
        self._stopping = False
        self._abandoned = False
        self._raw_due = False
        self._delay = FIRST_DELAY
        self._next_commit = 0.0
        self._next_maintenance = 0.0

        self._state = "starting"
        self._since = now()
        self._last_error: str | None = None
        self._last_commit: float | None = None
        self._last_commit_time: float | None = None
        self._commits = 0
        self._rows_written = 0
        self._raw_written = 0
        self._dropped = 0

    def take(self, kind: int, body: bytes) -> None:
        """Take a record of the link; kinds that history does not keep are passed over."""
        self._watch_clock()
        if kind == records.CHUNK:
            self._take_chunk(records.Chunk.decode(body))
        else:
            self._gathering.take(kind, body, self._time())

    def _watch_clock(self) -> None:
        """Notice when the wall clock is set back by more than buckets stay open for."""
        ahead = self._time() - self._clock.seconds()
        if ahead < self._ahead - GRACE_SECONDS:
            self._log.warn(
                "the clock was set back by {seconds:.0f} s; what is counted from now on is kept "
                "beside what was counted at the same time before",
                seconds=self._ahead - ahead,
            )
            self._gathering.clock_set_back()
            self._ahead = ahead
        self._ahead = max(self._ahead, ahead)

    def _take_chunk(self, chunk: records.Chunk) -> None:
        if not self._policy.raw_seconds:
            return
        nodes = tuple(self._gathering.node_at(handle) for handle, _ in chunk.runs)
        dropped = self._raw.push(Waiting(chunk, nodes))
        if dropped:
            self._count_dropped(dropped)
        if self._raw.events >= RAW_EVENTS_AT_ONCE:
            self._wake_up()

    def _count_dropped(self, events: int) -> None:
        self._dropped += events
        self._gathering.share.at(int(self._time()), None).dropped += events

    def start(self, committing: Callable[[], object] = lambda: None) -> None:
        """Begin to write; the database need not be there yet.

        :param committing: called before what was taken so far is committed.
        """
        self._committing = committing
        Deferred.fromCoroutine(self._write()).addErrback(self._broken).chainDeferred(self._ended)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("history is no longer written", failure)
        self._last_error = str(failure.value)
        self._set_state("failed")

    async def stop(self, seconds: float) -> None:
        """Write what was taken, for at most ``seconds``, and let go of the database."""

        def abandon() -> None:
            self._abandoned = True
            self._database.abort()
            self._wake_up()

        self._stopping = True
        self._next_commit = 0.0
        deadline = self._clock.callLater(seconds, abandon)
        self._wake_up()
        await self._ended
        if deadline.active():
            deadline.cancel()
        await self._database.close()

    async def _write(self) -> None:
        while not self._abandoned:
            try:
                if not self._open:
                    await self._connect()
                if await self._turn():
                    continue
                if self._stopping:
                    await self._end_run()
                    return
                pause = self._next_commit - self._clock.seconds()
            except Exception as error:
                pause = self._note_failure(error)
            if not self._abandoned:
                await self._pause(pause)

    async def _connect(self) -> None:
        await self._database.open()
        if not self._runs:
            now = self._now()
            self._runs.append(await self._database.transact(lambda t: _begin_run(t, now)))
        self._open = True

    async def _turn(self) -> bool:
        """Do the next thing that is due; return whether there was one."""
        now = self._clock.seconds()
        if now >= self._next_commit:
            self._next_commit = now + COMMIT_SECONDS
            await self._commit()
            self._raw_due = True
        elif self._batch or self._raw.events >= (1 if self._raw_due else RAW_EVENTS_AT_ONCE):
            await self._write_raw()
        elif now >= self._next_maintenance and not self._stopping:
            self._next_maintenance = now + MAINTENANCE_SECONDS
            await self._maintenance.run(self._time(), self._runs[0])
        else:
            self._raw_due = False
            return False
        return True

    async def _commit(self) -> None:
        gathering, run, now = self._gathering, self._runs[0], self._now()
        self._committing()
        taken = gathering.take_changes()
        try:
            await self._begin_runs(gathering.stretch)
            await self._number(gathering.node_ids(taken))
            rows = gathering.rows(taken, self._runs, self._errors)
            await self._database.transact(lambda t: _write_rows(t, rows, run, now))
        except BaseException:
            gathering.put_back(taken)
            raise
        self._commits += 1
        self._rows_written += sum(len(written) for _, written in rows)
        gathering.settle(self._time())
        self._last_commit = self._clock.seconds()
        self._last_commit_time = self._time()
        self._delay = FIRST_DELAY
        if self._set_state("ok"):
            self._log.info("history is written to {name}", name=self._database.name)

    async def _begin_runs(self, stretch: int) -> None:
        """Have a run for each stretch of the wall clock up to ``stretch``."""
        while stretch >= len(self._runs):
            now = self._now()
            begin = partial(_begin_run, now=now, ended=now)
            self._runs.append(await self._database.transact(begin))

    async def _number(self, node_ids: set[str]) -> None:
        """Get the numbers of those nodes that are not known."""
        nodes = self._gathering.nodes
        wanted = sorted(node_ids - nodes.keys())
        for begin in range(0, len(wanted), NUMBERS_AT_ONCE):
            some = wanted[begin : begin + NUMBERS_AT_ONCE]
            number = partial(_number_nodes, node_ids=some, now=self._now())
            nodes.update(await self._database.transact(number))

    async def _write_raw(self) -> None:
        if self._batch is None:
            self._last_batch = max(self._last_batch + 1, self._now())
            self._batch = self._last_batch, self._raw.pop_batch()
        number, waiting = self._batch
        await self._number({node_id for item in waiting for node_id in item.nodes})
        run, numbers, policy = self._runs[0], self._gathering.nodes, self._policy

        def write(transaction: Transaction) -> None:
            if write_batch(transaction, (number, run), make_batch(waiting, numbers)):
                trim_raw(transaction, policy.raw_events, policy.raw_bytes)

        events = sum(item.chunk.count for item in waiting)
        try:
            await self._database.transact(write)
        except DatabaseError:
            raise
        except Exception:  # of our own, and it would be made again with the same events
            self._errors.note("raw events", Failure())
            self._batch = None
            self._count_dropped(events)
            return
        self._batch = None
        self._raw_written += events

    async def _end_run(self) -> None:
        run, now = self._runs[0], self._now()
        await self._database.transact(
            lambda t: t.execute("UPDATE runs SET ended = ? WHERE run = ?", (now, run))
        )
        self._set_state("stopped")

    def _note_failure(self, error: Exception) -> float:
        """Remember why nothing was written; return how long to wait before the next try."""
        self._gathering.settle(self._time())
        self._open = self._open and isinstance(error, DatabaseFull)
        self._last_error = str(error)
        if isinstance(error, DatabaseFull):
            state = "full"
        elif isinstance(error, DatabaseUnavailable):
            state = "unavailable"
        else:
            state = "failed"
        if self._set_state(state):
            if isinstance(error, DatabaseError):
                self._log.error(
                    "history waits, {name} does not take it: {error}",
                    name=self._database.name,
                    error=error,
                )
            else:
                self._log.failure("history waits, for a mistake of the server's own")
        pause, self._delay = self._delay, min(self._delay * DELAY_FACTOR, LONGEST_DELAY)
        return pause

    def _pause(self, seconds: float) -> Deferred[None]:
        """Wait for ``seconds``, or until something wakes the writer up."""
        wake: Deferred[None] = Deferred()
        timer = self._clock.callLater(max(seconds, 0), self._wake_up)
        self._wake = wake

        def woken(_: None) -> None:
            if timer.active():
                timer.cancel()

        return wake.addCallback(woken)

    def _wake_up(self) -> None:
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake.callback(None)

    # How it fares

    def _now(self) -> int:
        return int(self._time() * 1_000_000)

    def _set_state(self, state: str) -> bool:
        if state == self._state:
            return False
        self._state = state
        self._since = self._time()
        return True

    def status(self) -> dict[str, Any]:
        """How the store fares, for ``health/detailed``.

        ``state`` is ``starting``, ``ok``, ``slow`` (the database answers, but not in time),
        ``unavailable``, ``full``, ``failed`` (it refuses what it is asked) or ``stopped``, since
        ``since``. ``raw_kept_share`` is how much of the last half minute's events was kept, None
        where none came.
        """
        in_hand = sum(item.chunk.count for item in self._batch[1]) if self._batch else 0
        share = Share()
        for recent in self._gathering.share.open_values():
            share.update(recent)
        slow = (
            self._state == "ok"
            and self._last_commit is not None
            and self._clock.seconds() - self._last_commit > SLOW_SECONDS
        )
        return {
            "state": "slow" if slow else self._state,
            "since": rfc3339(self._since),
            "database": self._database.name,
            "last_error": self._last_error,
            "last_commit": None
            if self._last_commit_time is None
            else rfc3339(self._last_commit_time),
            "commits": self._commits,
            "queue_events": self._raw.events + in_hand,
            "queue_bytes": self._raw.bytes,
            "rows_written": self._rows_written,
            "raw_events_written": self._raw_written,
            "raw_events_dropped": self._dropped,
            "raw_kept_share": share.kept,
        }


def _begin_run(transaction: Transaction, now: int, ended: int | None = None) -> int:
    transaction.upsert(RUNS, [(now, now, ended)])
    ((run,),) = transaction.query("SELECT max(run) FROM runs")
    return int(run)


def _number_nodes(transaction: Transaction, node_ids: list[str], now: int) -> dict[str, int]:
    """The number of each node, given to it if it has none yet."""
    for node_id in node_ids:
        transaction.execute(
            "INSERT INTO nodes (node_id, first_seen, last_seen) VALUES (?, ?, ?) "
            "ON CONFLICT (node_id) DO NOTHING",
            (node_id, now, now),
        )
    marks = ", ".join("?" * len(node_ids))
    return dict(
        transaction.query(f"SELECT node_id, node FROM nodes WHERE node_id IN ({marks})", node_ids)
    )


def _write_rows(
    transaction: Transaction, rows: list[tuple[Table, list[Row]]], run: int, now: int
) -> None:
    for table, written in rows:
        transaction.upsert(table, written)
    transaction.execute("UPDATE runs SET seen = ? WHERE run = ?", (now, run))


def write_batch(transaction: Transaction, key: tuple[int, int], batch: Batch) -> bool:
    """Write ``batch`` under ``key``, unless it is there from a try whose answer was lost."""
    if transaction.query("SELECT 1 FROM raw_batches WHERE batch = ? AND run = ?", key):
        return False
    transaction.append(RAW_CHUNKS, ((*key, *chunk) for chunk in batch.chunks))
    transaction.append(RAW_POSTINGS, ((term, *key, where) for term, where in batch.postings))
    transaction.append(RAW_BATCHES, [(*key, batch.first, batch.last, batch.events, batch.bytes)])
    return True
