"""The records that the hub and its child processes exchange.

====================  ==============  ==========================================================
record                direction       body
====================  ==============  ==========================================================
``CHUNK``             child to hub    events of one reactor turn, see :class:`Chunk`
``HELLO``             child to hub    JSON ``{connection, node_id, address, info}``
``ACCEPTED``          child to hub    JSON ``{connection, host}``: every connection's beginning,
                                      for which a permit is spent
``RETURNED``          child to hub    JSON ``{count, more}``: permits that will not be spent, and
                                      whether more are welcome
``ACTIVITY``          child to hub    JSON ``{connection, silent}``, the latter in seconds
``GONE``              child to hub    JSON ``{connection, kind, reason}``: every connection's end
``FACTS``             child to hub    see :class:`Facts`
``TOTALS``            child to hub    before each ``COUNTS``, what is in it, added up by node for
                                      the hub itself: see :mod:`.totals`
``COUNTS``            child to hub    JSON, every second, see :ref:`below <counts>`
``OBSERVATIONS``      child to hub    what was found by following chains of events, every second and
                                      before each ``GONE`` of a node, if anything was: see
                                      :mod:`telemetry_twisted.jip3.observations`
``STATE``             child to hub    JSON ``{handle: {cores, best, finalized, synced, peers}}`` of
                                      nodes of which something changed: the core count, null while
                                      it is unknown, and what changed
``FAULTS``            child to hub    JSON list of faults by node, discriminator and reason, a tenth
                                      of a second after the first of them at the earliest, and
                                      every second
``PULSE``             child to hub    JSON counters of the process, every second, the first at once;
                                      ``internal_errors`` among them, by place, and ``silent``: for
                                      how many seconds nodes have said nothing, of those that have
                                      not for long, by connection
``ADMIT``             hub to child    JSON ``{connection, handle, after_id}``
``DISMISS``           hub to child    JSON ``{connection, kind, reason}``
``PERMIT``            hub to child    JSON ``{count}``: accept so many connections more
``CHALLENGE``         hub to child    JSON ``{connection}``: asks for ``ACTIVITY``
``AUDIENCE``          hub to child    JSON ``{listening}``: whether there is any subscriber
``DRAIN``             hub to child    empty: read no more, send what was read, end
``SETTINGS``          hub to store    JSON of what the store process is to do, its first record;
                                      ``server`` is a token of this life of the server
``RESUME``            hub to store    JSON ``{first, nodes, gap}``: the record that follows has the
                                      number ``first``; ``nodes`` is every node that is connected
                                      there, each as in ``NODE_CONNECTED``; ``gap`` is null, or
                                      ``{began, ended, lost}``, the first two in microseconds of
                                      Unix time, of records that were given up before it. With it,
                                      all up to ``first - 1`` is taken: that number is the gap's
``NODE_CONNECTED``    hub to store    JSON ``{handle, node_id, connection, address, info, cores,
                                      version, connected}``, the last in microseconds of Unix time
``NODE_GONE``         hub to store    JSON ``{handle, node_id, connection, disconnected, reason}``
``SAMPLED``           hub to store    JSON ``{received, seen, kept, lost}``: events since the last
                                      one, how many of them the store was given, and how many that
                                      it had been given before went with a store process
``STORE_STATUS``      store to hub    JSON of how the store fares, every half second and around each
                                      commit; ``taken`` is the number of the last record that it
                                      holds, ``attempting`` the number up to which a commit is under
                                      way or null, ``position`` the number of the last record that
                                      is committed, null until the database has told;
                                      ``raw_room`` is how many more raw events it has room for,
                                      ``raw_taken`` how many it was given so far, ``raw_written``
                                      and ``raw_dropped`` how many those of this server wrote and
                                      dropped, null until the database has told; ``lost`` is what
                                      it had to let go of itself, by kind
``NETWORK``           store to hub    JSON ``{genesis: summary}`` of networks of whose summaries
                                      (:class:`.Summaries`) anything has changed, every second at
                                      most; null for one that is told of no more
====================  ==============  ==========================================================

Each is a little-endian ``u32`` length of what follows, one byte of kind, and the body.
The store is also given ``CHUNK``, ``FACTS``, ``COUNTS``, ``OBSERVATIONS``, ``STATE`` and ``FAULTS``
as they come, and ``DRAIN``. What it is given is numbered by its order, from 1 for the first record
of a server's life, but for ``SETTINGS``, ``RESUME``, ``CHUNK`` and ``DRAIN``.
A *handle* is the small integer that stands for a connected node on the links.

.. _counts:

``COUNTS`` is ``{received, counts, unread, dropped, rate_limited}``, of which ``received`` (seconds
of Unix time) and ``counts`` are always there, the others where there is something in them:

- ``counts``: ``{handle: {type: n}}``, events that were sent;
- ``unread``: ``{type: n}``, how many of the failures among them are in no ``FACTS``, so that their
  reasons are not known;
- ``dropped``: ``{handle: {events, spans, first, last}}``, what the ``Dropped`` among them say:
  ``spans`` is their number, ``events`` the sum of their ``num`` (at most 2^63 - 1), ``first`` the
  earliest time and ``last`` the latest, in microseconds of Unix time, of those whose times are
  within the tolerance of the clock; null where there are none;
- ``rate_limited``: ``{handle: n}``, messages that were passed over, which are in no ``CHUNK``.

A ``COUNTS`` record covers exactly the chunks and facts that its process sent since the last one,
whosever they are. One comes each second and before each ``GONE`` of a node, if there is anything to
count. So what came after the last one of a process that died can be counted by the hub, which
makes a ``COUNTS`` record of it and hands it on before it says that the nodes of the process are
gone: history counts what the hub received, to the event. What dies with a process is what it had
read and not passed on: the events of one turn and those that wait in its end of the link, faults of
a tenth of a second, and of a second what its nodes said they dropped, what was rate-limited, and
what was observed; and the chains that were open, which have no outcome then.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import ujson
from attrs import frozen

from telemetry_twisted.jip3.frames import each_frame

from .reading import ChunkData

(
    CHUNK,
    HELLO,
    GONE,
    FACTS,
    COUNTS,
    STATE,
    FAULTS,
    PULSE,
    ADMIT,
    DISMISS,
    DRAIN,
    SETTINGS,
    NODE_CONNECTED,
    NODE_GONE,
    SAMPLED,
    STORE_STATUS,
    ACCEPTED,
    PERMIT,
    RETURNED,
    CHALLENGE,
    ACTIVITY,
    RESUME,
    AUDIENCE,
    OBSERVATIONS,
    NETWORK,
    TOTALS,
) = range(26)

PREFIX = struct.Struct("<IB")
_CHUNK = struct.Struct("<QQQHHI")
_RUN = struct.Struct("<HH")
_FACTS = struct.Struct("<Q")
_FACT_RUN = struct.Struct("<HI")
_LENGTH = struct.Struct("<I")

_OBJECTS_BYTES = 512
"""What the objects around a chunk's bytes take; it counts when chunks are of one event."""

CHUNK_EVENTS = 100
"""Most events in a chunk."""


def encode_record(kind: int, *body: bytes | memoryview) -> bytes:
    """One record of ``kind`` whose body is ``body`` joined."""
    return b"".join((PREFIX.pack(1 + sum(map(len, body)), kind), *body))


def json_body(value: Any) -> bytes:
    """The body of a record that is ``value`` as JSON."""
    return ujson.dumps(value, escape_forward_slashes=False).encode()


def encode_json(kind: int, value: Any) -> bytes:
    """One record of ``kind`` whose body is ``value`` as JSON."""
    return encode_record(kind, json_body(value))


def decode_json(body: bytes | memoryview) -> Any:
    """The value of a JSON body."""
    return ujson.loads(bytes(body))


def encode_runs(runs: Iterable[tuple[int, int]]) -> bytes:
    """The run table of a chunk: ``(handle, number of events)`` in order."""
    return b"".join(_RUN.pack(*run) for run in runs)


def decode_runs(run_table: bytes) -> Iterator[tuple[int, int]]:
    """What :func:`encode_runs` was given."""
    return _RUN.iter_unpack(run_table)


class Chunk(ChunkData):
    """Finished events of one ingestion process, at most :data:`CHUNK_EVENTS` of them.

    ``first_id`` is the id of the first event, or of one before it where the chunk was :meth:`cut`;
    ``count`` the number of events; ``run_table`` says
    whose they are (:func:`encode_runs`); ``types`` holds a discriminator byte for each event,
    ``lengths`` its length in bytes as a little-endian u32, ``events`` the messages themselves
    joined by commas. ``received`` is when they were read, in microseconds of Unix time, ``read``
    the same by the monotonic clock, which all processes of a machine share.

    Most are only passed on, so all but ``events`` is kept as it came, and cut when it is asked for.
    """

    __slots__ = ()

    def __init__(
        self,
        first_id: int,
        count: int,
        run_table: bytes,
        types: bytes,
        lengths: bytes,
        events: bytes,
        received: int = 0,
        read: int = 0,
    ) -> None:
        beside = b"".join((run_table, types, lengths))
        runs = len(run_table) // _RUN.size
        super().__init__(first_id, count, runs, received, read, events, beside)

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Chunk:
        """The chunk in the body of a ``CHUNK`` record.

        :raises ValueError: if it is not as long as its head says.
        """
        if len(body) < _CHUNK.size:
            raise ValueError(f"a chunk of {len(body)} bytes has no whole head ({_CHUNK.size})")
        first_id, received, read, count, runs, size = _CHUNK.unpack_from(body)
        beside = _CHUNK.size + size
        end = beside + _RUN.size * runs + (1 + _LENGTH.size) * count
        if end != len(body):
            raise ValueError(f"a chunk has {len(body)} bytes; its head says {end}")
        chunk = cls.__new__(cls)
        events = bytes(body[_CHUNK.size : beside])
        ChunkData.__init__(
            chunk, first_id, count, runs, received, read, events, bytes(body[beside:])
        )
        return chunk

    @property
    def run_table(self) -> bytes:
        """Whose the events are (:func:`encode_runs`)."""
        return self.beside[: _RUN.size * self.run_count]

    @property
    def types(self) -> bytes:
        """A discriminator byte for each event."""
        begin = _RUN.size * self.run_count
        return self.beside[begin : begin + self.count]

    @property
    def lengths(self) -> bytes:
        """The length of each event in bytes, as a little-endian u32."""
        return self.beside[_RUN.size * self.run_count + self.count :]

    @property
    def size(self) -> int:
        """Bytes that the chunk takes in memory, its bounds and its place in the ring included."""
        return len(self.events) + len(self.beside) + _LENGTH.size * self.count + _OBJECTS_BYTES

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """``(handle, number of events)`` in order."""
        return tuple(decode_runs(self.run_table))

    def encode(self) -> list[bytes]:
        """The chunk as a record, in pieces that a transport can join for itself.

        Its body is a head of fixed size, ``events``, and what is beside them: ``run_table``,
        ``types``, ``lengths``. So events can be written where they stand before it is known how
        many there will be.
        """
        size = len(self.events)
        head = _CHUNK.pack(
            self.first_id, self.received, self.read, self.count, self.run_count, size
        )
        length = 1 + len(head) + size + len(self.beside)
        return [PREFIX.pack(length, CHUNK) + head, self.events, self.beside]

    def cut(self, most: Sequence[int]) -> Chunk:
        """A chunk of the last ``most[i]`` events of each run ``i``, of one event at least."""
        lengths = struct.unpack(f"<{self.count}I", self.lengths)
        spans = []
        places = []
        runs = []
        end = at = 0
        for (handle, count), kept in zip(self.runs, most, strict=True):
            begin, end = end, end + count
            at += sum(lengths[begin:end]) + count
            if kept:
                size = sum(lengths[end - kept : end]) + kept
                spans.append((end - kept, end))
                places.append((at - size, at - 1))
                runs.append((handle, kept))
        return Chunk(
            self.first_id,
            sum(count for _, count in runs),
            encode_runs(runs),
            b"".join(self.types[begin:end] for begin, end in spans),
            b"".join(self.lengths[4 * begin : 4 * end] for begin, end in spans),
            b",".join(self.events[begin:end] for begin, end in places),
            self.received,
            self.read,
        )

    def bounds(self) -> Sequence[int]:
        """Where each event begins in ``events``, and where one after the last would begin."""
        if self.known_bounds is None:
            steps = (length + 1 for (length,) in _LENGTH.iter_unpack(self.lengths))
            self.known_bounds = array("I", accumulate(steps, initial=0))
        return self.known_bounds

    def each(self) -> Iterator[bytes]:
        """The messages one by one."""
        return (self.events[begin : end - 1] for begin, end in pairwise(self.bounds()))


@frozen
class Facts:
    """Messages of nodes, verbatim, that history reads fields from.

    They are thinned (:mod:`telemetry_twisted.jip3.thinning`): of each node as many in a second as
    it is allowed, and, before the ``COUNTS`` of the second, the newest of each state that is not
    among those. So what they cost is bounded whatever nodes send.

    ``received`` is when they were read, in microseconds of Unix time; ``runs`` holds
    ``(handle, frames)`` in order, each frame a u32 length and a message's content (JIP-3).
    """

    received: int
    runs: tuple[tuple[int, bytes], ...]

    @property
    def messages(self) -> Iterator[tuple[int, bytes]]:
        """``(handle, content)`` of each message in order."""
        return ((handle, content) for handle, frames in self.runs for content in each_frame(frames))

    def encode(self) -> bytes:
        """The facts as a record."""
        parts = [_FACTS.pack(self.received)]
        for handle, frames in self.runs:
            parts += (_FACT_RUN.pack(handle, len(frames)), frames)
        return encode_record(FACTS, *parts)

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Facts:
        """The facts in the body of a ``FACTS`` record."""
        (received,) = _FACTS.unpack_from(body)
        runs = []
        at = _FACTS.size
        while at < len(body):
            handle, length = _FACT_RUN.unpack_from(body, at)
            at += _FACT_RUN.size
            runs.append((handle, bytes(body[at : at + length])))
            at += length
        return cls(received, tuple(runs))
