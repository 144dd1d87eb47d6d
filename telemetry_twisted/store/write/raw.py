"""Raw events, kept for browsing as the chunks they came in.

How they lie in the database is told in :mod:`~telemetry_twisted.store.raw_layout`.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import define, frozen

from telemetry_twisted.store.raw_layout import (
    CHUNK_SPAN,
    ROW_MICROSECONDS,
    compress_events,
    node_term,
    received_at,
    type_term,
)
from telemetry_twisted.transport.records import Chunk

BATCH_EVENTS = 50_000
BATCH_BYTES = 16 << 20
"""A batch holds no more than this, before it is compressed."""

ROW_EVENTS = 100
"""Events that chunks are written together up to."""


@frozen
class Waiting:
    """A chunk that waits to be written, and the node ID of each of its runs."""

    chunk: Chunk
    nodes: tuple[str, ...]


class RawQueue:
    """Chunks that wait for the database, at most ``most_events`` and ``most_bytes`` of them.

    What is too much is dropped, the oldest first.
    """

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self.events = 0
        self.bytes = 0
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._waiting: deque[Waiting] = deque()

    def push(self, waiting: Waiting) -> int:
        """Add a chunk; return how many older events were dropped for it."""
        self._waiting.append(waiting)
        self._count(waiting, 1)
        return self._trim()

    def pop_batch(self) -> list[Waiting]:
        """The oldest chunks, as many as fit into a batch; none if none wait."""
        batch: list[Waiting] = []
        events = size = 0
        while self._waiting and events < BATCH_EVENTS and size < BATCH_BYTES:
            waiting = self._waiting.popleft()
            self._count(waiting, -1)
            batch.append(waiting)
            events += waiting.chunk.count
            size += waiting.chunk.size
        return batch

    def put_back(self, batch: Sequence[Waiting]) -> int:
        """Have chunks that were not written wait again; return how many events were dropped."""
        for waiting in reversed(batch):
            self._waiting.appendleft(waiting)
            self._count(waiting, 1)
        return self._trim()

    def _count(self, waiting: Waiting, sign: int) -> None:
        self.events += sign * waiting.chunk.count
        self.bytes += sign * waiting.chunk.size

    def _trim(self) -> int:
        dropped = 0
        while self.events > self._most_events or self.bytes > self._most_bytes:
            oldest = self._waiting.popleft()
            self._count(oldest, -1)
            dropped += oldest.chunk.count
        return dropped


@define
class Batch:
    """Chunks made ready to be written: rows of the three tables without their key ``(batch, run)``.

    ``chunks`` are ``(number, received, lengths, events)``, ``postings`` are ``(term, positions)``;
    ``first`` and ``last`` bound the times of the events, in microseconds; ``events`` is their
    number, ``bytes`` how much is written.
    """

    chunks: list[tuple[int, int, bytes, bytes]]
    postings: list[tuple[int, bytes]]
    first: int
    last: int
    events: int
    bytes: int


Timed = tuple[int, Waiting]
"""A chunk and when it was received, in microseconds."""


def make_batch(waiting: Sequence[Waiting], nodes: Mapping[str, int]) -> Batch:
    """The batch of some chunks, at least one; ``nodes`` gives the number of each node ID."""
    chunks = []
    positions: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
    timed = [(received_at(item.chunk.events), item) for item in waiting]
    for number, row in enumerate(_rows(timed)):
        start = number * CHUNK_SPAN
        for _, item in row:
            for position, kind in enumerate(item.chunk.types, start):
                positions[type_term(kind)].append(position)
            for node_id, (_, count) in zip(item.nodes, item.chunk.runs, strict=True):
                positions[node_term(nodes[node_id])].extend(range(start, start + count))
                start += count
        lengths = b"".join(item.chunk.lengths for _, item in row)
        events = compress_events(b",".join(item.chunk.events for _, item in row))
        chunks.append((number, min(received for received, _ in row), lengths, events))
    postings = [(term, where.tobytes()) for term, where in positions.items()]
    return Batch(
        chunks,
        postings,
        min(received for received, _ in timed),
        max(received for received, _ in timed),
        sum(item.chunk.count for item in waiting),
        sum(sum(map(len, row[2:])) for row in chunks) + sum(len(where) for _, where in postings),
    )


def _rows(timed: Iterable[Timed]) -> Iterator[list[Timed]]:
    """The chunks of each row."""
    row: list[Timed] = []
    events = first = last = 0
    for received, item in timed:
        earliest, latest = min(first, received), max(last, received)
        if row and (events + item.chunk.count > ROW_EVENTS or latest - earliest > ROW_MICROSECONDS):
            yield row
            row = []
        if row:
            first, last, events = earliest, latest, events + item.chunk.count
        else:
            first, last, events = received, received, item.chunk.count
        row.append((received, item))
    if row:
        yield row
