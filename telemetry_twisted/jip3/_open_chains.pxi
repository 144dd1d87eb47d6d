# The chains of a connection that are open, found by the event ID of their roots and in the order of
# their last events. It grows from nothing. Part of _kernel.pyx.

cdef enum:
    NOWHERE = 0                 # the number of no chain
    FIRST_CHAINS = 4            # that there is room for at first
    FEW_CHAINS = 32             # that there may be room for although there are none


cdef inline Chain* chain_at(const Chains* open, uint16_t number) noexcept nogil:
    """The chain with ``number``, from 1 on."""
    return <Chain*> open.chains.start + (number - 1)


cdef inline uint16_t number_of(const Chains* open, const Chain* chain) noexcept nogil:
    return (chain - <const Chain*> open.chains.start) + 1


cdef inline size_t home_of(const Chains* open, uint64_t id) noexcept nogil:
    """Where the number of the chain is looked for first. There are places."""
    return id * open.seed >> open.places_shift


cdef inline size_t place_of(const Chains* open, uint64_t id) noexcept nogil:
    """Where the number of the chain is, or the place for it. There are free places."""
    cdef const uint16_t* places = <const uint16_t*> open.places.start
    cdef size_t last = open.places.size // sizeof(uint16_t) - 1
    cdef size_t at = home_of(open, id)
    while places[at] != NOWHERE and chain_at(open, places[at]).id != id:
        at = (at + 1) & last
    return at


cdef inline Chain* find_chain(const Chains* open, uint64_t id) noexcept nogil:
    """The open chain whose root has ``id``, or NULL."""
    cdef uint16_t number
    if open.count == 0:
        return NULL
    number = (<const uint16_t*> open.places.start)[place_of(open, id)]
    return NULL if number == NOWHERE else chain_at(open, number)


cdef Chain* new_chain(Chains* open, uint64_t id) noexcept nogil:
    """A chain that is zero but for its ``id``, which no other has; NULL if there is no memory."""
    cdef Chain* chain
    cdef uint16_t number
    if not has_room_for_chain(open):
        return NULL
    number = open.free
    if number != NOWHERE:
        chain = chain_at(open, number)
        open.free = chain.newer
    else:
        chain = <Chain*> (open.chains.start + open.chains.size)
        open.chains.size += sizeof(Chain)
        number = open.chains.size // sizeof(Chain)
    memset(chain, 0, sizeof(Chain))
    chain.id = id
    open.highest = max(open.highest, id)
    (<uint16_t*> open.places.start)[place_of(open, id)] = number
    open.count += 1
    return chain


cdef bint has_room_for_chain(Chains* open) noexcept nogil:
    """Let there be room for one more, and two places for each; False if there is no memory."""
    cdef uint16_t* places
    cdef size_t size, number
    cdef Buffer before = open.places
    if open.free == NOWHERE and not make_room(&open.chains, sizeof(Chain) * (
        1 if open.chains.size > 0 else FIRST_CHAINS
    )):
        return False
    size = before.size // sizeof(uint16_t)
    if 2 * (open.count + 1) <= size:
        return True
    open.places = Buffer(NULL, 0, 0, NULL)
    if not make_room(&open.places, max(2 * before.size, 2 * FIRST_CHAINS * sizeof(uint16_t))):
        open.places = before
        return False
    open.places.size = open.places.capacity
    open.places_shift = 64
    size = open.places.size // sizeof(uint16_t)
    while size > 1:
        open.places_shift -= 1
        size >>= 1
    size = before.size // sizeof(uint16_t)
    memset(open.places.start, 0, open.places.size)
    places = <uint16_t*> before.start
    for number in range(size):
        if places[number] != NOWHERE:
            (<uint16_t*> open.places.start)[
                place_of(open, chain_at(open, places[number]).id)
            ] = places[number]
    release(&before)
    return True


cdef void free_chain(Chains* open, Chain* chain) noexcept nogil:
    """It is no more, and in no order any more."""
    cdef uint16_t* places = <uint16_t*> open.places.start
    cdef size_t last = open.places.size // sizeof(uint16_t) - 1
    cdef size_t hole = place_of(open, chain.id)
    cdef size_t at = hole
    cdef size_t home
    chain.newer = open.free
    open.free = places[hole]
    open.count -= 1
    # What was put further on, because this was taken, moves up.
    while True:
        at = (at + 1) & last
        if places[at] == NOWHERE:
            break
        home = home_of(open, chain_at(open, places[at]).id)
        if ((at - home) & last) >= ((at - hole) & last):
            places[hole] = places[at]
            hole = at
    places[hole] = NOWHERE


cdef inline void append_newest(Chains* open, Chain* chain) noexcept nogil:
    """It is the newest of its order."""
    cdef Order* order = &open.orders[chain.order]
    cdef uint16_t number = number_of(open, chain)
    chain.newer = NOWHERE
    chain.older = order.newest
    if order.newest == NOWHERE:
        order.oldest = number
    else:
        chain_at(open, order.newest).newer = number
    order.newest = number


cdef inline void take_out(Chains* open, Chain* chain) noexcept nogil:
    """It is in its order no more."""
    cdef Order* order = &open.orders[chain.order]
    if chain.older == NOWHERE:
        order.oldest = chain.newer
    else:
        chain_at(open, chain.older).newer = chain.newer
    if chain.newer == NOWHERE:
        order.newest = chain.older
    else:
        chain_at(open, chain.newer).older = chain.older


cdef void release_chains(Chains* open) noexcept nogil:
    release(&open.chains)
    release(&open.places)
    open.count = 0
    open.free = NOWHERE
    memset(open.orders, 0, sizeof(open.orders))
