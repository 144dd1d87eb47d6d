# What a connection's last event IDs were used for: see past_kinds.py. It grows from nothing. Part
# of _kernel.pyx.

cdef enum:
    FIRST_KINDS = 64            # that there is room for at first: a power of two, as REMEMBERED is
    NOT_REMEMBERED = -1

cdef uint32_t REMEMBERED = past_kinds.REMEMBERED


cdef inline void note_kind(Kinds* kinds, uint64_t id, uint8_t kind) noexcept nogil:
    """The event with ``id``, which is the next one, is of ``kind``."""
    if kinds.count == kinds.ring.size < REMEMBERED or kinds.next != id:
        make_room_for_kind(kinds, id)
    if kinds.ring.size > 0:
        kinds.ring.start[id & (kinds.ring.size - 1)] = kind
        kinds.count += kinds.count < kinds.ring.size
    kinds.next = id + 1


cdef void note_kinds(Kinds* kinds, uint64_t id, uint64_t number, uint8_t kind) noexcept nogil:
    """The ``number`` IDs from ``id`` on, which is the next one, are of ``kind``."""
    if number > REMEMBERED:
        id += number - REMEMBERED
        kinds.next = id
        number = REMEMBERED
    while number > 0:
        note_kind(kinds, id, kind)
        id += 1
        number -= 1


cdef inline int kind_of(const Kinds* kinds, uint64_t id) noexcept nogil:
    """What ``id`` was used for, or ``NOT_REMEMBERED``."""
    cdef uint64_t back = kinds.next - id
    if back == 0 or back > kinds.count:
        return NOT_REMEMBERED
    return <uint8_t> kinds.ring.start[id & (kinds.ring.size - 1)]


cdef void forget_kind(Kinds* kinds, uint64_t id) noexcept nogil:
    """Nothing can be told of ``id`` any more."""
    if kind_of(kinds, id) != NOT_REMEMBERED:
        kinds.ring.start[id & (kinds.ring.size - 1)] = UNTOLD


cdef void make_room_for_kind(Kinds* kinds, uint64_t id) noexcept nogil:
    """Let there be room for the next one. Without memory, what is oldest is remembered no more."""
    cdef Buffer larger = Buffer(NULL, 0, 0, NULL)
    cdef size_t size = max(2 * kinds.ring.size, <size_t> FIRST_KINDS)
    cdef uint32_t back
    if kinds.next != id:
        kinds.count = 0
        kinds.next = id
    if kinds.count < kinds.ring.size or not make_room(&larger, size):
        return
    larger.size = size
    for back in range(1, kinds.count + 1):
        larger.start[(id - back) & (size - 1)] = (
            kinds.ring.start[(id - back) & (kinds.ring.size - 1)]
        )
    release(&kinds.ring)
    kinds.ring = larger
