"""Writes history: takes records as they come, and commits them every few seconds (:mod:`.pace`).

What counts is merged in memory and written whole, so that it is exact whatever the database does in
between (:mod:`.pending`). Raw events are written in between; when the database does not keep up,
the oldest of them are dropped and counted, and nothing else is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.standstill import Standstill
from telemetry_twisted.store.database.interface import (
    Database,
    DatabaseError,
    DatabaseFull,
    DatabaseReplaced,
    DatabaseUnavailable,
    Transaction,
)
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.transport import records

from . import transactions
from .counts import GRACE_SECONDS
from .fares import Fares
from .lines import Lines
from .listener import Listener
from .maintenance import Maintenance, trim_raw
from .pace import Pace
from .pending import Pending
from .rows import Keys
from .steps import Steps
from .transactions import RawCommit

RAW_SECONDS = 2.0
"""How often raw events are written, however few have come."""

RAW_EVENTS_AT_ONCE = 20_000
"""Raw events that are written before that."""

MAINTENANCE_SECONDS = 60.0
"""How often old history is removed."""

FIRST_DELAY, LONGEST_DELAY, DELAY_FACTOR = 0.5, 5.0, 1.7
"""How long to wait before the database is tried again: seconds, and how they grow."""

STOPPED = "the server stopped"
"""Why a connection ended of which nothing else was said when the server did."""


class Writer:
    """Takes the records of the link and keeps ``database`` up to date; ``collected`` is what came.

    :param server: the token of the server whose history it is.
    :param clock: tells when to commit.
    :param now: tells Unix time, which is what is written.
    :param errors: where mistakes with single rows, and with raw events, stay.
    """

    _log = Logger()

    def __init__(
        self,
        database: Database,
        server: str,
        clock: IReactorTime,
        policy: Policy,
        now: Now,
        errors: InternalErrors,
    ) -> None:
        self._errors = errors
        self._database = database
        self._server = server
        self._clock = clock
        self._time = now
        self._policy = policy
        self._steps = Steps(database)
        self._maintenance = Maintenance(self._steps, policy)
        lines = Lines(clock)
        self._pending = Pending(policy, errors, lines)
        self.collected = self._pending.collected
        self._fares = Fares(database.name, clock, now, lines)
        self._pace = Pace(clock)
        self._last_batch = 0
        self._runs: list[int] = []
        self._ahead = now() - clock.seconds()

        self._wake: Deferred[None] | None = None
        self._ended: Deferred[None] = Deferred()
        self._open = False
        self._stopping = self._abandoned = False
        self._refused = False
        self._delay = FIRST_DELAY
        self._raw_due = False
        self._next_raw = self._next_maintenance = 0.0

    def take(self, kind: int, body: bytes | memoryview) -> None:
        """Take a record of the link; kinds that history does not keep are passed over."""
        self._watch_clock()
        if kind == records.CHUNK:
            if self._policy.raw_seconds:
                self._pending.take_chunk(records.Chunk.decode(body), self._time())
                if self._pending.raw_events >= RAW_EVENTS_AT_ONCE:
                    self._wake_up()
        elif kind == records.RESUME:
            self._pending.resume(records.decode_json(body), self._time())
        else:
            self._pending.take(kind, body, self._time())

    def _watch_clock(self) -> None:
        """Notice when the wall clock is set back by more than buckets stay open for."""
        ahead = self._time() - self._clock.seconds()
        if ahead < self._ahead - GRACE_SECONDS:
            self._log.warn(
                "the clock was set back by {seconds:.0f} s; what is counted from now on is kept "
                "beside what was counted at the same time before",
                seconds=self._ahead - ahead,
            )
            self._pending.clock_set_back()
            self._ahead = ahead
        self._ahead = max(self._ahead, ahead)

    def start(self, listener: Listener | None = None) -> None:
        """Begin to write; the database need not be there yet.

        :param listener: no commit is tried before it has heard of that.
        """
        self._listener = listener or Listener()
        broken = self._fares.broken
        Deferred.fromCoroutine(self._write()).addErrback(broken).chainDeferred(self._ended)

    async def stop(self, seconds: float) -> None:
        """Write what was taken, unless it stands still for ``seconds``; let go of the database."""

        def abandon() -> None:
            self._abandoned = True
            self._database.abort()
            self._wake_up()

        self._stopping = True
        self._pace.hurry()
        self._next_raw = 0.0
        patience = Standstill(self._clock, lambda: self._steps.taken, seconds, abandon)
        self._wake_up()
        await self._ended
        patience.cancel()
        await self._database.close()

    async def _write(self) -> None:
        while not self._abandoned:
            try:
                if not self._open:
                    await self._connect()
                if await self._turn():
                    continue
                if self._stopping:
                    await self._end()
                    return
                due = min(self._next_raw, self._pace.due(self._pending.quiet))
                pause = due - self._clock.seconds()
            except DatabaseReplaced as error:
                self._note_failure(error)
                self._listener.over()
                return
            except Exception as error:
                pause = self._note_failure(error)
            if not self._abandoned:
                await self._pause(pause)

    async def _connect(self) -> None:
        """Connect, and learn from the database what only it knows."""
        await self._database.open()
        if not self._runs:
            begin = partial(transactions.begin_run, server=self._server, now=self._now())
            begun = await self._steps.transact(begin)
            self._runs.append(begun.run)
            self._pending.begin(begun)
        else:
            if self._pending.in_doubt:
                read = partial(transactions.read_commits, run=self._runs[0])
                self._pending.resolve(await self._steps.transact(read))
            self._pending.repeat()
        self._open = True
        self._listener.tell()

    async def _turn(self) -> bool:
        """Do the next thing that is due; return whether there was one."""
        now = self._clock.seconds()
        if now >= self._next_raw:
            self._next_raw = now + RAW_SECONDS
            self._raw_due = True
        if self._pace.is_due(self._pending.quiet, self._pending.fresh_bytes):
            with self._pace.commit():
                await self._commit()
        elif self._pending.raw_events >= (1 if self._raw_due else RAW_EVENTS_AT_ONCE):
            await self._write_raw()
        elif now >= self._next_maintenance and not self._stopping:
            settled = partial(self._pending.settled, keys=self._keys())
            if await self._maintenance.step(self._time(), self._runs[0], settled):
                self._next_maintenance = now + MAINTENANCE_SECONDS
        else:
            self._raw_due = False
            return False
        return True

    async def _commit(self) -> None:
        # Clocks that are set back often are set back here as well.
        while self._pending.stretch >= len(self._runs):
            begin = partial(transactions.begin_stretch, now=self._now())
            self._runs.append(await self._steps.transact(begin))
        keys = self._keys()
        with self._pending.commit(keys) as commit:
            # What is committed without the hub's knowing it would send again to another.
            self._listener.tell()
            await self._listener.heard()
            write = partial(
                transactions.write_commit,
                keys=keys,
                now=self._now(),
                commit=commit,
                careful=self._refused,
            )
            written = await self._steps.transact(write)
        if written.why is not None:
            self._pending.refused(written.refused, written.why)
        self._refused = False
        self._delay = FIRST_DELAY
        self._fares.committed(sum(len(rows) for _, rows in commit.rows))
        self._listener.tell()
        self._pending.settle(self._time())

    async def _write_raw(self) -> None:
        self._last_batch = max(self._last_batch + 1, self._now())
        keys, policy = self._keys(), self._policy

        def write(transaction: Transaction, commit: RawCommit) -> None:
            transactions.write_raw(transaction, keys, commit)
            trim_raw(transaction, policy.raw_events, policy.raw_bytes)

        try:
            with self._pending.raw(self._last_batch, self._time) as commit:
                await self._steps.transact(partial(write, commit=commit))
        except DatabaseError:
            raise
        except Exception:  # of our own, and it would be made again with the same events
            self._errors.note("raw events", Failure())
            self._pending.drop_raw(self._time())

    async def _end(self) -> None:
        end = partial(transactions.end_run, keys=self._keys(), now=self._now(), reason=STOPPED)
        await self._steps.transact(end)
        self._fares.stopped()

    def _keys(self) -> Keys:
        return Keys(self._server, tuple(self._runs))

    def _note_failure(self, error: Exception) -> float:
        """Remember why nothing was written; return how long to wait before the next try."""
        self._pending.settle(self._time())
        self._open = self._open and isinstance(error, DatabaseFull)
        self._fares.failed(error)
        # What is refused as it is would be refused for ever.
        self._refused = not isinstance(error, (DatabaseFull, DatabaseUnavailable))
        self._listener.tell()
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

    def _now(self) -> int:
        return int(self._time() * 1_000_000)

    def status(self) -> dict[str, Any]:
        """How the store fares, and how far it is: see :class:`.Fares` and :class:`.Pending`."""
        due = self._pace.due(self._pending.quiet)
        return {**self._fares.status(due), **self._pending.status()}
