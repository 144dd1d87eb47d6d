# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled codec's kernel: frames of a node in, finished ``event`` messages out.

It is a small machine. ``_program.py`` turns the table into ops: JSON text to copy, then one value
to read and show. ``_machine.pxi`` carries them out, ``_text.pxi`` shows the values. ``values.py``
says what is read in which order, what is an error and what a violation; ``codec.py`` says what a
stream does. ``_following.pxi`` follows chains as ``following.py`` says, and a gatherer keeps what
is found. ``_kernel.pxd`` is what other compiled modules may use. What keeps it safe:

- nothing is read before it is known to lie inside the message;
- room is made before anything is written, for the most that will be;
- text is copied in blocks, so up to ``SLACK`` bytes past what counts are read from texts and
  written to buffers, which have them to spare;
- while frames are decoded, no Python object is touched: faults become objects afterwards.
"""

import os
import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cython cimport final, no_gc_clear
from libc.stdint cimport INT64_MAX, SIZE_MAX, UINT32_MAX, UINT64_MAX
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from telemetry_twisted.jip3 import _roles, costs, following, gathering, moment, observed
from telemetry_twisted.jip3 import open_chains, past_kinds, sights, table, thinning, values
from telemetry_twisted.jip3.codec import DECODE_ERROR, MOST_DROPPED, VIOLATION
from telemetry_twisted.jip3.codec import Decoded, Dropped, Fault, FrameTooLong

if sys.byteorder != "little":
    raise ImportError("the compiled codec reads integers as a little-endian machine lays them out")


include "_processor.pxi"
include "_buffer.pxi"
include "_text.pxi"
include "_machine.pxi"
include "_facts.pxi"
include "_faults.pxi"
include "_frames.pxi"
include "_cores.pxi"
include "_noting.pxi"
include "_observed.pxi"
include "_rows.pxi"
include "_roles.pxi"
include "_kinds.pxi"
include "_open_chains.pxi"
include "_services.pxi"
include "_gathering.pxi"
include "_entering.pxi"
include "_entering_by_hash.pxi"
include "_observing.pxi"
include "_following.pxi"
include "_ways.pxi"


@final
@no_gc_clear
cdef class Stream:
    """See :class:`telemetry_twisted.jip3.codec.Stream`.

    Compiled modules take its steps one by one: :meth:`begin_read`, :meth:`decode_into` as often as
    it takes, and :meth:`end_read` while what was decoded is still where it was.
    """

    def __cinit__(
        self, program not None, Buffers buffers not None, dialect not None, following=None
    ):
        cdef uint8_t discriminator
        self._buffers = buffers
        self._ops = program.ops
        self._texts = program.texts
        self._traits = program.traits
        self._node = f',"node_id":"{dialect.node_id}","event_id":'.encode() + bytes(SLACK)
        self._core_bytes = self._bitfield_bytes = UNKNOWN_SIZE
        if dialect.cores is not None:
            self._core_bytes = <uint32_t> dialect.cores
            self._bitfield_bytes = (self._core_bytes + 7) // 8
        self._known_layout = dialect.known_layout
        self._minute_of_time = self._minute_of_slot = -1
        self.most = min(dialect.max_message_size, UINT32_MAX)
        self._lost = Lost(0, 0, UINT64_MAX, 0, False)
        begin_thinning(&self._thinning)
        for discriminator in dialect.fact_types:
            self._fact_types[discriminator >> 3] |= 1 << (discriminator & 7)
        if following is not None:
            self._follower = Follower(
                following.gatherer, following.handle, following.network, dialect.cores
            )

    @property
    def cores(self):
        return None if self._core_bytes == UNKNOWN_SIZE else self._core_bytes

    def decode(
        self,
        bytes data not None,
        Py_ssize_t start,
        Py_ssize_t room,
        uint64_t first_id,
        uint64_t id_step,
        object moment not None,
    ):
        cdef Buffers into = self._buffers
        cdef Frames frames
        cdef Content begin
        cdef bytes types
        read_from(&frames, data, start)
        begin = frames.at
        frames.next_id = first_id
        frames.id_step = id_step
        if moment is not into.moment:
            into.take_moment(moment)
        into.events.size = into.types.size = into.lengths.size = 0
        into.facts.size = into.newest.size = 0
        into.forget_faults()
        self.begin_read(into)
        if not self.decode_into(into, &frames, max(room, 0)) or not self.end_read(into):
            raise MemoryError
        if frames.at == begin and room > 0:
            self.check_length(&frames)
        if into.types.size > 0:
            into.events.size -= len(b",")
        types = taken(&into.types)
        result = new_tuple(Decoded, (
            start + (frames.at - begin),
            taken(&into.events),
            types,
            taken(&into.lengths),
            taken(&into.facts),
            taken(&into.newest),
            into.take_faults(),
        ))
        # What is not handed out, because there is no memory for it, is not counted either.
        self.count(PyBytes_AS_STRING(types), len(types))
        return result

    def skip(self, bytes data not None, Py_ssize_t start, Py_ssize_t most):
        cdef Frames frames
        cdef Content begin
        cdef size_t skipped
        read_from(&frames, data, start)
        begin = frames.at
        skipped = self.pass_over(&frames, max(most, 0))
        if frames.at == begin and most > 0:
            self.check_length(&frames)
        return start + (frames.at - begin), skipped

    def take_counts(self):
        cdef int discriminator
        cdef dict counts = {}
        for discriminator in range(256):
            if self._counts[discriminator] != 0:
                counts[discriminator] = self._counts[discriminator]
        memset(self._counts, 0, sizeof(self._counts))
        return counts

    def take_dropped(self):
        dropped = dropped_of(&self._lost)
        self._lost = Lost(0, 0, UINT64_MAX, 0, False)
        return dropped

    def end_chains(self):
        if self._follower is not None:
            end_following(self._follower)
            self._follower = None

    cdef void begin_read(self, Buffers into) noexcept:
        """What follows was read at once, and is decoded into ``into``."""
        memset(self._thinning.newest, 0, sizeof(self._thinning.newest))
        if self._thinning.second != into.second:
            fill_allowances(&self._thinning, into.second)
        if self._follower is not None:
            begin_following(self._follower, into)

    cdef bint decode_into(self, Buffers into, Frames* frames, size_t most) noexcept:
        """Append what whole frames give to ``into``, a comma after each event, up to ``most``.

        Stops where :meth:`decode` does. False if there is no memory: then what is there is whole,
        and the frame for which there was none is the next.
        """
        cdef size_t full = into.types.size + most
        cdef size_t written, noted
        cdef int64_t size
        cdef uint64_t ids
        cdef Reason reason
        cdef Follower follower = self._follower
        cdef bint quick
        cdef Event event
        cdef Machine m
        set_up(&m, self, into)
        memset(&event, 0, sizeof(event))
        if follower is not None:
            go_on_following(follower, self.next_event_id)
        into.findings.size = 0
        reason = FINE
        while into.types.size < full:
            size = frame_size(frames.at, frames.end, self.most)
            if size < 0:
                break
            m.content = frames.at + LENGTH_BYTES
            m.end = m.content + size
            if m.core_bytes == UNKNOWN_SIZE and size >= HEAD_BYTES:
                learn_cores(self, &m, size)
            written = into.events.size
            noted = into.types.size
            reason = write_event(&m, frames.next_id, self.next_event_id)
            if reason == FINE:
                reason = note(self, into, m.content, size, into.events.size - written - len(b","))
            elif reason != OUT_OF_MEMORY:
                into.events.size = written
                into.findings.size = 0
                reason = find(&m, m.at, reason)
            quick = (
                follower is not None and reason == FINE and into.findings.size == 0
                and follow_quickly(follower, m.content, self.next_event_id)
            )
            if not quick and follower is not None and reason == FINE and into.types.size > noted:
                reason = judge(follower, &m, self.next_event_id, &event)
            if reason == FINE and into.findings.size > 0:
                reason = into.add_up(m.content, size)
            if reason == OUT_OF_MEMORY:
                into.events.size = written
                into.types.size = noted
                into.lengths.size = sizeof(uint32_t) * noted
                break
            ids = ids_used(m.content, size)
            if not quick and follower is not None:
                if into.types.size > noted:
                    follow(follower, &m, &event, ids)
                else:
                    note_kinds(&follower.past, self.next_event_id, ids, NO_SUCH_EVENT)
            frames.next_id += frames.id_step * (into.types.size - noted)
            self.next_event_id += ids
            frames.at = m.end
        if follower is not None:
            enter_noted(follower)
        if m.earliest != into.earliest or m.latest != into.latest:
            self._minute_of_time = into.minute
        if m.newest_slot != into.newest_slot:
            self._minute_of_slot = into.minute
        if into.findings.capacity > KEPT:
            release(&into.findings)
        return reason != OUT_OF_MEMORY

    cdef bint end_read(self, Buffers into) noexcept:
        """Append the newest states that are not passed on; False if there is no memory."""
        cdef Content content
        cdef uint32_t size
        cdef int each
        for each in range(STATES):
            content = self._thinning.newest[each]
            if content != NULL:
                memcpy(&size, content - LENGTH_BYTES, LENGTH_BYTES)
                if not append(&into.newest, content - LENGTH_BYTES, LENGTH_BYTES + size):
                    return False
        return True

    cdef size_t pass_over(self, Frames* frames, size_t most) noexcept:
        """Pass over at most ``most`` whole frames; how many there were."""
        cdef size_t skipped = 0
        cdef int64_t size
        cdef uint64_t ids
        while skipped < most:
            size = frame_size(frames.at, frames.end, self.most)
            if size < 0:
                break
            ids = ids_used(frames.at + LENGTH_BYTES, size)
            if self._follower is not None:
                go_on_with_kinds(&self._follower.past, self.next_event_id)
                note_kinds(&self._follower.past, self.next_event_id, ids, UNTOLD)
            self.next_event_id += ids
            skipped += 1
            frames.at += LENGTH_BYTES + size
        return skipped

    cdef int check_length(self, const Frames* frames) except -1:
        """Raise ``FrameTooLong`` if the next frame announces more bytes than are taken."""
        cdef uint32_t size
        if frame_size(frames.at, frames.end, self.most) == TOO_LONG:
            memcpy(&size, frames.at, LENGTH_BYTES)
            raise FrameTooLong(size, self.most)
        return 0

    cdef void count(self, const char* types, size_t number) noexcept:
        """Events of these ``types`` are handed out."""
        cdef size_t at
        for at in range(number):
            self._counts[<uint8_t> types[at]] += 1
