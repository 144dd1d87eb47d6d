"""The events of the ring that match one filter, and cursors that read them.

All subscribers with the same filter share its channel. Entries carry how many matching events came
before them, so how far a subscriber lags is a subtraction, whatever it missed meanwhile.
"""

from __future__ import annotations

import struct
from typing import Protocol

from attrs import define

from telemetry_twisted.transport.records import Chunk

from .filter import Filter, Spans, each_span, width
from .memo import FrameMemo, Made, Render
from .window import Window

CHANNEL_BYTES = 2000
"""What a channel takes before anything is in it, its filter apart."""

_ENTRY = struct.Struct("<QQ")
"""Index of a chunk in the ring, and how many matching events precede it in the channel.

The spans of the matching events follow, or nothing where the whole chunk matches. There may be
millions of entries, so they are single objects, which a garbage collector need not visit.
"""

_ENTRY_BYTES = 72
"""What an entry takes beside its contents, its place in the ring included."""

FRAMES_BYTES = 1 << 17
"""How much is read ahead, unless something else is asked for: about as much as there is room for
when there is some again. It ends with the frame with which it is full."""

ONE_FRAME = 1
"""So that one frame is read at once."""

MOST_FRAMES = 128
"""Most frames that are read at once: a system call takes so many pieces, three to a frame."""


class Reader(Protocol):
    """A subscriber as its channel sees it."""

    def wake(self) -> None:
        """Events have come to a channel that this reader was waiting on."""


@define
class Cursor:
    """A place in a channel: the next entry's index, and how many matching events lie before."""

    index: int
    position: int

    def copy(self) -> Cursor:
        """Another one at the same place."""
        return Cursor(self.index, self.position)

    def move_past(self, made: Made) -> None:
        """Go on after the frame that begins here."""
        self.index = made.end
        self.position += made.events


class Channel:
    """The chunks of the ring that match ``filter``, as far as the ring still holds them.

    ``total`` is the number of matching events published since the channel was opened, ``bytes``
    what its entries take. ``handles`` has a bit for each connected node that the filter names.

    :param chunks: those that the ring holds.
    :param batch: most events in a frame.
    """

    def __init__(
        self, filter: Filter, chunks: Window[Chunk], render: Render, batch: int, memo: FrameMemo
    ) -> None:
        self.filter = filter
        self.total = 0
        self.bytes = 0
        self.readers = 0
        self.handles = 0
        self._chunks = chunks
        self._render = render
        self._batch = batch
        self._memo = memo
        self._entries: Window[bytes] = Window()
        self._waiting: dict[Reader, None] = {}

    def append(self, index: int, count: int, spans: Spans | None = None) -> int:
        """Add the chunk at ``index`` of the ring, of which those of its events match in ``spans``.

        :param count: the number of events in the chunk.
        :returns: the bytes that this takes.
        """
        entry = _ENTRY.pack(index, self.total) + (spans or b"")
        self._entries.append(entry)
        self.total += count if spans is None else width(spans)
        size = len(entry) + _ENTRY_BYTES
        self.bytes += size
        return size

    def evict(self) -> int:
        """Forget the oldest chunk: the ring has.

        :returns: the bytes that are free again; none if the channel was cleared.
        """
        if not len(self._entries):
            return 0
        size = len(self._entries.popleft()) + _ENTRY_BYTES
        self.bytes -= size
        return size

    def clear(self) -> int:
        """Forget everything: nobody reads any more.

        :returns: the bytes that are free again.
        """
        size, self.bytes = self.bytes, 0
        self._entries = Window()
        self._waiting.clear()
        return size

    def tail(self) -> Cursor:
        """A cursor after all that has been published."""
        return Cursor(self._entries.end, self.total)

    def wait(self, reader: Reader) -> None:
        """Wake ``reader``, once, when there is more."""
        self._waiting[reader] = None

    def forget(self, reader: Reader) -> None:
        """Do not wake ``reader`` any more."""
        self._waiting.pop(reader, None)

    def wake(self) -> None:
        """Wake all who wait, the last to come first.

        Those at a tail come after one who was ahead of them. If it found them behind each time, it
        would never join them.
        """
        waiting, self._waiting = self._waiting, {}
        for reader in reversed(waiting):
            reader.wake()

    def catch_up(self, cursor: Cursor, until: int | None = None) -> int:
        """Move ``cursor`` to the oldest event still held if it is behind that.

        :param until: move to this position at most.
        :returns: the number of matching events that it missed.
        """
        entries = self._entries
        if cursor.index >= entries.start:
            return 0
        oldest = self.total
        if len(entries):
            _, oldest = _ENTRY.unpack_from(entries[entries.start])
        if until is not None and until < oldest:
            oldest = until
        else:
            cursor.index = entries.start
        skipped = oldest - cursor.position
        cursor.position = oldest
        return skipped

    def holds(self, cursor: Cursor) -> bool:
        """Whether nothing at ``cursor`` has left the ring."""
        return cursor.index >= self._entries.start

    def read_ahead(
        self,
        cursor: Cursor,
        until: int | None = None,
        batch: int | None = None,
        alone: bool = False,
        most_bytes: int = FRAMES_BYTES,
    ) -> list[Made]:
        """The next frames at ``cursor``, which does not move.

        :param until: read no event at or after this position.
        :param batch: most events in a frame, if fewer than the ring's.
        :param alone: whether nobody else is going to want them.
        :param most_bytes: read no more frames when they are so many bytes.
        """
        end = self.total if until is None else until
        index, position, size = cursor.index, cursor.position, 0
        frames: list[Made] = []
        while position < end and size < most_bytes and len(frames) < MOST_FRAMES:
            made = self._frame_at(index, position, end, batch or self._batch, alone)
            frames.append(made)
            index = made.end
            position += made.events
            size += made.size
        return frames

    def _frame_at(
        self, index: int, position: int, end: int, most: int, alone: bool = False
    ) -> Made:
        """The frame at a place of ``most`` events before position ``end``, at most.

        :param alone: as for :meth:`read_ahead`.
        """
        if alone or self.readers == 1:
            return self._make(index, position, end, most)
        place = self, position, most
        made = self._memo.get(place)
        if made is None or position + made.events > end:
            fresh = self._make(index, position, end, most)
            if made is None:
                self._memo.put(place, fresh)
            made = fresh
        return made

    def _make(self, index: int, position: int, end: int, most: int) -> Made:
        if most > end - position:
            most = end - position
        parts, count, after = self._collect(index, position, most)
        frame = self._render(parts, count)
        return Made(frame, count, sum(map(len, frame)), after)

    def _collect(self, index: int, position: int, most: int) -> tuple[list[bytes], int, int]:
        """Up to ``most`` events from a place on, their number, and the entry after them.

        Whole entries where they fit: an entry is cut only when it alone is more than ``most``.
        """
        entries = self._entries
        entry = entries[index]
        if index + 1 == entries.end and len(entry) == _ENTRY.size:
            # As for most who keep up: there is one chunk, and all of it is wanted.
            number, before = _ENTRY.unpack(entry)
            chunk = self._chunks[number]
            if before == position and chunk.count <= most:
                return [chunk.events], chunk.count, index + 1
        parts: list[bytes] = []
        count = 0
        while count < most and index < entries.end:
            entry = entries[index]
            number, before = _ENTRY.unpack_from(entry)
            chunk, spans = self._chunks[number], entry[_ENTRY.size :]
            done = position + count - before
            left = (width(spans) if spans else chunk.count) - done
            if count and count + left > most:
                break
            taken = min(left, most - count)
            if done or spans or taken < left:
                parts += _slices(chunk, spans, done, done + taken)
            else:
                parts.append(chunk.events)
            count += taken
            if taken == left:
                index += 1
        return parts, count, index


def _slices(chunk: Chunk, spans: Spans, begin: int, end: int) -> list[bytes]:
    """The matching events ``begin`` to ``end`` of a chunk, neighbours joined by their commas.

    :param spans: which match; all if that is empty.
    """
    bounds = chunk.bounds()
    parts = []
    for first, last in each_span(spans) if spans else [(0, chunk.count)]:
        count = last - first
        if begin < count and end > 0:
            lo, hi = first + max(begin, 0), first + min(end, count)
            parts.append(chunk.events[bounds[lo] : bounds[hi] - 1])
        begin -= count
        end -= count
    return parts
