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
    SEEDS = 9               # of hashes: one, and one for each eight bytes of two long ones
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
    YET_TO_COME, WRONG_TYPE, HAS_ENDED, NO_SUCH, OUT_OF_MEMORY


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
    cdef uint64_t arrived

    cdef int take_moment(self, object moment) except -1
    cdef Reason add_up(self, Content content, size_t size) noexcept
    cdef void forget_faults(self) noexcept
    cdef list take_faults(self)


cdef struct Rows:                   # that are added up by their keys
    Buffer rows                     # packed, each begins with its key
    Buffer places                   # of rows, by their hashes
    uint8_t places_bits             # of a hash that tell a place, 0 if there are none
    uint32_t last_place
    uint64_t mask                   # of a key of up to eight bytes as a number; 0 if it has more
    uint32_t key_size
    uint32_t row_size
    uint32_t count
    uint32_t most
    const uint64_t* seeds           # so that nobody can choose keys that hash alike


cdef enum:
    MOST_NOTED = 64                 # before it is entered into rows
    MORE_NOTED = 16                 # that may be found in one event


cdef struct NotedTime:
    uint64_t key                    # of a latency's row
    uint64_t took


cdef struct NotedFetch:
    uint8_t[32] erasure_root
    int64_t took                    # negative if that is unknown
    uint8_t root
    bint well


cdef struct Noted:                  # what was found of one node, and is yet to be entered into rows
    uint32_t count                  # of all
    uint32_t most                   # that may wait until there is more
    uint32_t times_count
    uint32_t cores_count
    uint32_t receipts_count
    uint32_t outcomes_count
    uint32_t fetches_count
    NotedTime[MOST_NOTED + MORE_NOTED] times
    uint64_t[MOST_NOTED + MORE_NOTED] cores         # keys of rows
    Content[MOST_NOTED + MORE_NOTED] receipts       # while frames are decoded
    uint64_t[MOST_NOTED + MORE_NOTED] outcomes      # keys of rows
    NotedFetch[MOST_NOTED + MORE_NOTED] fetches


cdef class Gatherer:
    cdef uint64_t[SEEDS] _seeds
    cdef Noted _noted
    cdef dict _followers            # as keys
    cdef Rows _outcomes
    cdef Rows _latencies
    cdef Rows _cores
    cdef Rows _costs
    cdef Buffer _clocks
    cdef Buffer _sightings
    cdef Rows _fetches
    cdef Rows _assurances
    cdef Buffer _receipts           # NumberedReceipt
    cdef Rows _withheld

    cdef void _begin(self, Rows* rows, uint32_t key_size, uint32_t row_size) noexcept
    cdef void _forget(self) noexcept
    cdef size_t _size_of_rows(self) noexcept
    cdef void _put_costs(self, Buffer* body) noexcept
    cdef bint _put_assurances(self, Buffer* body) noexcept


cdef enum:
    STAGES = 5                      # as _roles.MOST_STAGES
    MOST_LINKS = 2                  # as open_chains.MOST_LINKS
    NEW_HASHES = 16                 # as sights.NEW_HASHES


cdef enum:                          # the orders in which chains are let go of
    SHORT, LONG                     # by the patience that is had with them


cdef struct Chain:                  # that is open, or what can be referred to in its stead
    uint64_t id
    uint64_t touched                # when, in order; 0 if it is no chain that is open
    int64_t second                  # in which it was
    uint64_t[STAGES] times          # from the second on, an erasure root if it fetches
    uint64_t top_id
    uint16_t of                     # the number of the chain in whose stead it is, or NOWHERE
    uint16_t[MOST_LINKS] links      # what is in its stead
    uint16_t next                   # what is free after it if it is
    uint16_t core
    uint16_t services               # their number in the follower, or NOWHERE
    uint8_t root                    # types
    uint8_t top
    uint8_t seen                    # a bit for each stage, from 1 on, whose time is kept
    uint8_t order
    uint8_t services_known
    uint8_t fetches                 # whether it has an erasure root


cdef struct Chains:
    Buffer chains                   # found by their numbers, from 1 on
    Buffer near                     # by ID, uint16_t: a number, or NOWHERE
    size_t last_near                # place
    Buffer far                      # of those whose place near is taken, the same by hash
    uint8_t far_shift               # how far a hash is moved to tell a place
    uint64_t seed                   # of hashes
    uint64_t highest                # ID that there ever was
    uint32_t count                  # of all
    uint32_t far_count
    uint16_t free                   # the first one that is, or NOWHERE
    Buffer ages                     # uint64_t, ages of some, the oldest first
    size_t oldest                   # of these that may be open


cdef struct Kinds:
    Buffer ring                     # of bytes, a power of two of them
    uint64_t last_place
    uint64_t first                  # ID that is known, if it is still remembered
    uint64_t next                   # ID
    uint64_t full                   # the ID for which there is to be more room


cdef class Follower:
    cdef Gatherer gatherer
    cdef uint16_t handle
    cdef uint8_t network
    cdef uint8_t hashes_known
    cdef uint8_t next_hash
    cdef bint clock_known
    cdef uint32_t cores
    cdef uint32_t rows              # that were made for it since they were taken
    cdef uint32_t links
    cdef uint16_t free_services     # the first that are, or NOWHERE
    cdef Chains open
    cdef Kinds past
    cdef Buffer services
    cdef uint64_t touches
    cdef int64_t due                # no chain has expired before this second
    cdef int64_t least              # arrival after an event's time, if that is known
    cdef int64_t greatest
    cdef int64_t sights_left
    cdef int64_t sights_filled      # the second in which they were
    cdef uint64_t arrived           # what is followed: as in Buffers
    cdef int64_t second
    cdef uint64_t earliest
    cdef uint64_t latest
    cdef uint32_t newest_slot
    cdef uint8_t[NEW_HASHES][32] hashes


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
    cdef Follower _follower             # None where no chains are followed

    cdef void begin_read(self, Buffers into) noexcept
    cdef bint decode_into(self, Buffers into, Frames* frames, size_t most) noexcept
    cdef bint end_read(self, Buffers into) noexcept
    cdef size_t pass_over(self, Frames* frames, size_t most) noexcept
    cdef int check_length(self, const Frames* frames) except -1
    cdef void count(self, const char* types, size_t number) noexcept


cdef int read_from(Frames* frames, bytes data, Py_ssize_t start) except -1
cdef list faults_of(const Counted* counted, size_t number)
