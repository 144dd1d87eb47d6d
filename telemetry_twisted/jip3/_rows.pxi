# Rows that are added up by their keys, packed as they are sent and in the order in which they first
# came. Part of _kernel.pyx.
#
# A hash is the upper half of a product with a random odd number that nobody else knows, so that
# nobody can choose keys that hash alike.

cdef enum:
    FIRST_PLACES_BITS = 4       # of a table that has rows: as many bits of a hash as tell a place
    HASH_BITS = 32


cdef struct Place:
    uint32_t row                # its number from 1 on, 0 for none
    uint32_t hash


cdef void begin_rows(
    Rows* t, uint32_t key_size, uint32_t row_size, uint32_t most, const uint64_t* seeds
) noexcept:
    t.key_size = key_size
    t.row_size = row_size
    t.most = most
    t.seeds = seeds
    t.mask = 0 if key_size > 8 else UINT64_MAX >> 8 * (8 - key_size)


cdef inline uint32_t hash_of_number(const Rows* t, uint64_t key) noexcept nogil:
    return key * (t.seeds[0] | 1) >> HASH_BITS


cdef inline uint64_t mixed_hash(const uint64_t* seeds, const void* hash) noexcept nogil:
    """Of 32 bytes, to be added up."""
    cdef uint64_t[4] words
    memcpy(words, hash, sizeof(words))
    return (
        (words[0] + seeds[0]) * (words[1] + seeds[1])
        + (words[2] + seeds[2]) * (words[3] + seeds[3])
    )


cdef inline bint same_hash(const void* left, const void* right) noexcept nogil:
    """Whether 32 bytes are the same."""
    cdef uint64_t[4] words
    cdef uint64_t[4] others
    memcpy(words, left, sizeof(words))
    memcpy(others, right, sizeof(others))
    return (
        words[0] ^ others[0] | words[1] ^ others[1] | words[2] ^ others[2] | words[3] ^ others[3]
    ) == 0


cdef inline const Place* home_of(const Rows* t, uint32_t hash) noexcept nogil:
    """Where the row is looked for first. There are places."""
    return <const Place*> t.places.start + (hash >> (HASH_BITS - t.places_bits))


cdef inline char* row_at(const Rows* t, uint32_t number) noexcept nogil:
    """The row with this number, from 1 on."""
    return t.rows.start + <size_t> (number - 1) * t.row_size


cdef inline char* row_with_number(const Rows* t, uint64_t key, uint32_t hash) noexcept nogil:
    """The row whose key is this number; NULL if there is none."""
    cdef const Place* places = <const Place*> t.places.start
    cdef uint64_t found
    cdef char* row
    cdef size_t at
    if t.places_bits == 0:
        return NULL
    at = hash >> (HASH_BITS - t.places_bits)
    while places[at].row != 0:
        if places[at].hash == hash:
            row = row_at(t, places[at].row)
            memcpy(&found, row, sizeof(found))
            if found & t.mask == key:
                return row
        at = (at + 1) & t.last_place
    return NULL


cdef inline void fetch_places(const Rows* t, const uint32_t* hashes, size_t count) noexcept nogil:
    """What has these hashes will be looked for: let it be there by then."""
    cdef size_t each
    if t.places_bits > 0:
        for each in range(count):
            fetch_ahead(home_of(t, hashes[each]))


cdef inline void fetch_rows(const Rows* t, const uint32_t* hashes, size_t count) noexcept nogil:
    """The same for rows, when the places are there."""
    cdef const Place* place
    cdef size_t each
    if t.places_bits > 0:
        for each in range(count):
            place = home_of(t, hashes[each])
            if place.row != 0:
                fetch_ahead(row_at(t, place.row))


cdef char* new_row(Rows* t, const void* key, uint32_t hash) noexcept nogil:
    """A row that is zero but for its key, which no other has; NULL if there is no room for it.

    Rows stay where they are until there is a new one.
    """
    cdef char* row
    if t.count == t.most or not make_room(&t.rows, t.row_size) or not has_place(t):
        return NULL
    row = t.rows.start + t.rows.size
    memset(row, 0, t.row_size)
    if t.mask != 0:
        memcpy(row, key, sizeof(uint64_t))  # of which the rest is zero
    else:
        memcpy(row, key, t.key_size)
    t.rows.size += t.row_size
    t.count += 1
    put_in_place(t, Place(t.count, hash))
    return row


cdef bint has_place(Rows* t) noexcept nogil:
    """Let there be two places for each row and one more; False if there is no memory."""
    cdef Buffer before = t.places
    cdef const Place* places = <const Place*> before.start
    cdef size_t number, size
    cdef uint8_t bits = t.places_bits + 1 if t.places_bits > 0 else FIRST_PLACES_BITS
    if t.places_bits > 0 and 2 * (<size_t> t.count + 1) <= <size_t> t.last_place + 1:
        return True
    size = sizeof(Place) << bits
    t.places = Buffer(NULL, 0, 0, NULL)
    if not make_room(&t.places, size):
        t.places = before
        return False
    memset(t.places.start, 0, size)
    t.places.size = size
    t.places_bits = bits
    t.last_place = (<size_t> 1 << bits) - 1
    for number in range(before.size // sizeof(Place)):
        if places[number].row != 0:
            put_in_place(t, places[number])
    release(&before)
    return True


cdef inline void put_in_place(Rows* t, Place place) noexcept nogil:
    """The row is found from now on."""
    cdef Place* places = <Place*> t.places.start
    cdef size_t at = place.hash >> (HASH_BITS - t.places_bits)
    while places[at].row != 0:
        at = (at + 1) & t.last_place
    places[at] = place


cdef void forget_rows(Rows* t) noexcept nogil:
    """Begin anew. What there was room for is kept, if it is not much."""
    if t.rows.capacity > KEPT:
        release(&t.rows)
    if t.places.capacity > KEPT:
        release(&t.places)
        t.places_bits = 0
    elif t.places_bits > 0:
        memset(t.places.start, 0, t.places.size)
    t.rows.size = t.count = 0


cdef void release_rows(Rows* t) noexcept nogil:
    release(&t.rows)
    release(&t.places)
    t.places_bits = 0
