# The machine that carries out a program (_program.py) on one message. Part of _kernel.pyx.

cdef uint64_t COMMON_ERA = moment.COMMON_ERA
cdef const char* OPENING = b'{"type":"event","data":{"id":'

cdef enum:
    OPENING_SIZE = 29
    DIGITS = 20             # of the largest u64
    HEAD_BYTES = 9          # of timestamp and discriminator
    UNKNOWN_SIZE = -1       # of a value for whose size the core count is needed


cdef enum Code:             # as _program.Code
    UNKNOWN, EVENT, END, U8, U16, U32, U64, BOOL, ENUM, OPTION, SEQUENCE, STRING, HASH, ARRAY,
    CORES_HEX, CORES_ARRAY, ADDRESS, ROOT_KIND, EXPORT_INDEX


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


cdef inline void set_up(Machine* m, Stream stream, Buffers into) noexcept:
    """Let it read messages of the stream, and write to the buffers."""
    m.ops = <const Op*> PyBytes_AS_STRING(stream._ops)
    m.texts = PyBytes_AS_STRING(stream._texts)
    m.traits = <const Trait*> PyBytes_AS_STRING(stream._traits)
    m.core_bytes = stream._core_bytes
    m.bitfield_bytes = stream._bitfield_bytes
    m.known_layout = stream._known_layout
    m.earliest = into.earliest
    m.latest = into.latest
    m.newest_slot = into.newest_slot
    if stream._minute_of_time == into.minute:
        m.earliest = 0
        m.latest = UINT64_MAX
    if stream._minute_of_slot == into.minute:
        m.newest_slot = UINT32_MAX
    m.node = PyBytes_AS_STRING(stream._node)
    m.node_size = len(stream._node) - SLACK
    m.closing = PyBytes_AS_STRING(into.closing)
    m.closing_size = len(into.closing)
    m.events = &into.events
    m.findings = &into.findings


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
    cdef Finding finding = Finding(reason, at - m.content)
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
