# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled codec's kernel: frames of a node in, finished ``event`` messages out.

It is a small machine. ``_program.py`` turns the table into ops: JSON text to copy, then one value
to read and show. :func:`run` carries them out, ``_text.pxi`` shows the values. ``values.py`` says
what is read in which order, what is an error and what a violation; ``codec.py`` says what a stream
does. What keeps it safe:

- nothing is read before it is known to lie inside the message;
- room is made before anything is written, for the most that will be;
- text is copied in blocks, so up to ``SLACK`` bytes past what counts are read from texts and
  written to buffers, which have them to spare;
- while frames are decoded, no Python object is touched: faults become objects afterwards.
"""

import sys

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport SIZE_MAX, UINT32_MAX, UINT64_MAX
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from telemetry_twisted.jip3 import moment, table, thinning, values
from telemetry_twisted.jip3.codec import DECODE_ERROR, EXCERPT_BYTES, MOST_DROPPED, VIOLATION
from telemetry_twisted.jip3.codec import Decoded, Dropped, Fault, FrameTooLong

if sys.byteorder != "little":
    raise ImportError("the compiled codec reads integers as a little-endian machine lays them out")


include "_text.pxi"
include "_facts.pxi"


cdef enum Code:             # as _program.Code
    UNKNOWN, EVENT, END, U8, U16, U32, U64, BOOL, ENUM, OPTION, SEQUENCE, STRING, HASH, ARRAY,
    CORES_HEX, CORES_ARRAY, ADDRESS, ROOT_KIND, EXPORT_INDEX

cdef enum Reason:
    FINE, CUT_SHORT, UNKNOWN_DISCRIMINATOR, BAD_BOOL, BAD_OPTION, BAD_ENUM, COUNT_TOO_LARGE,
    CORE_COUNT_UNKNOWN, CORE_COUNT_MISFIT,
    STRING_TOO_LONG, INVALID_UTF8, TRAILING_BYTES, TIME_OFF_CLOCK, UNIX_TIME, SLOT_AHEAD,
    OUT_OF_MEMORY

cdef tuple REASONS = (
    None,
    values.CUT_SHORT,
    values.UNKNOWN_DISCRIMINATOR,
    values.BAD_BOOL,
    values.BAD_OPTION,
    values.BAD_ENUM,
    values.COUNT_TOO_LARGE,
    values.CORE_COUNT_UNKNOWN,
    values.CORE_COUNT_MISFIT,
    values.STRING_TOO_LONG,
    values.INVALID_UTF8,
    values.TRAILING_BYTES,
    values.TIME_OFF_CLOCK,
    values.UNIX_TIME,
    values.SLOT_AHEAD,
)

cdef uint64_t COMMON_ERA = moment.COMMON_ERA
cdef int64_t MAX_CORES = table.MAX_CORES

cdef Py_ssize_t EXCERPT = EXCERPT_BYTES
cdef const char* OPENING = b'{"type":"event","data":{"id":'

cdef enum:
    OPENING_SIZE = 29
    DIGITS = 20             # of the largest u64
    KEPT = 1 << 20          # most bytes that a buffer holds on to from one call to the next
    LENGTH_BYTES = 4        # of a frame's length
    HEAD_BYTES = 9          # of timestamp and discriminator
    DROPPED = 0             # discriminator of the event that counts for more than one
    DROPPED_BYTES = 25      # shortest content of it that decodes
    UNKNOWN_SIZE = -1       # of a value for whose size the core count is needed
    NO_DISCRIMINATOR = 256  # where a message is too short to have one
    NOT_WHOLE = -1          # frame_size: the frame does not end in the data
    TOO_LONG = -2           # frame_size: it announces more than is taken


cdef struct Op:             # as _program.OP packs it
    uint32_t text           # where its text begins in the program's texts
    uint16_t text_size
    uint8_t code
    uint8_t reads           # bytes of the message
    uint32_t argument
    uint32_t room           # most bytes that text and value take


cdef struct Trait:          # as _program.TRAIT packs it
    uint8_t slot_at         # where the slot is in the content, 0 if there is none
    uint8_t core_bits       # for each core, 0 if no value depends on the core count
    uint16_t beside_cores   # bytes of the content beside those


cdef struct Finding:        # what will be a Fault
    const uint8_t* content
    uint32_t size           # of the content
    uint32_t offset
    Reason reason
    uint32_t discriminator
    uint32_t count


cdef struct Buffer:
    char* start
    size_t size             # bytes in use
    size_t capacity         # bytes that may be used; SLACK more are there


cdef bint make_room(Buffer* buffer, uint64_t more) noexcept nogil:
    """Let ``buffer`` take ``more`` bytes beyond those in use; False if there is no memory."""
    cdef uint64_t needed = buffer.size + more
    cdef char* start
    if needed <= buffer.capacity:
        return True
    needed = max(needed, 2 * <uint64_t> buffer.capacity)
    if needed > UINT32_MAX or needed > SIZE_MAX // 2:
        return False
    start = <char*> realloc(buffer.start, needed + SLACK)
    if start == NULL:
        return False
    buffer.start = start
    buffer.capacity = needed
    return True


cdef inline bint append(Buffer* buffer, const void* source, size_t size) noexcept nogil:
    """Add ``size`` bytes; False if there is no memory."""
    if buffer.capacity - buffer.size < size and not make_room(buffer, size):
        return False
    memcpy(buffer.start + buffer.size, source, size)
    buffer.size += size
    return True


cdef void release(Buffer* buffer) noexcept nogil:
    free(buffer.start)
    buffer[0] = Buffer(NULL, 0, 0)


cdef bytes taken(Buffer* buffer):
    """The bytes in use, as an object. The buffer does not hold on to much memory."""
    cdef bytes result = PyBytes_FromStringAndSize(buffer.start, buffer.size)
    if buffer.capacity > KEPT:
        release(buffer)
    return result


cdef class Buffers:
    """What the streams of one codec write to, one stream at a time."""

    cdef Buffer events
    cdef Buffer types
    cdef Buffer lengths
    cdef Buffer facts
    cdef Buffer newest
    cdef Buffer findings                # of one message
    cdef Buffer tally                   # of all, those alike in one, which ``places`` finds
    cdef uint16_t[OUT_OF_MEMORY][257] places    # by reason and discriminator: its number from 1 on
    cdef object moment                  # what follows is of this one
    cdef bytes closing                  # what stands after each event
    cdef int64_t minute
    cdef uint64_t earliest
    cdef uint64_t latest
    cdef uint32_t newest_slot
    cdef int64_t second

    cdef int take_moment(self, object moment) except -1:
        self.moment = None
        received, self.minute, self.earliest, self.latest, self.newest_slot, self.second = moment
        self.closing = received + b'"},'
        self.moment = moment
        return 0

    cdef Reason add_up(self) noexcept:
        """Add the findings of a message to the tally."""
        cdef const Finding* finding = <const Finding*> self.findings.start
        cdef Finding* known
        cdef uint16_t* place
        cdef size_t number
        for number in range(self.findings.size // sizeof(Finding)):
            place = &self.places[<int> finding.reason][finding.discriminator]
            if place[0] == 0:
                if not append(&self.tally, finding, sizeof(Finding)):
                    return OUT_OF_MEMORY
                place[0] = self.tally.size // sizeof(Finding)
            else:
                known = <Finding*> self.tally.start + (place[0] - 1)
                known.content = finding.content
                known.size = finding.size
                known.offset = finding.offset
                known.count += 1
            finding += 1
        self.findings.size = 0
        return FINE

    def __sizeof__(self):
        return (
            object.__sizeof__(self) + self.events.capacity + self.types.capacity
            + self.lengths.capacity + self.facts.capacity + self.newest.capacity
            + self.findings.capacity + self.tally.capacity + sizeof(self.places)
        )

    def __dealloc__(self):
        release(&self.events)
        release(&self.types)
        release(&self.lengths)
        release(&self.facts)
        release(&self.newest)
        release(&self.findings)
        release(&self.tally)


cdef struct Machine:
    const Op* ops               # the program
    const char* texts
    const Trait* traits
    int64_t core_bytes          # size of a byte for each core, or UNKNOWN_SIZE
    int64_t bitfield_bytes      # size of a bit for each core, or UNKNOWN_SIZE
    bint known_layout           # whether that is certain
    uint64_t earliest           # what a time and a slot may be without a word
    uint64_t latest
    uint32_t newest_slot
    const char* node            # what stands between id and event ID
    size_t node_size
    const char* closing         # what stands after the event
    size_t closing_size
    const uint8_t* content      # the message that is read
    const uint8_t* at           # what of it is read next
    const uint8_t* end
    Buffer* events              # what is written
    char* out                   # where its next byte goes
    Buffer* findings


cdef inline char* with_room(Machine* m, char* out, uint64_t more) noexcept nogil:
    """``out``, wherever it is then, with room for ``more`` bytes; NULL if there is no memory."""
    m.events.size = out - m.events.start
    if m.events.capacity - m.events.size >= more:
        return out
    return m.events.start + m.events.size if make_room(m.events, more) else NULL


cdef inline char* put_text(Machine* m, char* out, const Op* op) noexcept nogil:
    return put(out, m.texts + op.text, op.text_size)


cdef Reason fail(Machine* m, const uint8_t* at, Reason reason) noexcept nogil:
    """Leave ``at`` where the read that fails begins; returns ``reason``."""
    m.at = at
    return reason


cdef Reason find(Machine* m, const uint8_t* at, Reason reason) noexcept nogil:
    """Note ``reason`` for the read or value at ``at``."""
    cdef size_t size = m.end - m.content
    cdef Finding finding = Finding(m.content, size, at - m.content, reason, NO_DISCRIMINATOR, 1)
    if size >= HEAD_BYTES:
        finding.discriminator = m.content[8]
    return FINE if append(m.findings, &finding, sizeof(Finding)) else OUT_OF_MEMORY


cdef Reason read_count(Machine* m, uint64_t* count) noexcept nogil:
    """Read the natural at ``at`` that counts bytes or items to follow."""
    cdef const uint8_t* at = m.at
    cdef int following = 0
    while following < 8 and at != m.end and at[0] & 0x80 >> following:
        following += 1
    if m.end - at <= following:
        return CUT_SHORT
    count[0] = 0
    memcpy(count, at + 1, following)
    if following < 8:
        count[0] |= <uint64_t> (at[0] & 0x7F >> following) << 8 * following
    if count[0] > <uint64_t> (m.end - at - 1 - following):
        return COUNT_TOO_LARGE
    m.at = at + 1 + following
    return FINE


cdef Reason run(Machine* m, const Op* op) noexcept nogil:
    """Carry out ``op`` and what follows, up to an ``END``. If that fails, ``at`` is where."""
    cdef const uint8_t* at = m.at
    cdef const uint8_t* raw
    cdef char* out = m.out
    cdef size_t size
    cdef int64_t dependent
    cdef uint64_t count, item, u64
    cdef uint32_t u32
    cdef uint16_t u16
    cdef bint valid
    cdef Reason reason
    while True:
        if m.end - at < op.reads:
            return fail(m, at, CUT_SHORT)
        out = with_room(m, out, op.room)
        if out == NULL:
            return OUT_OF_MEMORY
        out = put_text(m, out, op)
        raw = at
        at += op.reads

        if op.code == END:
            m.at = at
            m.out = out
            return FINE
        elif op.code == EVENT:
            memcpy(&u64, raw, 8)
            out = put_decimal(out, u64)
            op = m.ops + op.argument - 1
        elif op.code == U8:
            out = put_decimal(out, raw[0])
        elif op.code == U16:
            memcpy(&u16, raw, 2)
            out = put_decimal(out, u16)
        elif op.code == U32:
            memcpy(&u32, raw, 4)
            out = put_decimal(out, u32)
        elif op.code == U64:
            memcpy(&u64, raw, 8)
            out = put_decimal(out, u64)
        elif op.code == HASH:
            out = put_hex(out, raw, 32)
        elif op.code == ARRAY:
            out = put_array(out, raw, op.argument)
        elif op.code == CORES_HEX or op.code == CORES_ARRAY:
            dependent = m.core_bytes if op.argument == 8 else m.bitfield_bytes
            if dependent == UNKNOWN_SIZE:
                return fail(m, at, CORE_COUNT_UNKNOWN)
            size = dependent
            if <size_t> (m.end - at) < size:
                return fail(m, at, CUT_SHORT)
            at += size
            out = with_room(m, out, 4 * size)
            if out == NULL:
                return OUT_OF_MEMORY
            out = put_hex(out, raw, size) if op.code == CORES_HEX else put_array(out, raw, size)
        elif op.code == ADDRESS:
            out = put_address(out, raw)
        elif op.code == BOOL or op.code == ENUM:
            if raw[0] >= op.argument:
                return fail(m, raw, BAD_BOOL if op.code == BOOL else BAD_ENUM)
            out = put_text(m, out, op + 1 + raw[0])
            op += op.argument
        elif op.code == OPTION:
            if raw[0] > 1:
                return fail(m, raw, BAD_OPTION)
            if raw[0] == 0:
                memcpy(out, b"null", 4)
                out += 4
            else:
                m.at = at
                m.out = out
                reason = run(m, op + 1)
                if reason != FINE:
                    return reason
                at = m.at
                out = m.out
            op += op.argument
        elif op.code == SEQUENCE:
            m.at = at
            m.out = out
            reason = read_count(m, &count)
            if reason != FINE:
                return reason
            for item in range(count):
                reason = run(m, op + 1)
                if reason != FINE:
                    return reason
            at = m.at
            out = m.out - (count > 0)
            op += op.argument
        elif op.code == STRING:
            m.at = at
            reason = read_count(m, &count)
            if reason != FINE:
                return reason
            out = with_room(m, out, 6 * count)
            if out == NULL:
                return OUT_OF_MEMORY
            out = put_string(out, m.at, count, &valid)
            at = m.at + count
            if count > op.argument or not valid:
                reason = find(m, raw, STRING_TOO_LONG if count > op.argument else INVALID_UTF8)
                if reason != FINE:
                    return reason
        elif op.code == ROOT_KIND:
            if m.end - at < 34:
                return fail(m, at if m.end - at < 32 else at + 32, CUT_SHORT)
            out = put_text(m, out, op + 1 + (at[33] >> 7))
            op += op.argument
        elif op.code == EXPORT_INDEX:
            memcpy(&u16, raw, 2)
            out = put_decimal(out, u16 & 0x7FFF)
        else:
            return fail(m, m.content + 8, UNKNOWN_DISCRIMINATOR)
        op += 1


cdef inline Reason check_clock(Machine* m) noexcept nogil:
    """Find a time or a slot in the message that is out of bounds. From then on any will do."""
    cdef uint64_t time
    cdef uint32_t slot
    cdef uint8_t slot_at = m.traits[m.content[8]].slot_at
    cdef bint unix
    memcpy(&time, m.content, 8)
    if time < m.earliest or time > m.latest:
        unix = time >= COMMON_ERA and m.earliest <= time - COMMON_ERA <= m.latest
        m.earliest = 0
        m.latest = UINT64_MAX
        if find(m, m.content, UNIX_TIME if unix else TIME_OFF_CLOCK) != FINE:
            return OUT_OF_MEMORY
    if slot_at != 0:
        memcpy(&slot, m.content + slot_at, 4)
        if slot > m.newest_slot:
            m.newest_slot = UINT32_MAX
            return find(m, m.content + slot_at, SLOT_AHEAD)
    return FINE


cdef Reason write_event(Machine* m, uint64_t id, uint64_t event_id) noexcept nogil:
    """Write the message as one ``event`` message and a comma. If that fails, ``at`` is where."""
    cdef char* out
    cdef Reason reason
    if m.end - m.content < HEAD_BYTES:
        return fail(m, m.content + (8 if m.end - m.content == 8 else 0), CUT_SHORT)
    out = with_room(
        m, m.events.start + m.events.size, OPENING_SIZE + DIGITS + m.node_size + DIGITS
    )
    if out == NULL:
        return OUT_OF_MEMORY
    memcpy(out, OPENING, OPENING_SIZE)
    out = put_decimal(out + OPENING_SIZE, id)
    out = put(out, m.node, m.node_size)
    m.out = put_decimal(out, event_id)
    m.at = m.content
    reason = run(m, m.ops + m.content[8])
    if reason == FINE and m.at != m.end:
        if m.known_layout or m.traits[m.content[8]].core_bits == 0:
            reason = find(m, m.at, TRAILING_BYTES)
        else:
            reason = fail(m, m.at, CORE_COUNT_MISFIT)
    if reason == FINE:
        reason = check_clock(m)
    if reason == FINE:
        m.events.size = m.out - m.events.start
        if not append(m.events, m.closing, m.closing_size):
            reason = OUT_OF_MEMORY
    return reason


cdef inline int64_t frame_size(const uint8_t* at, const uint8_t* end, uint32_t most) noexcept nogil:
    """The size of the content of the frame at ``at``, or ``NOT_WHOLE`` or ``TOO_LONG``."""
    cdef uint32_t size
    if end - at < LENGTH_BYTES:
        return NOT_WHOLE
    memcpy(&size, at, LENGTH_BYTES)
    if size > most:
        return TOO_LONG
    if end - at - LENGTH_BYTES < size:
        return NOT_WHOLE
    return size


cdef inline uint64_t ids_used(const uint8_t* content, int64_t size) noexcept nogil:
    """How many event IDs a message takes (JIP-3, Event IDs)."""
    cdef uint64_t num = 1
    if size >= DROPPED_BYTES and content[8] == DROPPED:
        memcpy(&num, content + DROPPED_NUM, 8)
    return num


cdef const uint8_t* offset_in(bytes data, Py_ssize_t start) except NULL:
    if not 0 <= start <= len(data):
        raise ValueError(f"start is {start}; it must lie in the {len(data)} bytes of data")
    return <const uint8_t*> PyBytes_AS_STRING(data) + start


cdef object frame_too_long(const uint8_t* at, uint32_t most):
    cdef uint32_t size
    memcpy(&size, at, LENGTH_BYTES)
    return FrameTooLong(size, most)


cdef object new_tuple = tuple.__new__   # skips the Python code in __new__ of a named tuple


cdef void forget_places(Buffers buffers) noexcept:
    """Make ``places`` empty again."""
    cdef const Finding* finding = <const Finding*> buffers.tally.start
    cdef size_t number
    for number in range(buffers.tally.size // sizeof(Finding)):
        buffers.places[<int> finding[number].reason][finding[number].discriminator] = 0


cdef list faults(Buffers buffers):
    """The tally as :class:`~telemetry_twisted.jip3.codec.Fault` objects."""
    # A new object may set off the garbage collector, and that any code, which may decode as well.
    cdef Buffer own = buffers.tally
    cdef const Finding* finding = <const Finding*> own.start
    cdef list result
    forget_places(buffers)
    buffers.tally = Buffer(NULL, 0, 0)
    try:
        result = []
        for _ in range(own.size // sizeof(Finding)):
            result.append(new_tuple(Fault, (
                VIOLATION if finding.reason >= STRING_TOO_LONG else DECODE_ERROR,
                None if finding.discriminator == NO_DISCRIMINATOR else finding.discriminator,
                finding.offset,
                REASONS[<int> finding.reason],
                PyBytes_FromStringAndSize(
                    <const char*> finding.content, min(finding.size, EXCERPT)
                ),
                finding.count,
            )))
            finding += 1
    finally:
        release(&own)
    return result


cdef class Stream:
    """See :class:`telemetry_twisted.jip3.codec.Stream`."""

    cdef public uint64_t next_event_id
    cdef Buffers _buffers
    cdef bytes _ops
    cdef bytes _texts
    cdef bytes _traits
    cdef bytes _node                    # Machine.node and SLACK bytes
    cdef int64_t _core_bytes            # Machine.core_bytes
    cdef int64_t _bitfield_bytes        # Machine.bitfield_bytes
    cdef bint _known_layout
    cdef int64_t _minute_of_time        # the last one in which a time was out of bounds
    cdef int64_t _minute_of_slot        # the last one in which a slot was
    cdef uint32_t _most                 # bytes in a message
    cdef uint8_t[32] _fact_types        # a bit for each discriminator
    cdef uint32_t[256] _counts          # of events by discriminator
    cdef Lost _lost                     # what the node said it dropped
    cdef Thinning _thinning

    def __cinit__(self, program not None, Buffers buffers not None, dialect not None):
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
        self._most = min(dialect.max_message_size, UINT32_MAX)
        self._lost = Lost(0, 0, UINT64_MAX, 0, False)
        begin_thinning(&self._thinning)
        for discriminator in dialect.fact_types:
            self._fact_types[discriminator >> 3] |= 1 << (discriminator & 7)

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
        object moment,
    ):
        cdef const uint8_t* begin = offset_in(data, start)
        cdef const uint8_t* end = begin + (len(data) - start)
        cdef const uint8_t* at = begin
        cdef Buffers buffers = self._buffers
        cdef bytes closing, types
        cdef size_t written
        cdef int64_t size = NOT_WHOLE
        cdef Reason reason
        cdef Machine m
        if moment is not buffers.moment:
            buffers.take_moment(moment)
        closing = buffers.closing
        forget_places(buffers)
        m.ops = <const Op*> PyBytes_AS_STRING(self._ops)
        m.texts = PyBytes_AS_STRING(self._texts)
        m.traits = <const Trait*> PyBytes_AS_STRING(self._traits)
        m.core_bytes = self._core_bytes
        m.bitfield_bytes = self._bitfield_bytes
        m.known_layout = self._known_layout
        m.earliest = buffers.earliest
        m.latest = buffers.latest
        m.newest_slot = buffers.newest_slot
        if self._minute_of_time == buffers.minute:
            m.earliest = 0
            m.latest = UINT64_MAX
        if self._minute_of_slot == buffers.minute:
            m.newest_slot = UINT32_MAX
        m.node = PyBytes_AS_STRING(self._node)
        m.node_size = len(self._node) - SLACK
        m.closing = PyBytes_AS_STRING(closing)
        m.closing_size = len(closing)
        m.events = &buffers.events
        m.findings = &buffers.findings
        buffers.events.size = buffers.types.size = buffers.lengths.size = 0
        buffers.facts.size = buffers.newest.size = buffers.findings.size = buffers.tally.size = 0
        memset(self._thinning.newest, 0, sizeof(self._thinning.newest))
        if self._thinning.second != buffers.second:
            fill_allowances(&self._thinning, buffers.second)
        while <Py_ssize_t> buffers.types.size < room:
            size = frame_size(at, end, self._most)
            if size < 0:
                break
            m.content = at + LENGTH_BYTES
            m.end = m.content + size
            if m.core_bytes == UNKNOWN_SIZE and size >= HEAD_BYTES:
                self._learn_cores(&m, size)
            written = buffers.events.size
            reason = write_event(&m, first_id, self.next_event_id)
            if reason == FINE:
                first_id += id_step
                reason = self._note(m.content, size, buffers.events.size - written - len(b","))
            elif reason != OUT_OF_MEMORY:
                buffers.events.size = written
                buffers.findings.size = 0
                reason = find(&m, m.at, reason)
            if reason == FINE and buffers.findings.size > 0:
                reason = buffers.add_up()
            if reason == OUT_OF_MEMORY:
                raise MemoryError
            self.next_event_id += ids_used(m.content, size)
            at = m.end
        if size == TOO_LONG and at == begin:
            raise frame_too_long(at, self._most)
        if buffers.types.size > 0:
            buffers.events.size -= len(b",")
        if m.earliest != buffers.earliest or m.latest != buffers.latest:
            self._minute_of_time = buffers.minute
        if m.newest_slot != buffers.newest_slot:
            self._minute_of_slot = buffers.minute
        if buffers.findings.capacity > KEPT:
            release(&buffers.findings)
        if not self._hand_out_newest():
            raise MemoryError
        types = taken(&buffers.types)
        result = new_tuple(Decoded, (
            start + (at - begin),
            taken(&buffers.events),
            types,
            taken(&buffers.lengths),
            taken(&buffers.facts),
            taken(&buffers.newest),
            faults(buffers),
        ))
        # What is not handed out, because there is no memory for it, is not counted either.
        self._count(types)
        return result

    def skip(self, bytes data not None, Py_ssize_t start, Py_ssize_t most):
        cdef const uint8_t* begin = offset_in(data, start)
        cdef const uint8_t* end = begin + (len(data) - start)
        cdef const uint8_t* at = begin
        cdef Py_ssize_t skipped = 0
        cdef int64_t size = NOT_WHOLE
        while skipped < most:
            size = frame_size(at, end, self._most)
            if size < 0:
                break
            self.next_event_id += ids_used(at + LENGTH_BYTES, size)
            skipped += 1
            at += LENGTH_BYTES + size
        if size == TOO_LONG and at == begin:
            raise frame_too_long(at, self._most)
        return start + (at - begin), skipped

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

    cdef void _count(self, bytes types) noexcept:
        cdef const uint8_t* type = <const uint8_t*> PyBytes_AS_STRING(types)
        cdef Py_ssize_t number
        for number in range(len(types)):
            self._counts[type[number]] += 1

    cdef bint _hand_out_newest(self) noexcept:
        """Write the newest states that are not passed on; False if there is no memory."""
        cdef Buffer* newest = &self._buffers.newest
        cdef Content content
        cdef uint32_t size
        cdef int each
        for each in range(STATES):
            content = self._thinning.newest[each]
            if content != NULL:
                memcpy(&size, content - LENGTH_BYTES, LENGTH_BYTES)
                if not append(newest, content - LENGTH_BYTES, LENGTH_BYTES + size):
                    return False
        return True

    cdef void _learn_cores(self, Machine* m, int64_t size) noexcept:
        """See :mod:`telemetry_twisted.jip3.cores`: what the length of the message tells."""
        cdef Trait trait = m.traits[m.content[8]]
        cdef int64_t dependent = size - trait.beside_cores
        if trait.core_bits == 8 and 1 <= dependent <= MAX_CORES:
            if m.bitfield_bytes == UNKNOWN_SIZE or m.bitfield_bytes == (dependent + 7) // 8:
                self._core_bytes = m.core_bytes = dependent
                self._bitfield_bytes = m.bitfield_bytes = (dependent + 7) // 8
        elif trait.core_bits == 1 and 1 <= dependent <= MAX_CORES // 8:
            if m.bitfield_bytes == UNKNOWN_SIZE:
                self._bitfield_bytes = m.bitfield_bytes = dependent

    cdef inline Reason _note(self, const uint8_t* content, size_t size, uint32_t length) noexcept:
        """Note the type and ``length`` of an event that was written, and its message as a fact."""
        cdef Buffers buffers = self._buffers
        cdef uint8_t type = content[8]
        if not append(&buffers.types, &type, 1) or not append(&buffers.lengths, &length, 4):
            return OUT_OF_MEMORY
        if self._fact_types[type >> 3] & 1 << (type & 7) and size <= MOST_FACT_BYTES:
            if passes(&self._thinning, content, type):
                if not append(&buffers.facts, content - LENGTH_BYTES, LENGTH_BYTES + size):
                    return OUT_OF_MEMORY
        if type == DROPPED:
            note_dropped(&self._lost, content, buffers.earliest, buffers.latest)
        return FINE
