"""Writes the events of a reactor turn into chunks: the interface of the two writers, and one.

A turn reads many nodes. Their events share chunks, so that a thousand nodes with little to say cost
the hub no more than one with much. The compiled writer (:mod:`._chunks`) decodes straight into the
record that is sent; the one here joins what a stream hands out. They give identical bytes.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from telemetry_twisted.jip3.codec import Fault, FaultTally, FrameTooLong, Stream
from telemetry_twisted.jip3.frames import each_frame, encode_frames
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.transport.records import CHUNK_EVENTS, Chunk, encode_runs


class Fed(NamedTuple):
    """What one call of :meth:`ChunkWriter.feed` made of a buffer.

    ``end`` is the offset in the buffer of the first byte that was not consumed, ``events`` how many
    were written; ``facts``, ``newest`` and ``faults`` are what
    :class:`~telemetry_twisted.jip3.codec.Decoded` says of all that was consumed: each fault that is
    of one kind, discriminator and reason is there once, and of ``newest`` there is at most one
    message of each state, none of which is older than one of its state in ``facts``.
    """

    end: int
    events: int
    facts: bytes
    newest: bytes
    faults: list[Fault]


class ChunkWriter(Protocol):
    """Gives the events of one ingestion process their ids, and writes them into chunks.

    Made of ``(first_id, id_step)``: the id of the first event, and how much higher each further one
    is. ``events`` counts those that were given ids so far. A chunk holds at most
    :data:`~telemetry_twisted.transport.records.CHUNK_EVENTS` events, of one turn.
    """

    @property
    def events(self) -> int:
        """How many events were given ids so far."""

    @property
    def size(self) -> int:
        """About how many bytes :meth:`take` would return, so that one who feeds much can send."""

    def begin_turn(self, moment: Moment, received: int, read: int) -> None:
        """What is fed from now on was read at ``moment``.

        Nothing is in hand then. ``received`` is that in microseconds of Unix time, ``read`` by the
        monotonic clock (:class:`~telemetry_twisted.transport.records.Chunk`).
        """

    def begin_after(self, last_id: int) -> None:
        """Give only ids above ``last_id`` from now on, in the same steps."""

    def feed(self, stream: Stream, handle: int, data: bytes, start: int, most: int | None) -> Fed:
        """Write the whole frames of ``data`` from offset ``start``, at most ``most`` events.

        Stops before a frame that is not whole, and before one that is too long. With ``most`` 0
        nothing is consumed.

        :param stream: of the node with ``handle``, of the codec that the writer belongs to.
        :raises FrameTooLong: as :meth:`~telemetry_twisted.jip3.codec.Stream.decode` does, that is,
            if the frame at ``start`` itself is too long.
        """

    def take(self) -> list[bytes]:
        """What was written since the last call: whole ``CHUNK`` records in order, joined anyhow.

        Nothing is in hand afterwards, so that chunks that were not full are done.
        """


class PythonChunkWriter:
    """Implements :class:`ChunkWriter` for streams of any codec."""

    def __init__(self, first_id: int, id_step: int) -> None:
        self.events = 0
        self.size = 0
        self._next_id = first_id
        self._step = id_step
        self._moment = Moment(b"")
        self._received = 0
        self._read = 0
        self._done: list[bytes] = []
        self._start_chunk()

    def _start_chunk(self) -> None:
        self._first_id = self._next_id
        self._count = 0
        self._runs: list[tuple[int, int]] = []
        self._types: list[bytes] = []
        self._lengths: list[bytes] = []
        self._parts: list[bytes] = []

    def begin_turn(self, moment: Moment, received: int, read: int) -> None:
        """Implements :meth:`ChunkWriter.begin_turn`."""
        self._moment = moment
        self._received = received
        self._read = read

    def begin_after(self, last_id: int) -> None:
        """Implements :meth:`ChunkWriter.begin_after`."""
        if self._next_id <= last_id:
            self._close_chunk()
            self._next_id += -(-(last_id + 1 - self._next_id) // self._step) * self._step
            self._first_id = self._next_id

    def feed(self, stream: Stream, handle: int, data: bytes, start: int, most: int | None) -> Fed:
        """Implements :meth:`ChunkWriter.feed`."""
        left = len(data) if most is None else most  # a frame has four bytes and more
        at, total = start, 0
        all_facts: list[bytes] = []
        newest: dict[int, bytes] = {}
        tally = FaultTally()
        while left > 0:
            room = min(left, CHUNK_EVENTS - self._count)
            try:
                decoded = stream.decode(data, at, room, self._next_id, self._step, self._moment)
            except FrameTooLong:
                if at == start:
                    raise
                break
            at, events, types, lengths, facts, newer, faults = decoded
            count = len(types)
            if count:
                self._append(handle, events, types, lengths)
                total += count
                left -= count
            if count == total < room:  # all in one, as nearly always
                return Fed(at, total, facts, newer, faults)
            if facts:
                all_facts.append(facts)
                for content in each_frame(facts):
                    newest.pop(content[8], None)
            if newer:
                newest |= {content[8]: content for content in each_frame(newer)}
            if faults:
                tally.enter(faults)
            if count < room:
                break
        in_order = (newest[kind] for kind in sorted(newest))
        return Fed(at, total, b"".join(all_facts), encode_frames(in_order), tally.take())

    def _append(self, handle: int, events: bytes, types: bytes, lengths: bytes) -> None:
        count = len(types)
        self.events += count
        self.size += len(events)
        self._next_id += count * self._step
        self._count += count
        self._runs.append((handle, count))
        self._types.append(types)
        self._lengths.append(lengths)
        self._parts.append(events)
        if self._count == CHUNK_EVENTS:
            self._close_chunk()

    def _close_chunk(self) -> None:
        if not self._count:
            return
        chunk = Chunk(
            self._first_id,
            self._count,
            encode_runs(self._runs),
            b"".join(self._types),
            b"".join(self._lengths),
            b",".join(self._parts),
            self._received,
            self._read,
        )
        self._done += chunk.encode()
        self._start_chunk()

    def take(self) -> list[bytes]:
        """Implements :meth:`ChunkWriter.take`."""
        self._close_chunk()
        done, self._done = self._done, []
        self.size = 0
        return done
