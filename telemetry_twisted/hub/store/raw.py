"""Raw events on their way to the store: what waits, and who gets what room there is.

When there is room for all, chunks pass as they are. When there is not, each node gets the same
share: the events of whoever sends less than that pass whole, and of all others as many as of each
other, the newest. So no node can keep another's events from being browsed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.transport.records import Chunk

from .tally import Sampled

WAITING_BYTES = 32 << 20
WAITING_CHUNKS = 16_384
"""How much waits at most, while the store starts or has no room; above it, half is let go of."""

SHARE_SECONDS = 0.5
"""How often room that is not enough is shared out."""


class _Waiting(NamedTuple):
    """A chunk that goes after record ``after``, the last one that came before it."""

    after: int
    chunk: Chunk


class RawEvents:
    """Hands chunks on as far as the store has room.

    Each event is ``given`` to the store, or ``withheld``, or it is one of the ``waiting``. Of those
    that were given, the store has ``written`` and ``dropped`` so many, and so many were ``lost``
    with store processes; the first two are None until the database has told.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.given = 0
        self.withheld = 0
        self.waiting = 0
        self.lost = 0
        self.written: int | None = None
        self.dropped: int | None = None
        self._clock = clock
        self._room = 0
        self._known = False
        self._given_before = 0
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._decided = 0
        self._finishing = False
        self._shared = clock.seconds() - SHARE_SECONDS
        # Which node a handle stands for, and since which record: older chunks mean another node.
        self._owners: dict[int, tuple[str, int]] = {}
        self._newest = 0
        self._resumed = 0
        self._unsaid = Sampled()

    def pass_on(self, chunk: Chunk) -> bool:
        """Whether ``chunk``, which has just come, may go at once; the way to the store is free."""
        if self._queue or chunk.count > self._room:
            return False
        self._give(chunk)
        return True

    def wait(self, chunk: Chunk, after: int) -> None:
        """Keep ``chunk``, which came after record ``after``, until there is room."""
        self._queue.append(_Waiting(after, chunk))
        self.waiting += chunk.count
        self._bytes += chunk.size
        if len(self._queue) > WAITING_CHUNKS:
            self._share_out(self.waiting // 2)
        while self._bytes > WAITING_BYTES:
            self._share_out(self.waiting // 2)

    def withhold(self, events: int) -> None:
        """So many events, which do not wait, are not for the store."""
        self.withheld += events
        self._unsaid.seen += events

    def _give(self, chunk: Chunk) -> None:
        self._room -= chunk.count
        self.given += chunk.count
        self._unsaid.seen += chunk.count
        self._unsaid.kept += chunk.count

    def next(self, sent: int) -> Chunk | None:
        """The next chunk that is to go, if one is, when records up to ``sent`` have gone."""
        while self._queue and self._decided and self._queue[0].after <= sent:
            after, chunk = self._queue.popleft()
            self._decided -= 1
            self.waiting -= chunk.count
            self._bytes -= chunk.size
            mine = self._of_those_meant(after, chunk)
            if mine is not None:
                self._give(mine)
                return mine
        return None

    def _of_those_meant(self, after: int, chunk: Chunk) -> Chunk | None:
        """What is left of a chunk without the events of nodes whose handles stand for others."""
        if after >= self._newest:
            return chunk
        unknown = "", self._resumed
        most = [
            count if after >= self._owners.get(handle, unknown)[1] else 0
            for handle, count in chunk.runs
        ]
        return self._cut(chunk, most)

    def _cut(self, chunk: Chunk, most: list[int]) -> Chunk | None:
        kept = sum(most)
        self.withhold(chunk.count - kept)
        if kept == chunk.count:
            return chunk
        return chunk.cut(most) if kept else None

    def connected(self, number: int, handle: int, node_id: str) -> None:
        """With record ``number``, which goes now, ``handle`` stands for that node."""
        owner, _ = self._owners.get(handle, ("", 0))
        if owner != node_id:
            self._owners[handle] = node_id, number
            self._newest = max(self._newest, number)

    def resumed(self, number: int, nodes: Mapping[int, str]) -> None:
        """With record ``number``, which goes now, handles stand for these nodes and no others."""
        before, self._owners = self._owners, {}
        for handle, node_id in nodes.items():
            owner, since = before.get(handle, ("", 0))
            self._owners[handle] = node_id, since if owner == node_id else number
        self._resumed = self._newest = number

    # Room

    def told(self, room: int, taken: int | None, written: int | None, dropped: int | None) -> int:
        """The store process has told of itself, as in ``STORE_STATUS``.

        :returns: how many events are now known to be lost with processes before it.
        """
        lost = 0
        if written is not None and dropped is not None:
            self.written, self.dropped = written, dropped
            if not self._known:
                self._known = True
                lost = max(0, self._given_before - written - dropped - self.lost)
                self.lost += lost
                self._unsaid.lost += lost
        if self._known:
            on_the_way = 0 if taken is None else self.given - self._given_before - taken
            self._room = max(0, room - on_the_way)
            self._decide()
        return lost

    def _decide(self) -> None:
        if self.waiting > self._room:
            self._decided = 0
            now = self._clock.seconds()
            early = not self._room or now - self._shared < SHARE_SECONDS
            if early and not self._finishing:
                return
            self._shared = now
            self._share_out(self._room)
        self._decided = len(self._queue)

    def process_ended(self) -> None:
        """The store process is gone, with what it had not written."""
        self._known = False
        self._room = 0
        self._decided = 0
        self._given_before = self.given

    def finish(self) -> None:
        """Nothing more will come: what there is no room for need not wait for it.

        Where it is not known how much there is, the store may have all, and drop what it must.
        """
        self._finishing = True
        if not self._known:
            self._room = self.waiting
        self._decide()

    def _share_out(self, room: int) -> None:
        """Withhold so many events that no more than ``room`` wait, from each node alike."""
        counts: Counter[int] = Counter()
        for _, chunk in self._queue:
            for handle, count in chunk.runs:
                counts[handle] += count
        left = shares(counts, room)
        queue: deque[_Waiting] = deque()
        self.waiting = self._bytes = self._decided = 0
        for after, chunk in reversed(self._queue):
            most = []
            for handle, count in reversed(chunk.runs):
                share = min(count, left[handle])
                left[handle] -= share
                most.append(share)
            most.reverse()
            kept = self._cut(chunk, most)
            if kept is not None:
                queue.appendleft(_Waiting(after, kept))
                self.waiting += kept.count
                self._bytes += kept.size
        self._queue = queue

    # What is told

    def take_sampled(self) -> Sampled:
        """What became of events since the last time; to be put back if it is not told."""
        sampled, self._unsaid = self._unsaid, Sampled()
        return sampled

    def put_back(self, sampled: Sampled) -> None:
        """``sampled`` was not told."""
        self._unsaid.add(sampled)


def shares(wanted: Mapping[int, int], room: int) -> dict[int, int]:
    """What each gets of ``room``: all it wants, or else as much as any other, to one.

    All of the room is given out, or all that is wanted.
    """
    got = {}
    left = room
    for number, (who, want) in enumerate(sorted(wanted.items(), key=lambda item: item[1])):
        got[who] = min(want, left // (len(wanted) - number))
        left -= got[who]
    return got
