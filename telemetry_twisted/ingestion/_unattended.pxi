# Turns that need nothing of Python. Part of _pool.pyx.

from cpython.bytes cimport PyBytes_AS_STRING
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

cdef enum:
    MICROS_DIGITS = 6
    ZERO = 48               # the digit, in ASCII

cdef const char* SHOWN_END = b'Z"},'


cdef double seconds_of(const timespec* time) noexcept nogil:
    return time.tv_sec + time.tv_nsec * 1e-9


@final
cdef class Unattended:
    """See :class:`telemetry_twisted.ingestion.unattended.CompiledTurns`."""

    cdef NodePool _pool
    cdef int _reactor
    cdef int _link

    def __cinit__(self, NodePool pool not None, int reactor, int link):
        self._pool = pool
        self._reactor = reactor
        self._link = link

    def run(self, bytes shown not None, int64_t wall, int64_t second, double seconds):
        cdef NodePool pool = self._pool
        cdef uint64_t sent = 0
        cdef Py_ssize_t taken = 0
        cdef bint more = False
        cdef list unsent = []
        cdef double now = 0, end = 0
        while self._begin_turn(shown, wall, second, &now):
            if end == 0:
                end = now + seconds
            more = pool._read_ready(now)
            if pool._telling._said.size > 0 or pool._ended:
                break
            unsent = pool._writer.take()
            sent += self._send(unsent, &taken)
            if unsent or not self._next_is_ours(end):
                break
        return pool._end_turn(more), pool._writer._received, sent, unsent, taken

    cdef bint _begin_turn(
        self, bytes shown, int64_t wall, int64_t second, double* now
    ) except -1:
        """Begin a turn now; False if a second has passed on one of the clocks."""
        cdef ChunkWriter writer = self._pool._writer
        cdef timespec time, monotonic
        cdef bytes closing
        cdef char* out
        cdef int64_t micros
        cdef int digit
        clock_gettime(CLOCK_REALTIME, &time)
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        if time.tv_sec != wall or monotonic.tv_sec != second:
            return False
        closing = PyBytes_FromStringAndSize(NULL, len(shown) + MICROS_DIGITS + len(SHOWN_END))
        out = PyBytes_AS_STRING(closing)
        memcpy(out, PyBytes_AS_STRING(shown), len(shown))
        out += len(shown)
        micros = time.tv_nsec // 1000
        for digit in range(MICROS_DIGITS - 1, -1, -1):
            out[digit] = ZERO + micros % 10
            micros //= 10
        memcpy(out + MICROS_DIGITS, SHOWN_END, len(SHOWN_END))
        writer.into.moment = None
        writer.into.closing = closing
        writer._received = time.tv_sec * 1_000_000 + time.tv_nsec // 1000
        writer.into.arrived = writer._received
        writer._read = monotonic.tv_sec * 1_000_000 + monotonic.tv_nsec // 1000
        now[0] = seconds_of(&monotonic)
        return True

    cdef uint64_t _send(self, list records, Py_ssize_t* taken) except? 0:
        """Send ``records`` and take them out; returns the bytes of those.

        What is left was not sent whole: ``taken`` are the bytes of it that were, or an errno,
        negated.
        """
        cdef uint64_t sent = 0
        cdef Py_ssize_t size, number = 0
        cdef bytes record
        for record in records:
            size = send(
                self._link, PyBytes_AS_STRING(record), len(record), MSG_DONTWAIT | MSG_NOSIGNAL
            )
            if size < len(record):
                taken[0] = size if size >= 0 else -errno
                break
            sent += size
            number += 1
        del records[:number]
        return sent

    cdef bint _next_is_ours(self, double end) noexcept:
        """Wait until the reactor has something to do; whether that is to read the pool alone."""
        cdef epoll_event[2] ready
        cdef timespec monotonic
        cdef int milliseconds, found
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        milliseconds = <int> ((end - seconds_of(&monotonic)) * 1000)
        if milliseconds <= 0:
            return False
        with nogil:
            found = epoll_wait(self._reactor, ready, 2, milliseconds)
        return found == 1 and ready[0].data.fd == self._pool._epoll
