# cython: language_level=3
"""What compiled modules share with the kernel: buffers, and streams that decode into them."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    SLACK = 32              # bytes after those that count that may be touched, as _program.PADDING
    LENGTH_BYTES = 4        # of a frame's length
    EXCERPT = 64            # as codec.EXCERPT_BYTES
    STATES = 4              # as many as there are state_types
    ALLOWANCES = 5          # one for each of them, and one for failures
    TYPES = 256             # discriminators
    NO_DISCRIMINATOR = 256  # where a message is too short to have one


cdef struct Buffer:
    char* start
    size_t size             # bytes in use
    size_t capacity         # bytes that may be used; SLACK more are there
    PyObject* object        # the bytes object whose memory it is, or NULL if it is its own


cdef bint make_room(Buffer* buffer, uint64_t more) noexcept nogil
cdef void release(Buffer* buffer) noexcept nogil
cdef bytes taken(Buffer* buffer)
cdef bint begin_bytes(Buffer* buffer, size_t capacity) noexcept
cdef bytes end_bytes(Buffer* buffer)


cdef inline bint append(Buffer* buffer, const void* source, size_t size) noexcept nogil:
    """Add ``size`` bytes; False if there is no memory."""
    if buffer.capacity - buffer.size < size and not make_room(buffer, size):
        return False
    memcpy(buffer.start + buffer.size, source, size)
    buffer.size += size
    return True


cdef enum Reason:
    FINE, CUT_SHORT, UNKNOWN_DISCRIMINATOR, BAD_BOOL, BAD_OPTION, BAD_ENUM, COUNT_TOO_LARGE,
    CORE_COUNT_UNKNOWN, CORE_COUNT_MISFIT,
    STRING_TOO_LONG, INVALID_UTF8, TRAILING_BYTES, TIME_OFF_CLOCK, UNIX_TIME, SLOT_AHEAD,
    OUT_OF_MEMORY


cdef struct Finding:        # what is wrong with a message
    Reason reason
    uint32_t offset


cdef struct Counted:        # what will be a Fault
    Finding finding         # the last one
    uint32_t discriminator
    uint32_t times
    uint8_t excerpt_size
    char[EXCERPT] excerpt


cdef struct Frames:         # what is decoded, and the ids that its events get
    const uint8_t* at
    const uint8_t* end
    uint64_t next_id
    uint64_t id_step


ctypedef const uint8_t* Content


cdef struct Thinning:
    int64_t second                  # the last in which something was read
    int64_t[STATES] slots           # of the reports of blocks that were passed on last, or -1
    uint8_t[ALLOWANCES] left
    Content[STATES] newest          # while frames are decoded: those not passed on, or NULL


cdef struct Lost:                   # what will be a Dropped
    uint64_t events
    uint64_t spans
    uint64_t first                  # of times that can be used
    uint64_t last
    bint dated                      # whether there are any


cdef class Buffers:
    cdef Buffer events
    cdef Buffer types
    cdef Buffer lengths
    cdef Buffer facts
    cdef Buffer newest
    cdef Buffer findings                # of one message
    cdef Buffer tally                   # of all, those alike in one, which ``places`` finds
    cdef uint16_t[OUT_OF_MEMORY][TYPES + 1] places  # by reason and type: its number from 1 on
    cdef object moment                  # what follows is of this one
    cdef bytes closing                  # what stands after each event
    cdef int64_t minute
    cdef uint64_t earliest
    cdef uint64_t latest
    cdef uint32_t newest_slot
    cdef int64_t second

    cdef int take_moment(self, object moment) except -1
    cdef Reason add_up(self, Content content, size_t size) noexcept
    cdef void forget_faults(self) noexcept
    cdef list take_faults(self)


cdef class Stream:
    cdef public uint64_t next_event_id
    cdef Buffers _buffers               # what ``decode`` writes to
    cdef bytes _ops
    cdef bytes _texts
    cdef bytes _traits
    cdef bytes _node                    # Machine.node and SLACK bytes
    cdef int64_t _core_bytes            # Machine.core_bytes
    cdef int64_t _bitfield_bytes        # Machine.bitfield_bytes
    cdef bint _known_layout
    cdef int64_t _minute_of_time        # the last one in which a time was out of bounds
    cdef int64_t _minute_of_slot        # the last one in which a slot was
    cdef uint32_t most                  # bytes in a message
    cdef uint8_t[32] _fact_types        # a bit for each discriminator
    cdef uint32_t[TYPES] _counts        # of events by discriminator
    cdef Lost _lost                     # what the node said it dropped
    cdef Thinning _thinning

    cdef void begin_read(self, Buffers into) noexcept
    cdef bint decode_into(self, Buffers into, Frames* frames, size_t most) noexcept
    cdef bint end_read(self, Buffers into) noexcept
    cdef size_t pass_over(self, Frames* frames, size_t most) noexcept
    cdef int check_length(self, const Frames* frames) except -1
    cdef void count(self, const char* types, size_t number) noexcept


cdef int read_from(Frames* frames, bytes data, Py_ssize_t start) except -1
cdef list faults_of(const Counted* counted, size_t number)
