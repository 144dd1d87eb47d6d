"""Raw events on their way to the store: what waits, and who gets what room there is.

When there is room for all, chunks pass as they are. When there is not, each node gets the same
share: the events of whoever sends less than that pass whole, and of all others as many as of each
other, the newest. So no node can keep another's events from being browsed.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.transport.records import Chunk

from .owners import Owners
from .shares import shares
from .tally import Sampled

WAITING_BYTES = 32 << 20
WAITING_CHUNKS = 16_384
"""How much waits at most, while the store starts or has no room.

Above half of it, half of the events are withheld, from each node alike, and nothing more may wait
of those of which that leaves the most. Should that not free enough, since chunks of few events take
much more than those, it is done again, and at last the oldest chunks are withheld.
"""

SHARE_SECONDS = 0.5
"""How often room that is not enough is shared out, if each node gets as many as are worth it."""

WORTH_SHARING = 20
"""So many: an event costs more the fewer of its neighbours in a chunk are kept with it."""

LONGEST_SHARE_SECONDS = 2.0
"""How often it is shared out if there are fewer for each."""

EMPTIED_AT_ONCE = 500
"""Chunks of which nothing is left that are passed over in a row, so that all else goes on."""

CUT_AT_ONCE = 4
"""Chunks that are rid of what is withheld whenever another comes, so that they take less room."""


class _Waiting(NamedTuple):
    """A chunk that goes after record ``after``, the last one that came before it."""

    after: int
    chunk: Chunk


class RawEvents:
    """Hands chunks on as far as the store has room.

    Each event is ``given`` to the store, or ``withheld``, or it is one of the ``waiting``. Of those
    that were given, the store has ``written`` and ``dropped`` so many, and so many were ``lost``
    with store processes; the first two are None until the database has told.

    It is decided at once how many events of a node are withheld, its oldest ones; chunks are rid of
    them one by one, in order, when their turn comes.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.given = 0
        self.withheld = 0
        self.waiting = 0
        self.lost = 0
        self.written: int | None = None
        self.dropped: int | None = None
        self.owners = Owners()
        self._clock = clock
        self._told = Sampled()
        # Chunks as they came, and before them those that are rid of what is withheld.
        self._queue: deque[_Waiting] = deque()
        self._ready: deque[_Waiting] = deque()
        self._bytes = 0
        # Events that wait, by node, and those in the queue that are withheld.
        self._counts: dict[int, int] = {}
        self._excess: dict[int, int] = {}
        # From how many on nothing more of a node may wait, if there is a bound.
        self._enough: int | None = None
        # What the store process has room for; ``_goes`` says that what waits has its room.
        self._room = 0
        self._room_is_known = False
        self._losses_are_known = False
        self._given_before = 0
        self._goes = False
        self._finishing = False
        self._shared = clock.seconds() - LONGEST_SHARE_SECONDS

    # Chunks come and go

    @property
    def waits_to_hear(self) -> bool:
        """Whether chunks wait that may have to go before records do, once room for them is told."""
        return self.waiting > 0 and not self._room_is_known

    def pass_on(self, chunk: Chunk) -> bool:
        """Whether ``chunk``, which has just come, may go at once; the way to the store is free."""
        if self.waiting or chunk.count > self._room:
            return False
        self._give(chunk.count)
        return True

    def wait(self, chunk: Chunk, after: int) -> None:
        """Keep ``chunk``, which came after record ``after``, until there is room."""
        enough = self._enough
        if enough is not None:
            counts = self._counts
            most = [n if counts.get(handle, 0) < enough else 0 for handle, n in chunk.runs]
            if not all(most):
                welcome = self.cut(chunk, most)
                if welcome is None:
                    return
                chunk = welcome
        self._queue.append(_Waiting(after, chunk))
        self._bytes += chunk.size
        self._count(chunk, 1)
        self._goes = self._goes and self.waiting <= self._room
        for _ in range(CUT_AT_ONCE):
            if self._excess and self._queue:
                self._make_ready()
        fullness = self._fullness()
        if (fullness > 0.5 and self._enough is None) or (fullness > 0.75 and not self._excess):
            self._enough = self._share_out(self.waiting // 2)
        while self._fullness() > 1:
            self._drop_oldest()

    def _fullness(self) -> float:
        chunks = len(self._queue) + len(self._ready)
        return max(self._bytes / WAITING_BYTES, chunks / WAITING_CHUNKS)

    def _drop_oldest(self) -> None:
        if not self._ready:
            self._make_ready()
        if self._ready:
            self.withhold(self._pop_ready().count)

    def withhold(self, events: int) -> None:
        """So many events, which do not wait, are not for the store."""
        self.withheld += events

    def _give(self, events: int) -> None:
        self._room -= events
        self.given += events

    def _count(self, chunk: Chunk, sign: int) -> None:
        self.waiting += sign * chunk.count
        counts = self._counts
        for handle, count in chunk.runs:
            counts[handle] = counts.get(handle, 0) + sign * count
            if not counts[handle]:
                del counts[handle]

    def next(self, sent: int) -> Chunk | None:
        """The next chunk that is to go, if one is, when records up to ``sent`` have gone."""
        emptied = 0
        while self._goes and self.waiting and (emptied < EMPTIED_AT_ONCE or self._finishing):
            if not self._ready:
                self._make_ready()
                emptied += not self._ready
                continue
            after = self._ready[0].after
            if after > sent:
                return None
            mine = self._of_those_meant(after, self._pop_ready())
            if mine is not None:
                self._give(mine.count)
                return mine
        return None

    def _pop_ready(self) -> Chunk:
        chunk = self._ready.popleft().chunk
        self._bytes -= chunk.size
        self._count(chunk, -1)
        return chunk

    def _of_those_meant(self, after: int, chunk: Chunk) -> Chunk | None:
        """What is left of a chunk without the events of nodes whose handles stand for others."""
        meant = self.owners.meant(after, chunk)
        return chunk if meant is None else self.cut(chunk, meant)

    def cut(self, chunk: Chunk, most: list[int]) -> Chunk | None:
        """What is left of a chunk when all but so many events of each run are withheld."""
        kept = sum(most)
        self.withhold(chunk.count - kept)
        if kept == chunk.count:
            return chunk
        return chunk.cut(most) if kept else None

    # Room

    def told(self, room: int, taken: int | None, written: int | None, dropped: int | None) -> int:
        """The store process has told of itself, as in ``STORE_STATUS``.

        :returns: how many events are now known to be lost with processes before it.
        """
        lost = 0
        if written is not None and dropped is not None:
            self.written, self.dropped = written, dropped
            if not self._losses_are_known:
                self._losses_are_known = True
                lost = max(0, self._given_before - written - dropped - self.lost)
                self.lost += lost
        on_the_way = 0 if taken is None else self.given - self._given_before - taken
        self._room = max(0, room - on_the_way)
        self._room_is_known = True
        self._decide()
        return lost

    def _decide(self) -> None:
        self._goes = self.waiting <= self._room
        now = self._clock.seconds()
        few = self._room < WORTH_SHARING * len(self._counts)
        wait = LONGEST_SHARE_SECONDS if few else SHARE_SECONDS
        due = self._room > 0 and now - self._shared >= wait
        if self._goes:
            self._enough = None
        elif due or self._finishing:
            self._shared = now
            # Next time there may be room for more, but hardly for much more.
            self._enough = 2 * self._share_out(self._room)
            self._goes = True

    def process_ended(self) -> None:
        """The store process is gone, with what it had not written."""
        self._room_is_known = self._losses_are_known = self._goes = False
        self._room = 0
        self._given_before = self.given

    def finish(self) -> None:
        """Nothing more will come: what there is no room for need not wait for it.

        Where it is not known how much there is, the store may have all, and drop what it must.
        """
        self._finishing = True
        if not self._room_is_known:
            self._room_is_known = True
            self._room = self.waiting
        self._decide()

    def _share_out(self, room: int) -> int:
        """Withhold so many events that no more than ``room`` wait, from each node alike.

        :returns: the most that wait of a node then, 1 at least.
        """
        level = 1
        for handle, share in shares(self._counts, room).items():
            level = max(level, share)
            excess = self._counts[handle] - share
            if excess:
                self._excess[handle] = self._excess.get(handle, 0) + excess
                self.waiting -= excess
                self.withhold(excess)
            if share:
                self._counts[handle] = share
            else:
                del self._counts[handle]
        # Those that are withheld are the oldest.
        self._queue.extendleft(reversed(self._ready))
        self._ready.clear()
        return level

    def _make_ready(self) -> None:
        """Rid the oldest chunk of the queue of what is withheld; if more is left, it is ready."""
        after, chunk = self._queue.popleft()
        if not self._excess:
            self._ready.append(_Waiting(after, chunk))
            return
        self._bytes -= chunk.size
        most = []
        for handle, count in chunk.runs:
            excess = min(count, self._excess.get(handle, 0))
            most.append(count - excess)
            if excess:
                self._excess[handle] -= excess
                if not self._excess[handle]:
                    del self._excess[handle]
        kept = sum(most)
        if kept:
            mine = chunk if kept == chunk.count else chunk.cut(most)
            self._ready.append(_Waiting(after, mine))
            self._bytes += mine.size

    # What is told

    def take_sampled(self) -> Sampled:
        """What became of events since the last time; to be put back if it is not told."""
        sampled = Sampled(self.given + self.withheld, self.given, self.lost)
        sampled.subtract(self._told)
        self._told.add(sampled)
        return sampled

    def put_back(self, sampled: Sampled) -> None:
        """``sampled`` was not told."""
        self._told.subtract(sampled)
