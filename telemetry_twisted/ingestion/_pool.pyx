# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled pool: one call for each turn reads the sockets that are ready.

A turn has two parts. In the first, sockets are read and what came is decoded, and nothing is called
that could run Python code: so no connection is removed meanwhile, and what C points to stays. In
the second, what Python has to know becomes objects, of memory that nobody else knows; by then the
pool is ready for whatever a finalizer may ask of it.

The ``epoll`` is edge-triggered: a socket whose bytes were all read costs nothing more until others
come. One that has more for us is armed again at the end of the turn, behind those that wait.
"""

import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from cython cimport final, no_gc_clear
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport SIZE_MAX, UINT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from telemetry_twisted.ingestion._chunks cimport ChunkWriter
from telemetry_twisted.ingestion._epoll cimport (
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, EPOLLPRI,
    EPOLLRDHUP, MSG_DONTWAIT, MSG_NOSIGNAL, close, epoll_create1, epoll_ctl, epoll_event, epoll_wait, recv, send,
)
from telemetry_twisted.jip3._kernel cimport (
    LENGTH_BYTES, Buffer, Buffers, Counted, Frames, Stream, append, faults_of, read_from,
    release,
)

from telemetry_twisted.ingestion import pool
from telemetry_twisted.ingestion.pool import TURN_BYTES, Ended, Told, Turn
from telemetry_twisted.ingestion.rate import BURST
from telemetry_twisted.jip3.codec import FrameTooLong

cdef enum:
    READ_BYTES = 1 << 15    # as pool.READ_BYTES: of one socket in a turn
    MOST_SOCKETS = 1024     # that are read in a turn
    AT_ONCE = 4             # how many of them before it is looked how much that was
    NOT_ENDED = -1          # Connection.ended; others are 0 or an errno
    FRAME_TOO_LONG = -2
    NO_MEMORY = -3

cdef double BURST_SECONDS = BURST

cdef object new_tuple = tuple.__new__   # skips the Python code in __new__ of a named tuple

if pool.READ_BYTES != READ_BYTES:
    raise ImportError(f"pool.READ_BYTES is {pool.READ_BYTES}, in the compiled pool {READ_BYTES}")


cdef object failure(int error):
    return OSError(error, os.strerror(error))


include "_connection.pxi"
include "_telling.pxi"

cdef int control(int epoll, int operation, Connection connection) noexcept:
    """``epoll_ctl`` for the socket of ``connection``; negative if it fails (``errno``)."""
    cdef epoll_event event
    event.events = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET
    event.data.ptr = <void*> connection
    return epoll_ctl(epoll, operation, connection.descriptor, &event)


@final
@no_gc_clear
cdef class NodePool:
    """See :class:`telemetry_twisted.ingestion.pool.NodePool`.

    :param turn_bytes: after how many bytes a turn ends.
    """

    cdef int _epoll
    cdef bint _open
    cdef uint64_t _turn
    cdef int64_t _turn_bytes
    cdef ChunkWriter _writer
    cdef Telling _telling
    cdef dict _connections          # by number
    cdef list _changed
    cdef list _ended                # in this turn
    cdef epoll_event[MOST_SOCKETS] _ready
    # What is read, in the second half; before it goes what was there of its first frame.
    cdef uint8_t[2 * READ_BYTES] _read

    def __cinit__(
        self,
        ChunkWriter writer not None,
        uint32_t max_message_size,
        int64_t turn_bytes=TURN_BYTES,
    ):
        self._writer = writer
        self._telling = Telling(writer.into)
        self._turn_bytes = turn_bytes
        self._connections = {}
        self._changed = []
        self._ended = []
        self._epoll = epoll_create1(EPOLL_CLOEXEC)
        if self._epoll < 0:
            raise failure(errno)
        self._open = True

    def __dealloc__(self):
        if self._open:
            close(self._epoll)

    def __sizeof__(self):
        cdef Connection each
        cdef size_t size = object.__sizeof__(self)
        for each in self._connections.values():
            size += object.__sizeof__(each) + each.begun.capacity
        return size

    def fileno(self):
        return self._epoll

    def add(
        self,
        uint64_t connection,
        int descriptor,
        Stream stream not None,
        uint16_t handle,
        bytes rest not None,
        double rate,
        double spent,
        double now,
    ):
        cdef Connection added = Connection.__new__(Connection)
        cdef Frames frames
        if connection in self._connections:
            raise ValueError(f"connection {connection} is in the pool; remove it first")
        added.number = connection
        added.descriptor = descriptor
        added.stream = stream
        added.handle = handle
        added.rate = rate
        added.allowance = rate * BURST_SECONDS - spent
        added.filled = added.heard = now
        added.ended = NOT_ENDED
        read_from(&frames, rest, 0)
        if not added.keep(&frames):
            raise MemoryError
        if added.ended == FRAME_TOO_LONG:
            raise added.why()
        self._connections[connection] = added
        if control(self._epoll, EPOLL_CTL_ADD, added) < 0:
            error = errno
            del self._connections[connection]
            raise failure(error)

    def remove(self, uint64_t connection):
        cdef Connection removed = self._connections.pop(connection, None)
        if removed is not None:
            control(self._epoll, EPOLL_CTL_DEL, removed)

    def heard(self, uint64_t connection):
        return (<Connection?> self._connections[connection]).heard

    def take_changed(self):
        cdef list changed = self._changed
        cdef Connection each
        self._changed = []
        taken = []
        for each in changed:
            taken.append((each.number, each.passed_over))
            each.passed_over = 0
            each.changed = False
        return taken

    def close(self):
        if self._open:
            self._open = False
            close(self._epoll)
            self._epoll = -1
            self._connections.clear()

    def turn(self, double now):
        more = self._read_ready(now)
        return self._end_turn(more)

    cdef object _end_turn(self, bint more):
        """What a turn found, as :class:`~telemetry_twisted.ingestion.pool.Turn`."""
        return new_tuple(Turn, (self._telling.take(), self._endings(), more))

    cdef bint _read_ready(self, double now) except -1:
        """Read from the sockets that are ready; whether a bound of the turn was reached."""
        cdef int64_t left = self._turn_bytes
        cdef int found = AT_ONCE, count = 0
        cdef int at
        cdef bint more
        if not self._open:
            raise ValueError("the pool is closed")
        self._turn += 1
        self._telling.begin_turn()
        while found == AT_ONCE and count < MOST_SOCKETS and left > 0:
            found = epoll_wait(self._epoll, self._ready + count, AT_ONCE, 0)
            for at in range(count, count + found):
                left -= self._read_from(&self._ready[at], now)
            count += max(found, 0)
        more = found == AT_ONCE
        for at in range(count):
            more |= self._arm(<Connection> self._ready[at].data.ptr)
        for at in range(count):
            self._settle(<Connection> self._ready[at].data.ptr)
        return more

    cdef int64_t _read_from(self, const epoll_event* ready, double now) noexcept:
        """Read once in a turn; returns how many bytes were read, or decoded if more."""
        cdef Connection connection = <Connection> ready.data.ptr
        cdef Py_ssize_t size
        cdef size_t begun
        if connection.turn == self._turn:
            connection.again = True
            return 0
        connection.turn = self._turn
        size = recv(connection.descriptor, self._read + READ_BYTES, READ_BYTES, MSG_DONTWAIT)
        while size < 0 and errno == EINTR:
            size = recv(connection.descriptor, self._read + READ_BYTES, READ_BYTES, MSG_DONTWAIT)
        if size > 0:
            connection.heard = now
            begun = connection.begun.size
            # Where the end has been seen already, nothing else will tell of it, nor of what is
            # behind an urgent mark of TCP's, where a read stops.
            connection.again = size == READ_BYTES or ready.events & ~<uint32_t> EPOLLIN
            if not self._take(connection, size, now):
                connection.ended = NO_MEMORY
            return size + begun if connection.sent else size
        if size == 0:
            connection.ended = 0
        elif errno != EAGAIN:
            connection.ended = errno
        return 0

    cdef bint _take(self, Connection connection, size_t size, double now) noexcept:
        """Write what the ``size`` bytes that were read make whole; False if there is no memory."""
        cdef Buffer* begun = &connection.begun
        cdef ChunkWriter writer = self._writer
        cdef Buffers into = writer.into
        cdef uint64_t before = writer.events
        cdef uint8_t* at = self._read + READ_BYTES
        cdef Frames frames
        if begun.size + size < connection.needed or begun.size > READ_BYTES:
            if not append(begun, at, size):
                return False
            if begun.size < connection.needed:
                return True
            frames.at = <uint8_t*> begun.start
            frames.end = frames.at + begun.size
        else:
            frames.end = at + size
            at -= begun.size
            if begun.size > 0:
                memcpy(at, begun.start, begun.size)
            frames.at = at
        connection.sent = True
        self._telling.begin_read()
        connection.stream.begin_read(into)
        if not writer.write(
            connection.stream, connection.handle, &frames, connection.fill_allowance(now)
        ):
            return False
        if connection.rate > 0:
            connection.allowance -= writer.events - before
            connection.passed_over += connection.stream.pass_over(&frames, SIZE_MAX)
        return (
            connection.stream.end_read(into)
            and self._telling.note(connection.number)
            and connection.keep(&frames)
        )

    cdef bint _arm(self, Connection connection) noexcept:
        """Have the socket be ready again if that was more than one read; whether it was."""
        cdef bint again = connection.again and connection.ended == NOT_ENDED
        connection.again = False
        if again and control(self._epoll, EPOLL_CTL_MOD, connection) < 0:
            connection.ended = errno
        return again

    cdef int _settle(self, Connection connection) except -1:
        """Note what became of ``connection`` in this turn."""
        if connection.ended != NOT_ENDED and connection.descriptor >= 0:
            control(self._epoll, EPOLL_CTL_DEL, connection)
            connection.descriptor = -1
            self._ended.append(connection)
            del self._connections[connection.number]
        if connection.sent and not connection.changed:
            connection.changed = True
            self._changed.append(connection)
        connection.sent = False
        return 0

    cdef list _endings(self):
        """The connections that ended, as :class:`~telemetry_twisted.ingestion.pool.Ended`."""
        cdef list ended = self._ended
        cdef Connection each
        self._ended = []
        return [new_tuple(Ended, (each.number, each.why())) for each in ended]


include "_unattended.pxi"
