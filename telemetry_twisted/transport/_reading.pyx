# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled reader of records: a read of a link becomes chunks and other records in one call.

See :mod:`telemetry_twisted.transport.reading`, which does the same in Python.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cython cimport final, no_gc
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint16_t, uint64_t, uint8_t
from libc.string cimport memcpy, memmove

from telemetry_twisted.transport._records cimport Head, Prefix, Run

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(void *thing)

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int descriptor, void *buffer, size_t length, int flags)

cdef enum:
    CHUNK = 0               # records.CHUNK; importing that would go round in a circle
    EVENT_BYTES = 5         # a type and a length


@no_gc
cdef class ChunkData:
    """See :class:`telemetry_twisted.transport.reading.PythonChunkData`."""

    cdef readonly uint64_t first_id, received, read
    cdef readonly uint16_t count, run_count
    cdef readonly bytes events, beside
    cdef public object known_bounds

    def __init__(
        self, uint64_t first_id, uint16_t count, uint16_t run_count, uint64_t received,
        uint64_t read, bytes events not None, bytes beside not None
    ):
        self.first_id = first_id
        self.count = count
        self.run_count = run_count
        self.received = received
        self.read = read
        self.events = events
        self.beside = beside
        self.known_bounds = None


@final
cdef class RecordReader:
    """See :class:`telemetry_twisted.transport.reading.PythonRecordReader`."""

    cdef object _chunk
    cdef uint8_t *_buffer
    cdef size_t _size, _held

    def __cinit__(self, size_t size, object chunk=None):
        if chunk is not None and not issubclass(chunk, ChunkData):
            raise TypeError("chunks are made of a class that is not derived from ChunkData")
        self._chunk = chunk
        self._size = size
        self._held = 0
        self._buffer = <uint8_t *>PyMem_RawMalloc(size)
        if self._buffer == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_RawFree(self._buffer)

    def read(self, int descriptor):
        cdef ssize_t count
        while True:
            count = recv(descriptor, self._buffer + self._held, self._size - self._held, 0)
            if count > 0:
                break
            if count == 0:
                raise EOFError("the other end is closed")
            if errno == EAGAIN:
                return None
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
        return self._cut(self._held + count)

    cdef list _cut(self, size_t filled):
        cdef list found = []
        cdef size_t at = 0, length
        cdef Prefix prefix
        while filled - at >= sizeof(Prefix):
            memcpy(&prefix, self._buffer + at, sizeof(Prefix))
            length = prefix.length + <size_t>4
            if length < sizeof(Prefix):
                raise ValueError("a record has no kind: its length is 0")
            if filled - at < length:
                break
            found.append(
                self._record(
                    prefix.kind, self._buffer + at + sizeof(Prefix), length - sizeof(Prefix)
                )
            )
            at += length
        self._held = filled - at
        if self._held and at:
            memmove(self._buffer, self._buffer + at, self._held)
        if self._held >= sizeof(Prefix):
            memcpy(&prefix, self._buffer, sizeof(Prefix))
            length = prefix.length + <size_t>4
            if length > self._size:
                self._grow(length)
        return found

    cdef int _grow(self, size_t size) except -1:
        cdef void *grown = PyMem_RawRealloc(self._buffer, size)
        if grown == NULL:
            raise MemoryError()
        self._buffer = <uint8_t *>grown
        self._size = size
        return 0

    cdef object _record(self, uint8_t kind, uint8_t *body, size_t length):
        cdef Head head
        cdef ChunkData chunk
        cdef size_t beside
        if kind == CHUNK and self._chunk is not None and length >= sizeof(Head):
            memcpy(&head, body, sizeof(Head))
            beside = sizeof(Run) * <size_t>head.runs + EVENT_BYTES * <size_t>head.count
            if sizeof(Head) + head.size + beside == length:
                chunk = <ChunkData>ChunkData.__new__(self._chunk)
                chunk.first_id = head.first_id
                chunk.count = head.count
                chunk.run_count = head.runs
                chunk.received = head.received
                chunk.read = head.read
                body += sizeof(Head)
                chunk.events = PyBytes_FromStringAndSize(<char *>body, head.size)
                chunk.beside = PyBytes_FromStringAndSize(<char *>body + head.size, beside)
                # The ring holds many, and they refer to bytes alone: let no collection visit them.
                PyObject_GC_UnTrack(<void *>chunk)
                return chunk
        return kind, PyBytes_FromStringAndSize(<char *>body, length)
