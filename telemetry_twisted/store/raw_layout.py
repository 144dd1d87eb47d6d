"""How raw events lie in the database, for who writes them and who looks for them.

A row for each event would cost more than all the rest of history: most of it goes into indexes.
Instead the chunks of a moment are written together as a *batch*, their events compressed, with
*postings* beside them: for each *term*, a node or a type, the positions of its events in the batch,
ascending, as u32. A position is the number of the chunk in the batch times :data:`CHUNK_SPAN`, plus
the index of the event in the chunk. Whoever looks for a node's or a type's events reads the
postings of few batches and then just the chunks that hold them; both sides handle an event in a
fraction of a microsecond.

Small chunks that came within :data:`ROW_MICROSECONDS` are written as one, for what a row costs
beside its events. Its ``received`` is that of the first of them; each message says its own.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Sequence

from telemetry_twisted.timestamps import microseconds
from telemetry_twisted.transport.records import Chunk

CHUNK_SPAN = 1 << 16
"""More events than any chunk holds."""

ROW_MICROSECONDS = 100_000
"""How much later than the row says the last event of a row may have been received, at most."""

STAMP = slice(-29, -2)
"""Where in an ``event`` message its time is, as RFC 3339; also that of the last of several."""

Positions = Sequence[int]
"""Where events are in a batch, ascending."""


def node_term(node: int) -> int:
    """The term of a node, by its number (from 1)."""
    return node


def type_term(kind: int) -> int:
    """The term of an event type."""
    return -1 - kind


def decode_positions(encoded: bytes) -> Positions:
    """The positions in a posting."""
    return array("I", encoded)


def received_at(messages: bytes) -> int:
    """When the last of some messages was received, in microseconds of Unix time."""
    return microseconds(messages[STAMP].decode())


def compress_events(events: bytes) -> bytes:
    """The messages of a chunk, with a comma after each but the last, as a row holds them."""
    return zlib.compress(events, 1)


def cut_events(lengths: bytes, events: bytes, indices: Iterable[int]) -> list[bytes]:
    """The event messages of a chunk at ``indices``, from the columns of its row."""
    messages = zlib.decompress(events)
    bounds = Chunk(0, 0, b"", b"", lengths, b"").bounds()
    return [messages[bounds[index] : bounds[index + 1] - 1] for index in indices]
