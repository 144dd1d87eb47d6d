# What the compiled pool keeps of a node. Part of _pool.pyx.

@final
@no_gc_clear
cdef class Connection:
    """A node's socket, and what is left of it from one turn to the next."""

    cdef uint64_t number
    cdef uint64_t turn          # the last one in which it was read from
    cdef uint64_t passed_over   # messages, since that was told
    cdef double heard
    cdef double rate            # events a second, 0 for any
    cdef double allowance       # events that may be written at once
    cdef double filled          # when that was so
    cdef Stream stream
    cdef Buffer begun           # what is there of a frame that is not whole
    cdef size_t needed          # so many bytes of it tell more; of one that is too long, its length
    cdef int descriptor
    cdef int ended
    cdef uint16_t handle
    cdef bint again             # there may be more to read already
    cdef bint sent              # a frame became whole in this turn
    cdef bint changed           # it is in ``NodePool._changed``

    def __dealloc__(self):
        release(&self.begun)

    cdef uint64_t fill_allowance(self, double now) noexcept:
        """How many events may be written at ``now`` (:class:`~.rate.RateLimit`)."""
        if self.rate == 0:
            return UINT64_MAX
        self.allowance = min(
            self.rate * BURST_SECONDS, self.allowance + (now - self.filled) * self.rate
        )
        self.filled = now
        return <uint64_t> self.allowance if self.allowance > 0 else 0

    cdef bint keep(self, const Frames* rest) noexcept:
        """Keep ``rest``, which begins with a frame that is not whole, unless that is too long."""
        cdef Buffer before = self.begun
        cdef size_t size = rest.end - rest.at
        cdef uint32_t length = 0
        cdef bint kept = True
        if size >= LENGTH_BYTES:
            memcpy(&length, rest.at, LENGTH_BYTES)
            if length > self.stream.most:
                self.ended = FRAME_TOO_LONG
                self.needed = length
                return True
        self.needed = LENGTH_BYTES + length
        if <const char*> rest.at == before.start:
            return True
        self.begun = Buffer(NULL, 0, 0, NULL)
        if size > 0:
            kept = append(&self.begun, rest.at, size)
        release(&before)
        return kept

    cdef object why(self):
        """Why it ended, as an exception, or None."""
        if self.ended == FRAME_TOO_LONG:
            return FrameTooLong(self.needed, self.stream.most)
        if self.ended == NO_MEMORY:
            return MemoryError("there is no memory for what it sent")
        return failure(self.ended) if self.ended > 0 else None
