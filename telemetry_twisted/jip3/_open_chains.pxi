# The chains of a connection that are open, found by the event ID of their roots. It grows from
# nothing. Part of _kernel.pyx.
#
# IDs count up, so nearly each chain is near: its number is in the place that the low bits of its ID
# tell, until another is opened whose ID has the same. It is then far: in a table by hash, since
# nodes can choose IDs.

cdef enum:
    NOWHERE = 0                 # the number of no chain
    FIRST_CHAINS = 4            # that there is room for at first
    FEW_CHAINS = 32             # that there may be room for although there are none
    NEAR_TO_EACH = 4            # places near for each chain, which are powers of two,
    MOST_NEAR = 2048            # up to so many
    NUMBER_BITS = 16            # of an age, below when it was touched; its order is above


cdef inline Chain* chain_at(const Chains* open, uint16_t number) noexcept nogil:
    """The chain with ``number``, from 1 on."""
    return <Chain*> open.chains.start + (number - 1)


cdef inline uint16_t number_of(const Chains* open, const Chain* chain) noexcept nogil:
    return (chain - <const Chain*> open.chains.start) + 1


cdef inline uint16_t* near_place(const Chains* open, uint64_t id) noexcept nogil:
    """Where the number of a chain is that is near. There are places."""
    return <uint16_t*> open.near.start + (id & open.last_near)


cdef inline Chain* find_chain(const Chains* open, uint64_t id) noexcept nogil:
    """The open chain whose root has ``id``, or NULL."""
    cdef uint16_t number
    cdef Chain* chain
    if open.count == 0:
        return NULL
    number = near_place(open, id)[0]
    if number != NOWHERE:
        chain = chain_at(open, number)
        if chain.id == id:
            return chain
    if open.far_count == 0:
        return NULL
    number = (<const uint16_t*> open.far.start)[far_place(open, id)]
    return NULL if number == NOWHERE else chain_at(open, number)


cdef Chain* new_chain(Chains* open, uint64_t id) noexcept nogil:
    """A chain that is zero but for its ``id``, which no other has; NULL if there is no memory."""
    cdef Chain* chain
    cdef uint16_t* near
    cdef uint16_t number = open.free
    if not has_room_for_chain(open):
        return NULL
    if number != NOWHERE:
        chain = chain_at(open, number)
        open.free = chain.next
    else:
        chain = <Chain*> (open.chains.start + open.chains.size)
        open.chains.size += sizeof(Chain)
        number = open.chains.size // sizeof(Chain)
    memset(chain, 0, sizeof(Chain))
    chain.id = id
    open.highest = max(open.highest, id)
    near = near_place(open, id)
    if near[0] != NOWHERE:
        put_far(open, near[0])
    near[0] = number
    open.count += 1
    return chain


cdef inline bint has_room_for_chain(Chains* open) noexcept nogil:
    """Let there be room for one more; False if there is no memory."""
    cdef size_t places = open.near.size // sizeof(uint16_t)
    if open.free == NOWHERE and open.chains.capacity - open.chains.size < sizeof(Chain):
        if not make_room(&open.chains, sizeof(Chain) * FIRST_CHAINS):
            return False
    if NEAR_TO_EACH * open.count >= places < MOST_NEAR and not has_more_near(open):
        return False
    # For what is near and has to make place.
    return 2 * (open.far_count + 1) <= open.far.size // sizeof(uint16_t) or has_more_far(open)


cdef bint has_more_near(Chains* open) noexcept nogil:
    """Let there be twice as many places near; False if there is no memory."""
    cdef Buffer before = open.near
    cdef const uint16_t* places = <const uint16_t*> before.start
    cdef size_t at
    open.near = Buffer(NULL, 0, 0, NULL)
    if not make_room(
        &open.near, max(2 * before.size, sizeof(uint16_t) * NEAR_TO_EACH * FIRST_CHAINS)
    ):
        open.near = before
        return False
    open.near.size = open.near.capacity
    open.last_near = open.near.size // sizeof(uint16_t) - 1
    memset(open.near.start, 0, open.near.size)
    for at in range(before.size // sizeof(uint16_t)):
        if places[at] != NOWHERE:
            near_place(open, chain_at(open, places[at]).id)[0] = places[at]
    release(&before)
    return True


cdef inline size_t far_home(const Chains* open, uint64_t id) noexcept nogil:
    """Where the number of a chain that is far is looked for first. There are places."""
    return id * open.seed >> open.far_shift


cdef inline size_t far_place(const Chains* open, uint64_t id) noexcept nogil:
    """Where the number of a chain that is far is, or the place for it. There are free places."""
    cdef const uint16_t* places = <const uint16_t*> open.far.start
    cdef size_t last = open.far.size // sizeof(uint16_t) - 1
    cdef size_t at = far_home(open, id)
    while places[at] != NOWHERE and chain_at(open, places[at]).id != id:
        at = (at + 1) & last
    return at


cdef void put_far(Chains* open, uint16_t number) noexcept nogil:
    """The chain has a place far from now on, where there is one for it."""
    cdef size_t at = far_place(open, chain_at(open, number).id)
    (<uint16_t*> open.far.start)[at] = number
    open.far_count += 1


cdef bint has_more_far(Chains* open) noexcept nogil:
    """Let there be twice as many places far; False if there is no memory."""
    cdef Buffer before = open.far
    cdef const uint16_t* places = <const uint16_t*> before.start
    cdef size_t at
    open.far = Buffer(NULL, 0, 0, NULL)
    if not make_room(&open.far, max(2 * before.size, FIRST_CHAINS * sizeof(uint16_t))):
        open.far = before
        return False
    open.far.size = open.far.capacity
    memset(open.far.start, 0, open.far.size)
    open.far_shift = 1 + leading_zeros(open.far.size // sizeof(uint16_t))
    open.far_count = 0
    for at in range(before.size // sizeof(uint16_t)):
        if places[at] != NOWHERE:
            put_far(open, places[at])
    release(&before)
    return True


cdef inline void free_chain(Chains* open, Chain* chain) noexcept nogil:
    """It is no more. It still says what it was, until another is opened."""
    cdef uint16_t number = number_of(open, chain)
    cdef uint16_t* near = near_place(open, chain.id)
    if near[0] == number:
        near[0] = NOWHERE
    else:
        take_from_far(open, chain)
    chain.touched = 0
    chain.next = open.free
    open.free = number
    open.count -= 1


cdef void take_from_far(Chains* open, const Chain* chain) noexcept nogil:
    """It has no place any more."""
    cdef uint16_t* places = <uint16_t*> open.far.start
    cdef size_t last = open.far.size // sizeof(uint16_t) - 1
    cdef size_t hole = far_place(open, chain.id)
    cdef size_t at = hole
    cdef size_t home
    # What was put further on, because this was taken, moves up.
    while True:
        at = (at + 1) & last
        if places[at] == NOWHERE:
            break
        home = far_home(open, chain_at(open, places[at]).id)
        if ((at - home) & last) >= ((at - hole) & last):
            places[hole] = places[at]
            hole = at
    places[hole] = NOWHERE
    open.far_count -= 1


cdef int by_age(const void* left, const void* right) noexcept nogil:
    cdef uint64_t first = (<const uint64_t*> left)[0]
    cdef uint64_t second = (<const uint64_t*> right)[0]
    return (first > second) - (first < second)


cdef bint list_ages(Chains* open, const int64_t* latest, int64_t* ahead) noexcept nogil:
    """List what is open, the longest untouched first; False if there is no memory.

    With ``latest``, which has a second for each order, only what was touched in that or before, and
    one order after the other; how far the oldest of the others is ``ahead`` of it is told, if it is
    less than what is there.
    """
    cdef const Chain* chain = <const Chain*> open.chains.start
    cdef size_t number
    cdef uint64_t age
    open.ages.size = open.oldest = 0
    if open.count == 0:
        return True
    if not make_room(&open.ages, sizeof(uint64_t) * open.count):
        return False
    for number in range(open.chains.size // sizeof(Chain)):
        if chain[number].touched == 0:
            continue
        age = chain[number].touched << NUMBER_BITS | (number + 1)
        if latest != NULL:
            if chain[number].second > latest[chain[number].order]:
                ahead[0] = min(ahead[0], chain[number].second - latest[chain[number].order])
                continue
            age |= <uint64_t> chain[number].order << 63
        append(&open.ages, &age, sizeof(age))
    qsort(open.ages.start, open.ages.size // sizeof(uint64_t), sizeof(uint64_t), by_age)
    return True


cdef Chain* next_by_age(Chains* open) noexcept nogil:
    """The next that was listed and is open and untouched since then; NULL if there is none."""
    cdef const uint64_t* ages = <const uint64_t*> open.ages.start
    cdef Chain* chain
    cdef uint64_t touched
    while open.oldest < open.ages.size // sizeof(uint64_t):
        chain = chain_at(open, <uint16_t> ages[open.oldest])
        touched = ages[open.oldest] << 1 >> (NUMBER_BITS + 1)
        open.oldest += 1
        if chain.touched == touched:
            return chain
    return NULL


cdef void release_chains(Chains* open) noexcept nogil:
    release(&open.chains)
    release(&open.near)
    release(&open.far)
    release(&open.ages)
    open.oldest = open.count = open.far_count = open.last_near = 0
    open.free = NOWHERE
