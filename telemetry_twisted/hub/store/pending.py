"""What the hub keeps for the store until it is committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from telemetry_twisted.clock import Now
from telemetry_twisted.transport import records

from .at_risk import AtRisk, Loss
from .record import Connection, Record, State
from .tally import Gap, Sampled, Tally, merged, tally_of

PENDING_BYTES = 64 << 20
"""How much is kept for the store at most. It is kept until it is committed, however long that
takes; what goes beyond is at risk if the store process has taken it, and a gap if not."""

DETAILS = frozenset({records.FACTS, records.OBSERVATIONS})
"""Records that are large for what they tell."""

DETAILS_PART = 2
"""One part in so many of that may be details, so that what is counted outlasts them."""

AT_ONCE_BYTES = 256 << 10
"""How much is let go of at once to end a gap: what is in it is added up, which takes time."""

ENDED = "a store process ended before it was committed"
FULL = "the store does not take what comes, and there is no room to keep it"


class Pending:
    """The records for the store, through all runs of the store process.

    Each has a number, from 1. ``position`` is the number of the last one that is known to be
    committed, ``sent`` that of the last one that the present process was sent, ``last`` that of the
    last one there is, ``bytes`` what those that are kept take. ``in_doubt`` says that the process
    before may have committed what it attempted last: what is to be sent is known when the next one
    has told the position.

    :param lost: told of what is lost, and why.
    :param unsaid: told of what records that are lost would have said of raw events.
    """

    def __init__(
        self,
        now: Now,
        lost: Callable[[Tally, str], None],
        unsaid: Callable[[Sampled], None],
        most_bytes: int = PENDING_BYTES,
    ) -> None:
        self.position = 0
        self.sent = 0
        self.last = 0
        self.bytes = 0
        self.in_doubt = False
        self._now = now
        self._lost = lost
        self._unsaid = unsaid
        self._most = most_bytes
        self._details_bytes = 0
        self._sent: deque[Record] = deque()
        self._waiting: deque[Record] = deque()
        self._resumed = 0
        self._taken: int | None = None
        self._attempting: int | None = None
        self._at_risk = AtRisk()
        # What was lost before the first record that is kept, of which no commit tells so far.
        self._untold: Gap | None = None
        # Who is connected before the first record that is kept, and now.
        self._state: State = {}
        self._present: State = {}
        self._gap: Gap | None = None
        self._gap_of_all = False

    def __len__(self) -> int:
        return len(self._sent) + len(self._waiting)

    @property
    def first(self) -> int:
        """The number of the first record that is kept, or else of the next one."""
        return self.last + 1 - len(self)

    @property
    def waits(self) -> bool:
        """Whether there is a record that the present process was not sent."""
        return bool(self._waiting)

    @property
    def gap_is_open(self) -> bool:
        """Whether nothing that comes is kept."""
        return self._gap_of_all

    @property
    def at_risk(self) -> Tally:
        """What is lost if the present process ends before it commits."""
        return self._at_risk.tally

    # Records come

    def node_connected(self, handle: int, node_id: str, body: bytes) -> None:
        """A node has connected; ``body`` is that of a ``NODE_CONNECTED`` record."""
        self._try_to_end_gap()
        self._leave(handle)
        connection = self._present[handle] = Connection(handle, node_id, body)
        if self._keep(records.NODE_CONNECTED, body, connection):
            connection.number = self.last

    def node_gone(self, handle: int, body: bytes) -> None:
        """A node has gone; ``body`` is that of a ``NODE_GONE`` record."""
        self._try_to_end_gap()
        connection = self._leave(handle)
        self._keep(records.NODE_GONE, body, connection)

    def _leave(self, handle: int) -> Connection | None:
        connection = self._present.pop(handle, None)
        if connection is not None and connection.number is None:
            self._count_lost(Tally(connections=1))
        return connection

    def add(self, kind: int, body: bytes) -> None:
        """Any other record is to be handed over."""
        self._try_to_end_gap()
        self._keep(kind, body)

    def _keep(self, kind: int, body: bytes, connection: Connection | None = None) -> bool:
        """Keep a record, or count it as lost; returns whether it is kept."""
        whole = records.encode_record(kind, body)
        record = Record(0, kind, whole, self._microseconds(), connection)
        details = kind in DETAILS
        while self._is_full(record.size, details):
            if not self._let_go():
                self._begin_gap(of_all=self._is_full(record.size, details=False))
                break
        if self._gap_of_all or (details and self._gap is not None):
            self._count_lost(tally_of(kind, body))
            if kind == records.SAMPLED:
                self._unsaid(Sampled.of(body))
            return False
        self._append(record)
        return True

    def _append(self, record: Record) -> None:
        self.last += 1
        record.number = self.last
        self._waiting.append(record)
        self._weigh(record, 1)

    def _weigh(self, record: Record, sign: int) -> None:
        self.bytes += sign * record.size
        if record.kind in DETAILS:
            self._details_bytes += sign * record.size

    def _is_full(self, more: int, details: bool) -> bool:
        if details and self._details_bytes + more > self._most // DETAILS_PART:
            return True
        return self.bytes + more > self._most

    def _microseconds(self) -> int:
        return int(self._now() * 1_000_000)

    # Gaps begin and end

    def _begin_gap(self, of_all: bool) -> None:
        if self._gap is None:
            now = self._microseconds()
            self._gap = Gap(now, now)
        self._gap_of_all = self._gap_of_all or of_all

    def _count_lost(self, tally: Tally) -> None:
        assert self._gap is not None
        self._gap.lost.add(tally)
        self._lost(tally, FULL)

    def _try_to_end_gap(self) -> None:
        if self._gap is None:
            return
        enough = self.bytes - AT_ONCE_BYTES
        while not self._half_is_free() and self.bytes > enough and self._let_go():
            pass
        if self._half_is_free():
            gap, self._gap, self._gap_of_all = self._gap, None, False
            gap.ended = self._microseconds()
            state = dict(self._present)
            self._append(Record(0, records.RESUME, b"", gap.ended, gap=gap, state=state))
            for connection in state.values():
                if connection.number is None:
                    connection.number = self.last

    def _half_is_free(self) -> bool:
        if self._details_bytes > self._most // DETAILS_PART // 2:
            return False
        return not self._gap_of_all or self.bytes <= self._most // 2

    # Records leave

    def _let_go(self) -> bool:
        """Keep the oldest record no longer, if the process has taken it."""
        if self._taken is None or not self._sent or self._sent[0].number > self._taken:
            return False
        self._risk(self._sent.popleft())
        return True

    def _risk(self, record: Record) -> None:
        if record.gap is not None:
            loss = Loss(told=record.gap)
        else:
            loss = Loss(Gap(record.came, record.came, tally_of(record.kind, record.body)))
            if record.kind == records.SAMPLED:
                loss.sampled = Sampled.of(record.body)
        self._at_risk.add(record.number, loss)
        self._weigh(record, -1)
        self._state, ended = record.enter(self._state)
        for connection in ended:
            if connection.number is not None and connection.number > self.position:
                gap = Gap(record.came, record.came, Tally(connections=1))
                self._at_risk.add(connection.number, Loss(gap))

    def _committed(self, position: int) -> None:
        self.position = position
        self._at_risk.committed(position)
        self._untold = None  # the process was told of it before all that it commits
        for kept in (self._sent, self._waiting):
            while kept and kept[0].number <= position:
                record = kept.popleft()
                self._weigh(record, -1)
                self._state, _ = record.enter(self._state)

    def _lose(self, why: str) -> None:
        loss = self._at_risk.take()
        if loss.gap is not None:
            self._lost(loss.gap.lost, why)
        if loss.sampled:
            self._unsaid(loss.sampled)
        self._untold = merged(self._untold, merged(loss.gap, loss.told))

    # The store process

    def resume(self) -> Record:
        """What a process is sent first, unless ``in_doubt``: what it must know of all before."""
        number = self.sent = self._resumed = self.first - 1
        now = self._microseconds()
        return Record(number, records.RESUME, b"", now, gap=self._untold, state=self._state)

    def next(self) -> Record:
        """The next record to be sent; only if one :attr:`waits`."""
        record = self._waiting.popleft()
        self._sent.append(record)
        self.sent = record.number
        return record

    def told(self, taken: int | None, attempting: int | None, position: int | None) -> None:
        """The process has told of itself, as in ``STORE_STATUS``."""
        if position is not None:
            if position > self.position:
                self._committed(position)
            if self.in_doubt:
                self.in_doubt = False
                self._lose(ENDED)
        if self.in_doubt:
            return
        self._taken = taken
        self._attempting = attempting
        if attempting is None:
            self._at_risk.failed()
        else:
            self._at_risk.attempted(attempting)
        self._try_to_end_gap()

    def ended(self) -> bool:
        """The process is gone; returns whether it has left all untouched that it was sent."""
        untouched = bool(self._sent) and (self._taken or 0) <= self._resumed
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        if self._attempting is not None:
            self.in_doubt = True
        elif not self.in_doubt:
            self._lose(ENDED)
        self._taken = self._attempting = None
        return untouched

    def give_up(self, number: int, why: str) -> None:
        """Hand records up to ``number`` over to no process any more; none runs now."""
        while self._waiting and self._waiting[0].number <= number:
            self._risk(self._waiting.popleft())
        self._lose(why)

    def remains(self) -> Tally:
        """What is in all records of which it is not known that they are committed."""
        tally = self.at_risk
        for kept in (self._sent, self._waiting):
            for record in kept:
                if record.gap is None:
                    tally.add(tally_of(record.kind, record.body))
        return tally
