"""The records that the hub and its child processes exchange.

====================  ==============  ==========================================================
record                direction       body
====================  ==============  ==========================================================
``CHUNK``             child to hub    events of one reactor turn, see :class:`Chunk`
``HELLO``             child to hub    JSON ``{connection, node_id, address, info}``
``GONE``              child to hub    JSON ``{connection, reason}``, after the last chunk of it
``FACTS``             child to hub    see :class:`Facts`
``COUNTS``            child to hub    JSON ``{received, counts: {slot: {type: n}}}``, every second
``STATE``             child to hub    JSON ``{slot: {best, finalized, synced}}``, what changed
``FAULTS``            child to hub    JSON list of faults by node, discriminator and reason
``PULSE``             child to hub    JSON counters of the process, every second
``CONNECTION``        hub to child    JSON ``{connection, address}``; a socket comes with it
``ADMIT``             hub to child    JSON ``{connection, slot, after_id}``
``DISMISS``           hub to child    JSON ``{connection, reason}``
``DRAIN``             hub to child    empty: read no more, send what was read, end
====================  ==============  ==========================================================

Each is a little-endian ``u32`` length of what follows, one byte of kind, and the body.
A *slot* is the small integer that stands for a connected node on the links.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import ujson
from attrs import define, frozen

(
    CHUNK,
    HELLO,
    GONE,
    FACTS,
    COUNTS,
    STATE,
    FAULTS,
    PULSE,
    CONNECTION,
    ADMIT,
    DISMISS,
    DRAIN,
) = range(12)

PREFIX = struct.Struct("<IB")
_CHUNK = struct.Struct("<QHH")
_RUN = struct.Struct("<HH")
_FACTS = struct.Struct("<Q")
_FACT = struct.Struct("<HI")


def encode_record(kind: int, *body: bytes) -> bytes:
    """One record of ``kind`` whose body is ``body`` joined."""
    return b"".join((PREFIX.pack(1 + sum(map(len, body)), kind), *body))


def encode_json(kind: int, value: Any) -> bytes:
    """One record of ``kind`` whose body is ``value`` as JSON."""
    return encode_record(kind, ujson.dumps(value, escape_forward_slashes=False).encode())


def decode_json(body: bytes) -> Any:
    """The value of a JSON body."""
    return ujson.loads(body)


@define(eq=False)
class Chunk:
    """Finished events of one ingestion process, at most some hundred of them.

    ``first_id`` is the id of the first event; ``count`` the number of events; ``runs`` says whose
    they are: ``(slot, number of events)`` in order; ``types`` holds a discriminator byte for each
    event, ``lengths`` its length in bytes as a little-endian u32, ``events`` the messages
    themselves joined by commas.
    """

    first_id: int
    count: int
    runs: tuple[tuple[int, int], ...]
    types: bytes
    lengths: bytes
    events: bytes

    @property
    def size(self) -> int:
        """Bytes that the chunk holds in memory, without the objects around them."""
        return len(self.events) + 5 * self.count

    def encode(self) -> bytes:
        """The chunk as a record."""
        return encode_record(
            CHUNK,
            _CHUNK.pack(self.first_id, self.count, len(self.runs)),
            b"".join(_RUN.pack(*run) for run in self.runs),
            self.types,
            self.lengths,
            self.events,
        )

    @classmethod
    def decode(cls, body: bytes) -> Chunk:
        """The chunk in the body of a ``CHUNK`` record."""
        first_id, count, run_count = _CHUNK.unpack_from(body)
        types = _CHUNK.size + _RUN.size * run_count
        lengths = types + count
        events = lengths + 4 * count
        return cls(
            first_id,
            count,
            tuple(_RUN.iter_unpack(body[_CHUNK.size : types])),
            body[types:lengths],
            body[lengths:events],
            body[events:],
        )

    def bounds(self) -> list[int]:
        """Where each event begins in ``events``, and where one after the last would begin."""
        steps = (length + 1 for (length,) in struct.iter_unpack("<I", self.lengths))
        return list(accumulate(steps, initial=0))

    def each(self) -> Iterator[bytes]:
        """The messages one by one."""
        bounds = self.bounds()
        return (
            self.events[begin : end - 1] for begin, end in zip(bounds, bounds[1:], strict=False)
        )


@frozen
class Facts:
    """Messages of nodes, verbatim, that history reads fields from.

    ``received`` is when they were read, in microseconds of Unix time; ``messages`` holds
    ``(slot, content)`` in order, the content without its JIP-3 length prefix.
    """

    received: int
    messages: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        """The facts as a record."""
        parts = [_FACTS.pack(self.received)]
        for slot, content in self.messages:
            parts += (_FACT.pack(slot, len(content)), content)
        return encode_record(FACTS, *parts)

    @classmethod
    def decode(cls, body: bytes) -> Facts:
        """The facts in the body of a ``FACTS`` record."""
        (received,) = _FACTS.unpack_from(body)
        messages = []
        at = _FACTS.size
        while at < len(body):
            slot, length = _FACT.unpack_from(body, at)
            at += _FACT.size
            messages.append((slot, body[at : at + length]))
            at += length
        return cls(received, tuple(messages))
