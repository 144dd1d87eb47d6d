# Rows that are added up by their keys, packed as they are sent and in the order in which they first
# came. Part of _kernel.pyx.

cdef enum:
    FIRST_PLACES = 16           # of a table that has rows: a power of two


cdef inline uint64_t hashed(uint64_t value) noexcept nogil:
    value = (value ^ value >> 32) * 0xD6E8FEB86659FD93ULL
    value = (value ^ value >> 32) * 0xD6E8FEB86659FD93ULL
    return value ^ value >> 32


cdef void begin_rows(
    Rows* t, uint32_t key_size, uint32_t row_size, uint32_t most, const uint64_t* seeds
) noexcept:
    t.key_size = key_size
    t.row_size = row_size
    t.most = most
    t.seeds = seeds
    t.mask = 0 if key_size > 8 else UINT64_MAX >> 8 * (8 - key_size)


cdef inline uint64_t hashed_pair(const uint64_t* seeds, const char* at) noexcept nogil:
    """Of 16 bytes, to be added up."""
    cdef uint64_t[2] words
    memcpy(words, at, sizeof(words))
    return (words[0] + seeds[0]) * (words[1] + seeds[1])


cdef inline uint64_t hash_of(const Rows* t, const char* key) noexcept nogil:
    """The hash of a key of more than 16 bytes."""
    cdef uint64_t hash = 0
    cdef uint32_t at = 0
    while at + 16 <= t.key_size:
        hash += hashed_pair(t.seeds + at // 8, key + at)
        at += 16
    return hashed(hash + hashed_pair(t.seeds + at // 8, key + t.key_size - 16))


cdef inline uint64_t number_of_row(const Rows* t, const char* row) noexcept nogil:
    """The key of a row, which is a number."""
    cdef uint64_t number
    memcpy(&number, row, sizeof(number))
    return number & t.mask


cdef inline char* row_with_number(const Rows* t, uint64_t key) noexcept nogil:
    """The row whose key is this number; NULL if there is none."""
    cdef const uint32_t* places = <const uint32_t*> t.places.start
    cdef size_t last = t.places.size // sizeof(uint32_t)
    cdef size_t at
    cdef char* row
    if last == 0:
        return NULL
    last -= 1
    at = hashed(key ^ t.seeds[0]) & last
    while places[at] != 0:
        row = t.rows.start + <size_t> (places[at] - 1) * t.row_size
        if number_of_row(t, row) == key:
            return row
        at = (at + 1) & last
    return NULL


cdef inline char* row_with_key(const Rows* t, const void* key) noexcept nogil:
    """The row with a key that is longer than a number; NULL if there is none."""
    cdef const uint32_t* places = <const uint32_t*> t.places.start
    cdef size_t last = t.places.size // sizeof(uint32_t)
    cdef size_t at
    cdef char* row
    if last == 0:
        return NULL
    last -= 1
    at = hash_of(t, <const char*> key) & last
    while places[at] != 0:
        row = t.rows.start + <size_t> (places[at] - 1) * t.row_size
        if memcmp(row, key, t.key_size) == 0:
            return row
        at = (at + 1) & last
    return NULL


cdef char* new_row(Rows* t, const void* key) noexcept nogil:
    """A row that is zero but for its key, which no other has; NULL if there is no room for it.

    Rows stay where they are until there is a new one.
    """
    cdef char* row
    if t.count == t.most or not has_room_for_row(t):
        return NULL
    row = t.rows.start + t.rows.size
    memset(row, 0, t.row_size)
    memcpy(row, key, t.key_size)
    t.rows.size += t.row_size
    t.count += 1
    place_row(t, row)
    return row


cdef bint has_room_for_row(Rows* t) noexcept nogil:
    """Let there be room for one more row, and a place for each two; False if there is no memory."""
    cdef size_t size = 2 * t.places.size
    cdef size_t number
    if not make_room(&t.rows, t.row_size):
        return False
    if sizeof(uint32_t) * 2 * (t.count + 1) <= t.places.size:
        return True
    size = max(size, FIRST_PLACES * sizeof(uint32_t))
    if not make_room(&t.places, size - t.places.size):
        return False
    t.places.size = size
    memset(t.places.start, 0, size)
    size = t.count
    t.count = 0
    for number in range(size):
        t.count += 1
        place_row(t, t.rows.start + number * t.row_size)
    return True


cdef void place_row(Rows* t, const char* row) noexcept nogil:
    """The last row is found from now on."""
    cdef uint32_t* places = <uint32_t*> t.places.start
    cdef size_t last = t.places.size // sizeof(uint32_t) - 1
    cdef size_t at
    if t.mask != 0:
        at = hashed(number_of_row(t, row) ^ t.seeds[0]) & last
    else:
        at = hash_of(t, row) & last
    while places[at] != 0:
        at = (at + 1) & last
    places[at] = t.count


cdef void forget_rows(Rows* t) noexcept nogil:
    """Begin anew. What there was room for is kept, if it is not much."""
    if t.rows.capacity > KEPT:
        release(&t.rows)
    t.rows.size = t.count = 0
    if t.places.capacity > KEPT:
        release(&t.places)
    if t.places.size > 0:
        memset(t.places.start, 0, t.places.size)


cdef void release_rows(Rows* t) noexcept nogil:
    release(&t.rows)
    release(&t.places)
    t.count = 0
