# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled writer of chunks: events are decoded where they stand in the record that is sent.

A chunk in hand is a bytes object that is still being written. It begins with room for the head;
behind that the kernel appends events. When the chunk is done, what is beside the events follows,
the head is filled in, and the object is cut to what it holds: it is the record, without a copy.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cython cimport final, no_gc_clear
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from telemetry_twisted.jip3._kernel cimport (
    Buffer, Buffers, Frames, Stream, append, begin_bytes, end_bytes, make_room, read_from,
    release, taken,
)

from telemetry_twisted.transport._records cimport Head, Prefix, Run

from telemetry_twisted.ingestion.chunks import Fed
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.transport import records

cdef enum:
    RECORD_BYTES = 1 << 16  # of memory that a record begins with; most full chunks take half of it


cdef packed struct Start:   # of a record
    Prefix prefix
    Head head


cdef size_t CHUNK_EVENTS = records.CHUNK_EVENTS
cdef uint8_t CHUNK = records.CHUNK

cdef object new_tuple = tuple.__new__   # skips the Python code in __new__ of a named tuple


@final
@no_gc_clear
cdef class ChunkWriter:
    """See :class:`telemetry_twisted.ingestion.chunks.ChunkWriter`."""

    def __cinit__(self, uint64_t first_id, uint64_t id_step):
        if id_step == 0:
            raise ValueError("id_step is 0; it must be 1 or more")
        self._next_id = first_id
        self._step = id_step
        self._records = []
        self.into = Buffers()
        self.into.take_moment(Moment(b""))

    def __dealloc__(self):
        release(&self._runs)

    @property
    def size(self):
        return self._done + (self.into.events.size if self.into.types.size > 0 else 0)

    def begin_turn(self, object moment not None, uint64_t received, uint64_t read):
        self.into.take_moment(moment)
        self._received = received
        self._read = read

    def begin_after(self, uint64_t last_id):
        cdef object steps
        if self._next_id <= last_id:
            if not self._close_chunk():
                raise MemoryError
            steps = (last_id - self._next_id) // self._step
            self._next_id += <object> self._step * (steps + 1)

    def feed(
        self,
        Stream stream not None,
        uint16_t handle,
        bytes data not None,
        Py_ssize_t start,
        object most,
    ):
        cdef uint64_t limit = UINT64_MAX if most is None else most
        cdef uint64_t before = self.events
        cdef Buffers into = self.into
        cdef Frames frames
        cdef const uint8_t* begin
        read_from(&frames, data, start)
        begin = frames.at
        into.facts.size = into.newest.size = 0
        into.forget_faults()
        stream.begin_read(into)
        if not self.write(stream, handle, &frames, limit) or not stream.end_read(into):
            raise MemoryError
        if frames.at == begin and limit > 0:
            stream.check_length(&frames)
        return new_tuple(Fed, (
            start + (frames.at - begin),
            self.events - before,
            taken(&into.facts),
            taken(&into.newest),
            into.take_faults(),
        ))

    def take(self):
        cdef list done
        if not self._close_chunk():
            raise MemoryError
        done = self._records
        self._records = []
        self._done = 0
        return done

    cdef bint write(
        self, Stream stream, uint16_t handle, Frames* frames, uint64_t most
    ) noexcept:
        """Write whole ``frames`` of the node with ``handle``, up to ``most`` events.

        What is beside the events is in ``into``. False if there is no memory: the frame for which
        there was none is the next.
        """
        cdef Buffers into = self.into
        cdef size_t before, room
        cdef Run run
        cdef bint decoded
        while most > 0:
            if into.types.size == CHUNK_EVENTS and not self._close_chunk():
                return False
            if into.types.size == 0 and not self._begin_chunk():
                return False
            before = into.types.size
            room = min(CHUNK_EVENTS - before, most)
            # Room for the run is made first: what is decoded has one.
            run = Run(handle, 0)
            if not append(&self._runs, &run, sizeof(Run)):
                return False
            frames.next_id = self._next_id
            frames.id_step = self._step
            decoded = stream.decode_into(into, frames, room)
            run.count = into.types.size - before
            if run.count == 0:
                self._runs.size -= sizeof(Run)
                return decoded
            memcpy(self._runs.start + self._runs.size - sizeof(Run), &run, sizeof(Run))
            stream.count(into.types.start + before, run.count)
            self._next_id = frames.next_id
            self.events += run.count
            most -= run.count
            if run.count < room:
                return decoded
        return True

    cdef bint _begin_chunk(self) noexcept:
        cdef Buffer* events = &self.into.events
        if events.object == NULL and not begin_bytes(events, RECORD_BYTES):
            return False
        events.size = sizeof(Start)
        return True

    cdef bint _close_chunk(self) noexcept:
        """Make a record of the chunk in hand; False if there is no memory."""
        cdef Buffers into = self.into
        cdef Buffer* record = &into.events
        cdef size_t count = into.types.size
        cdef size_t beside = self._runs.size + count + into.lengths.size
        cdef size_t size = record.size - sizeof(Start) - len(b",")
        cdef Start start
        if count == 0:
            return True
        if not make_room(record, beside):
            return False
        record.size -= len(b",")
        append(record, self._runs.start, self._runs.size)
        append(record, into.types.start, count)
        append(record, into.lengths.start, into.lengths.size)
        start.prefix.length = record.size - sizeof(start.prefix.length)
        start.prefix.kind = CHUNK
        start.head.first_id = self._next_id - count * self._step
        start.head.received = self._received
        start.head.read = self._read
        start.head.count = count
        start.head.runs = self._runs.size // sizeof(Run)
        start.head.size = size
        memcpy(record.start, &start, sizeof(Start))
        self._runs.size = into.types.size = into.lengths.size = 0
        try:
            self._done += record.size
            self._records.append(end_bytes(record))
        except MemoryError:
            return False
        return True
