"""The events of the ring that match one filter, and cursors that read them.

All subscribers with the same filter share its channel. Entries carry how many matching events came
before them, so how far a subscriber lags is a subtraction, whatever it missed meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

from attrs import define, frozen

from telemetry_twisted.transport.records import Chunk

from .window import Window

Spans = Sequence[tuple[int, int]]
"""Which events of a chunk match: half-open ranges of their numbers, in order."""

Frame = Sequence[bytes]
"""What is written to a subscriber, in pieces: most of it is the ring's own bytes, never copied."""

Render = Callable[[list[bytes], int], Frame]
"""Makes a frame of pieces that each hold messages joined by commas, and the number of messages."""

_MATCHES = re.compile(b"\x01+")
_MEMO_FRAMES = 64


@frozen
class Filter:
    """What a subscriber wants: events of these nodes and of these types; None means any."""

    node_ids: frozenset[str] | None = None
    types: frozenset[int] | None = None

    @cached_property
    def _matching(self) -> bytes:
        assert self.types is not None
        return bytes(discriminator in self.types for discriminator in range(256))

    def spans(self, types: bytes, begin: int = 0) -> list[tuple[int, int]]:
        """Where events of the wanted types are among ``types``, counted from ``begin``."""
        if self.types is None:
            return [(begin, begin + len(types))]
        marks = types.translate(self._matching)
        return [(begin + match.start(), begin + match.end()) for match in _MATCHES.finditer(marks)]


ALL = Filter()
"""The filter that a new subscriber starts with."""


class Entry(NamedTuple):
    """One chunk in a channel: ``before`` matching events precede it, ``matching`` are in it.

    ``spans`` says which, or is None where the whole chunk matches.
    """

    chunk: Chunk
    before: int
    matching: int
    spans: Spans | None


class Reader(Protocol):
    """A subscriber as its channel sees it."""

    def wake(self) -> None:
        """Events have come to a channel that this reader was waiting on."""


@define
class Cursor:
    """A place in a channel: the next entry's index, and how many matching events lie before."""

    index: int
    position: int


class Channel:
    """The chunks of the ring that match ``filter``, as far as the ring still holds them.

    ``total`` is the number of matching events published since the channel was opened.
    """

    def __init__(self, filter: Filter, render: Render, batch: int) -> None:
        self.filter = filter
        self.total = 0
        self.readers = 0
        self._render = render
        self._batch = batch
        self._entries: Window[Entry] = Window()
        self._waiting: dict[Reader, None] = {}
        self._frames: dict[tuple[int, int], tuple[Frame, int, int]] = {}

    def append(self, chunk: Chunk, count: int, spans: Spans | None = None) -> None:
        """Add a chunk of which ``count`` events match, those in ``spans``."""
        self._entries.append(Entry(chunk, self.total, count, spans))
        self.total += count

    def evict(self) -> None:
        """Forget the oldest chunk: the ring has."""
        self._entries.popleft()

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
        """Wake all who wait."""
        waiting, self._waiting = self._waiting, {}
        for reader in waiting:
            reader.wake()

    def catch_up(self, cursor: Cursor, until: int | None = None) -> int:
        """Move ``cursor`` to the oldest event still held if it is behind that.

        :param until: move to this position at most.
        :returns: the number of matching events that it missed.
        """
        entries = self._entries
        if cursor.index >= entries.start:
            return 0
        oldest = entries[entries.start].before if len(entries) else self.total
        if until is not None and until < oldest:
            oldest = until
        else:
            cursor.index = entries.start
        skipped = oldest - cursor.position
        cursor.position = oldest
        return skipped

    def read(
        self, cursor: Cursor, until: int | None = None, batch: int | None = None
    ) -> tuple[Frame, int] | None:
        """The next frame at ``cursor``, which moves past it, and the number of events in it.

        :param until: read no event at or after this position.
        :param batch: most events in the frame, if fewer than the ring's.
        :returns: None if there is nothing to read.
        """
        end = self.total if until is None else until
        if cursor.position >= end:
            return None
        most = self._batch if batch is None else batch
        found = self._frames.get((cursor.position, most))
        if found is not None and cursor.position + found[1] <= end:
            frame, count, index = found
        else:
            start = cursor.position
            parts, count, index = self._collect(cursor, min(most, end - start))
            frame = self._render(parts, count)
            if self.readers > 1:
                self._remember((start, most), (frame, count, index))
        cursor.position += count
        cursor.index = index
        return frame, count

    def _collect(self, cursor: Cursor, most: int) -> tuple[list[bytes], int, int]:
        """Up to ``most`` events from ``cursor`` on, their number, and the entry after them.

        Whole entries where they fit: an entry is cut only when it alone is more than ``most``.
        """
        entries = self._entries
        parts: list[bytes] = []
        count = 0
        index = cursor.index
        while count < most and index < entries.end:
            entry = entries[index]
            done = cursor.position + count - entry.before
            left = entry.matching - done
            if count and count + left > most:
                break
            taken = min(left, most - count)
            parts += _slices(entry, done, done + taken)
            count += taken
            if taken == left:
                index += 1
        return parts, count, index

    def _remember(self, place: tuple[int, int], made: tuple[Frame, int, int]) -> None:
        frames = self._frames
        if len(frames) >= _MEMO_FRAMES:
            del frames[next(iter(frames))]
        frames[place] = made


def _slices(entry: Entry, begin: int, end: int) -> list[bytes]:
    """The entry's matching events ``begin`` to ``end``, neighbours joined by their commas."""
    chunk = entry.chunk
    if entry.spans is None and begin == 0 and end == entry.matching:
        return [chunk.events]
    bounds = chunk.bounds()
    parts = []
    for first, last in entry.spans or [(0, chunk.count)]:
        width = last - first
        if begin < width and end > 0:
            lo, hi = first + max(begin, 0), first + min(end, width)
            parts.append(chunk.events[bounds[lo] : bounds[hi] - 1])
        begin -= width
        end -= width
    return parts
