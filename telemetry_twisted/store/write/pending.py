"""All that the store process has taken and the database does not have.

What is to be written is taken for a *commit*, and comes back whatever happens, unless the database
has it:

* ``with pending.commit(keys) as commit:`` has what one transaction writes. Where the body ends
  well, it is let go of; where it fails, it is pending again, merged with what came meanwhile.
* Where the body ends in :class:`.OutcomeUnknown`, nobody knows but the database. What was taken is
  *in doubt* then, and nothing else is taken, until :meth:`Pending.resolve` is told how many
  transactions of the run the database has.
"""

from __future__ import annotations

from asyncio import CancelledError as AsyncioCancelled
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.store.database.interface import OutcomeUnknown
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.schema.table import Row
from telemetry_twisted.transport import records

from .collected import Collected
from .lines import Lines
from .raw import RawQueue, Waiting
from .rows import Keys, Section
from .share import Share
from .transactions import Begun, Commit, RawCommit
from .widening import Settled

ROW = "row of history"
"""The place of mistakes with single rows (:class:`.InternalErrors`)."""


@define
class _Attempt:
    """A commit that is under way: which one of the run it is, the last record that is in it, and
    what to do when it is known how it went."""

    number: int
    position: int | None
    let_go: Callable[[], None]
    restore: Callable[[], None]


class Pending:
    """What is not yet written.

    ``taken`` is the number of the last record that was taken, None before the first ``RESUME``;
    ``position`` that of the last one that is in the database, None until it has told. ``lost`` is
    what had to be let go of, by kind; ``collected`` is what came. ``stretch`` numbers the stretches
    in which the wall clock only went forward, from 0. ``fresh_bytes`` is how large the records are
    that came since changes were last taken to be written.

    :param errors: where mistakes with single rows stay.
    """

    def __init__(self, policy: Policy, errors: InternalErrors, lines: Lines) -> None:
        self.lost: Counter[str] = Counter()
        self.taken: int | None = None
        self.position: int | None = None
        self.stretch = 0
        self.fresh_bytes = 0
        self._errors = errors
        self.collected = Collected(self.lost, lines)
        self._raw = RawQueue(policy.queue_events, policy.queue_bytes)
        self._in_hand: Sequence[Waiting] = ()
        self._attempt: _Attempt | None = None
        self._commits = 0
        self._resumed: int | None = None
        self._raw_taken = 0
        self._raw_written_before: int | None = None
        self._raw_dropped_before = 0
        self._raw_written = 0
        self._raw_dropped = 0
        self._raw_dropped_written = 0

    # What comes

    def take(self, kind: int, body: bytes | memoryview, now: float) -> None:
        """Take the next record, which came at ``now``, in seconds of Unix time."""
        # First, for what cannot be taken is not worth being sent again.
        self.taken = (self.taken or 0) + 1
        self.fresh_bytes += len(body)
        self.collected.take(kind, body, now)

    def take_chunk(self, chunk: records.Chunk, now: float) -> None:
        """Take raw events, which came at ``now``."""
        self._raw_taken += chunk.count
        nodes = tuple(self.collected.presence.node_at(handle) for handle, _ in chunk.runs)
        self._drop(self._raw.push(Waiting(chunk, nodes)), now)

    def resume(self, body: Any, now: float) -> None:
        """Take a ``RESUME`` record, which says anew who is there and which record is next."""
        micros = int(now * 1_000_000)
        if self.taken is None:  # what is said later is known here
            self._resumed = body["gap"]["ended"] if body["gap"] else micros
        self.taken = body["first"] - 1
        self.collected.resume(body, micros)

    def clock_set_back(self) -> None:
        """The wall clock was set back: seconds that have been will be again."""
        self.stretch += 1
        self.collected.clock_set_back()

    def end(self, now: int, reason: str) -> None:
        """Nobody is connected any more."""
        self.collected.presence.end_all(now, reason)

    def _drop(self, events: int, now: float) -> None:
        if events:
            self._raw_dropped += events
            self.collected.share.add(int(now), None, Share(dropped=events))

    # What is written

    def begin(self, begun: Begun) -> None:
        """The process has a run, and the database has told what those before it have left."""
        self.position = begun.position
        self._raw_written_before = begun.raw_written
        self._raw_dropped_before = begun.raw_dropped
        for kind, number, slot in begun.slots:
            self.collected.facts.spreads.go_on(kind, number, slot)
        self.collected.understood.begin(begun.taken_over, begun.at)

    def repeat(self) -> None:
        """Have written again who is connected."""
        self.collected.presence.repeat()

    @contextmanager
    def commit(self, keys: Keys) -> Iterator[Commit]:
        """What is pending, but for raw events, for the body to write in one transaction."""
        position = self.position or 0 if self.taken is None else self.taken
        resumed, dropped = self._resumed, self._raw_dropped
        taken: list[tuple[Section, list[Any]]] = []

        def let_go() -> None:
            for section, items in taken:
                section.source.written(items)
            self.position = position
            self._raw_dropped_written = dropped
            if resumed is not None:
                self._resumed = None

        def restore() -> None:
            for section, items in taken:
                section.source.put_back(items)

        with self._attempting(position, let_go, restore) as number:
            taken += self.collected.take_changes()
            self.fresh_bytes = 0
            made = [
                (section.table, self._rows(section, items, keys))
                for section, items in taken
                if items
            ]
            yield Commit(number, position, dropped, made, resumed)

    @contextmanager
    def raw(self, batch: int, now: Callable[[], float]) -> Iterator[RawCommit]:
        """The oldest raw events, for the body to write in one transaction."""
        waiting = self._in_hand = self._raw.pop_batch()
        written = self._raw_written + sum(item.chunk.count for item in waiting)

        def let_go() -> None:
            self._in_hand = ()
            self._raw_written = written

        def restore() -> None:
            self._in_hand = ()
            self._drop(self._raw.put_back(waiting), now())

        with self._attempting(None, let_go, restore) as number:
            yield RawCommit(number, batch, written, waiting)

    def drop_raw(self, now: float) -> None:
        """Let go of the oldest raw events, which cannot be written."""
        self._drop(sum(item.chunk.count for item in self._raw.pop_batch()), now)

    @contextmanager
    def _attempting(
        self, position: int | None, let_go: Callable[[], None], restore: Callable[[], None]
    ) -> Iterator[int]:
        assert self._attempt is None, "a commit is under way or in doubt"
        attempt = self._attempt = _Attempt(self._commits + 1, position, let_go, restore)
        try:
            yield attempt.number
        except (OutcomeUnknown, CancelledError, AsyncioCancelled, GeneratorExit):
            raise  # in doubt
        except BaseException:
            self._end_attempt(attempt, written=False)
            raise
        self._end_attempt(attempt, written=True)

    def _end_attempt(self, attempt: _Attempt, written: bool) -> None:
        self._attempt = None
        if written:
            self._commits = attempt.number
            attempt.let_go()
        else:
            attempt.restore()

    def refused(self, rows: int, why: Exception) -> None:
        """The database has refused so many rows of the last commit."""
        self.lost["rows"] += rows
        self._errors.note(ROW, Failure(why))

    @property
    def in_doubt(self) -> bool:
        """Whether it is unknown if what was taken last is in the database."""
        return self._attempt is not None

    def resolve(self, commits: int) -> None:
        """The database has as many ``commits`` of the run: what was in doubt is known."""
        if self._attempt is not None:
            self._end_attempt(self._attempt, written=commits >= self._attempt.number)

    def settle(self, now: float) -> None:
        """Let go of what is written and changes no more at ``now``."""
        self.collected.settle(now)

    def settled(self, kind: int, keys: Keys) -> Settled:
        """What changes no more of what is observed, of a kind of sums by its number."""
        buckets = self.collected.sums.by_kind[kind]
        runs = {run: buckets.settled(stretch) for stretch, run in enumerate(keys.runs)}
        return Settled(keys.server, runs)

    def _rows(self, section: Section, items: list[Any], keys: Keys) -> list[Row]:
        """The rows of what was taken; what cannot be made a row of is left out and counted."""
        try:
            return [section.row(item, keys) for item in items]
        except Exception:
            return [*self._one_by_one(section, items, keys)]

    def _one_by_one(self, section: Section, items: list[Any], keys: Keys) -> Iterator[Row]:
        for item in items:
            with self._errors.kept_at(ROW):
                yield section.row(item, keys)

    # How much there is

    @property
    def quiet(self) -> bool:
        """Whether what waits can wait longer: see :attr:`.Collected.quiet`."""
        return self.collected.quiet

    @property
    def raw_events(self) -> int:
        """Raw events that wait, those that are being written not among them."""
        return self._raw.events

    def status(self) -> dict[str, Any]:
        """How far the database is, for the hub, and how much waits for it."""
        share = Share()
        for recent in self.collected.share.open_values():
            share.update(recent)
        before = self._raw_written_before
        in_hand = sum(item.chunk.count for item in self._in_hand)
        return {
            "taken": self.taken,
            "attempting": self._attempt.position if self._attempt else None,
            "position": self.position,
            "raw_taken": self._raw_taken,
            "raw_written": None if before is None else before + self._raw_written,
            "raw_dropped": None
            if before is None
            else self._raw_dropped_before + self._raw_dropped_written,
            "lost": dict(self.lost),
            "queue_events": self._raw.events + in_hand,
            "queue_bytes": self._raw.bytes + sum(item.chunk.size for item in self._in_hand),
            "raw_events_written": self._raw_written,
            "raw_events_dropped": self._raw_dropped,
            "raw_kept_share": share.kept,
        }
