# cython: language_level=3
"""What the compiled pool shares with the compiled writer."""

from libc.stdint cimport uint16_t, uint64_t

from telemetry_twisted.jip3._kernel cimport Buffer, Buffers, Frames, Stream


cdef class ChunkWriter:
    cdef readonly uint64_t events   # that were given ids so far
    cdef Buffers into               # the chunk in hand, and what is beside events of what is fed
    cdef Buffer _runs               # of the chunk in hand
    cdef list _records              # of chunks that are done
    cdef size_t _done               # bytes of those
    cdef uint64_t _next_id
    cdef uint64_t _step
    cdef uint64_t _received
    cdef uint64_t _read

    cdef bint write(
        self, Stream stream, uint16_t handle, Frames* frames, uint64_t most
    ) noexcept
    cdef bint _begin_chunk(self) noexcept
    cdef bint _close_chunk(self) noexcept
