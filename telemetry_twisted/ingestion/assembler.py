"""Puts the events of a reactor turn into chunks.

A turn reads many nodes. Their events share chunks, so that a thousand nodes with little to say cost
the hub no more than one with much, and none waits longer than the turn that read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.clock import Now, never_set_back
from telemetry_twisted.jip3.codec import Stream
from telemetry_twisted.jip3.frames import each_frame
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.jip3.state_types import STATE_TYPES
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport.records import CHUNK_EVENTS, Chunk, Facts, encode_runs

from .faults import FaultLedger


class Source:
    """An admitted node: the ``handle`` that stands for it, its ``stream``, its ``faults``.

    ``events`` counts those sent so far. What follows is since history was told: ``rate_limited``
    counts messages that were passed over, ``failures`` by discriminator those that were passed on
    as facts; ``latest`` holds the newest of each state, as message contents by discriminator, and
    ``waiting`` those of them that were not passed on.
    """

    def __init__(self, handle: int, stream: Stream, faults: FaultLedger) -> None:
        self.handle = handle
        self.stream = stream
        self.faults = faults
        self.events = 0
        self.rate_limited = 0
        self.failures: Counter[int] = Counter()
        self.latest: dict[int, bytes] = {}
        self.waiting: dict[int, bytes] = {}

    def passed_on(self, facts: bytes) -> None:
        """Frames of facts are sent."""
        for content in each_frame(facts):
            kind = content[8]
            if kind in STATE_TYPES:
                self.latest[kind] = content
                self.waiting.pop(kind, None)
            else:
                self.failures[kind] += 1

    def held_back(self, newest: bytes) -> None:
        """Frames of the newest states are not sent, or not yet."""
        for content in each_frame(newest):
            self.latest[content[8]] = self.waiting[content[8]] = content


class Assembler:
    """Gives events their ids and sends them as chunks.

    ``events`` counts those that were sent, ``rate_limited`` those that were passed over.

    :param send: takes the pieces of a record, which may wait for ``flush``.
    :param flush: called when a turn is over.
    :param first_id: id of the first event; each further one is ``id_step`` higher.
    :param clock: tells when a turn is over.
    :param now: tells the time that events are stamped with.
    """

    def __init__(
        self,
        send: Callable[..., None],
        flush: Callable[[], None],
        first_id: int,
        id_step: int,
        clock: IReactorTime,
        now: Now,
    ) -> None:
        self.events = 0
        self.rate_limited = 0
        self._send = send
        self._flush = flush
        self._next_id = first_id
        self._step = id_step
        self._clock = clock
        self._now = now
        self._reached = never_set_back(now, clock)
        self._turn_open = False
        self._moment = Moment(b"")
        self._received_micros = 0
        self._read_micros = 0
        self._start_chunk()
        self._facts: list[tuple[int, bytes]] = []
        self._changed: dict[Source, None] = {}  # one for each node; emptied every second

    def _start_chunk(self) -> None:
        self._first_id = self._next_id
        self._count = 0
        self._runs: list[tuple[int, int]] = []
        self._types: list[bytes] = []
        self._lengths: list[bytes] = []
        self._parts: list[bytes] = []

    def begin_after(self, last_id: int) -> None:
        """Give only ids above ``last_id`` from now on, in the same steps."""
        if self._next_id <= last_id:
            self._close_chunk()
            self._next_id += -(-(last_id + 1 - self._next_id) // self._step) * self._step
            self._first_id = self._next_id

    def feed(self, source: Source, data: bytes, start: int, most: int | None = None) -> int:
        """Take the whole frames of ``data`` from offset ``start``, at most ``most`` events.

        :returns: the offset of the first byte not consumed.
        :raises FrameTooLong: where :meth:`~telemetry_twisted.jip3.codec.Stream.decode` does; what
            came before it is taken.
        """
        if not self._turn_open:
            self._begin_turn()
        self._changed[source] = None
        decode = source.stream.decode
        at = start
        while most is None or most > 0:
            room = CHUNK_EVENTS - self._count
            if most is not None and most < room:
                room = most
            at, events, types, lengths, facts, newest, faults = decode(
                data, at, room, self._next_id, self._step, self._moment
            )
            count = len(types)
            if count:
                self._next_id += count * self._step
                self._count += count
                source.events += count
                self._runs.append((source.handle, count))
                self._types.append(types)
                self._lengths.append(lengths)
                self._parts.append(events)
                if self._count == CHUNK_EVENTS:
                    self._close_chunk()
                if most is not None:
                    most -= count
            if facts:
                self._facts.append((source.handle, facts))
                source.passed_on(facts)
            if newest:
                source.held_back(newest)
            if faults:
                source.faults.enter(faults)
            if count < room:
                break
        return at

    def pass_over(self, source: Source, data: bytes, start: int) -> int:
        """Take no event of the whole frames of ``data`` from offset ``start``, but count them.

        :returns: the offset of the first byte not consumed.
        :raises FrameTooLong: as :meth:`feed` does.
        """
        end, skipped = source.stream.skip(data, start, len(data))
        if skipped:
            source.rate_limited += skipped
            self.rate_limited += skipped
            self._changed[source] = None
        return end

    def take_changed(self) -> Iterable[Source]:
        """The nodes of which something came since the last call."""
        changed, self._changed = self._changed, {}
        return changed

    def _begin_turn(self) -> None:
        self._turn_open = True
        now = self._now()
        self._read_micros = int(self._clock.seconds() * 1_000_000)
        self._received_micros = int(now * 1_000_000)
        received, second = rfc3339(now).encode(), int(self._clock.seconds())
        self._moment = Moment.at(now, received, self._reached(), second)
        self._clock.callLater(0, self.end_turn)

    def end_turn(self) -> None:
        """Send what this turn has gathered."""
        self._turn_open = False
        self._close_chunk()
        if self._facts:
            self._send(Facts(self._received_micros, tuple(self._facts)).encode())
            self._facts = []
        self._flush()

    def _close_chunk(self) -> None:
        if not self._count:
            return
        self.events += self._count
        chunk = Chunk(
            self._first_id,
            self._count,
            encode_runs(self._runs),
            b"".join(self._types),
            b"".join(self._lengths),
            b",".join(self._parts),
            self._received_micros,
            self._read_micros,
        )
        self._send(*chunk.encode())
        self._start_chunk()
