# What a connection's last event IDs were used for: see past_kinds.py. It grows from little. Part of
# _kernel.pyx.

cdef enum:
    FIRST_KINDS = 64            # that there is room for at first: a power of two, as REMEMBERED is
    NOT_REMEMBERED = -1

cdef uint32_t REMEMBERED = past_kinds.REMEMBERED


cdef bint begin_kinds(Kinds* kinds) noexcept nogil:
    """Let there be room for the first; False if there is no memory."""
    if not make_room(&kinds.ring, FIRST_KINDS):
        return False
    kinds.ring.size = FIRST_KINDS
    kinds.last_place = FIRST_KINDS - 1
    kinds.full = FIRST_KINDS
    return True


cdef inline void go_on_with_kinds(Kinds* kinds, uint64_t id) noexcept nogil:
    """The next one is ``id``. If there is a gap, nothing before is known any more."""
    if kinds.next != id:
        kinds.first = kinds.next = id
        kinds.full = id + kinds.ring.size


cdef inline void note_kind(Kinds* kinds, uint64_t id, uint8_t kind) noexcept nogil:
    """The event with ``id``, which is the next one, is of ``kind``."""
    if id == kinds.full:
        make_room_for_kind(kinds)
    kinds.ring.start[id & kinds.last_place] = kind
    kinds.next = id + 1


cdef void note_kinds(Kinds* kinds, uint64_t id, uint64_t number, uint8_t kind) noexcept nogil:
    """The ``number`` IDs from ``id`` on, which is the next one, are of ``kind``."""
    if number > REMEMBERED:
        id += number - REMEMBERED
        go_on_with_kinds(kinds, id)
        number = REMEMBERED
    while number > 0:
        note_kind(kinds, id, kind)
        id += 1
        number -= 1


cdef inline int kind_of(const Kinds* kinds, uint64_t id) noexcept nogil:
    """What ``id`` was used for, or ``NOT_REMEMBERED``."""
    cdef uint64_t back = kinds.next - id
    if back == 0 or back > kinds.next - kinds.first or back > kinds.ring.size:
        return NOT_REMEMBERED
    return <uint8_t> kinds.ring.start[id & kinds.last_place]


cdef void forget_kind(Kinds* kinds, uint64_t id) noexcept nogil:
    """Nothing can be told of ``id`` any more."""
    if kind_of(kinds, id) != NOT_REMEMBERED:
        kinds.ring.start[id & kinds.last_place] = UNTOLD


cdef void make_room_for_kind(Kinds* kinds) noexcept nogil:
    """Let there be more room. Without, what is oldest is remembered no more."""
    cdef Buffer larger = Buffer(NULL, 0, 0, NULL)
    cdef size_t size = 2 * kinds.ring.size
    cdef size_t back
    cdef uint64_t id
    kinds.full += kinds.ring.size
    kinds.first = kinds.next - kinds.ring.size
    if size > REMEMBERED or not make_room(&larger, size):
        return
    larger.size = size
    for back in range(1, kinds.ring.size + 1):
        id = kinds.next - back
        larger.start[id & (size - 1)] = kinds.ring.start[id & kinds.last_place]
    release(&kinds.ring)
    kinds.ring = larger
    kinds.last_place = size - 1
