# Follows the chains of a connection. following.py says how and why. Part of _kernel.pyx.
#
# A reference is judged before anything else is done, so that if there is no memory for what is
# wrong with it the event can be decoded again. What else needs memory and gets none is counted as
# withheld, or is as if it had been forgotten.

cdef int64_t PATIENCE = open_chains.PATIENCE
cdef int64_t LONG_PATIENCE = open_chains.LONG_PATIENCE
cdef uint32_t MOST_OPEN = open_chains.MOST_OPEN
cdef uint64_t LATEST_TIME = following.LATEST_TIME
cdef uint8_t NO_SUCH_EVENT = past_kinds.NO_SUCH_EVENT
cdef uint8_t UNTOLD = past_kinds.UNTOLD


cdef struct Event:              # that is followed
    Content content
    size_t size
    const Role* role
    uint64_t id
    uint64_t time               # its own, if it is dated
    Chain* chain                # that it is in, or that the chain is inside whose root it is
    uint8_t kind
    bint dated                  # whether its time is on the clock
    bint orphan                 # whether it refers to what is not known
    Reason wrong                # with its reference


@final
@no_gc_clear
cdef class Follower:
    """See :class:`telemetry_twisted.jip3.following.Follower`."""

    def __cinit__(self, Gatherer gatherer not None, uint16_t handle, uint8_t network, cores):
        self.gatherer = gatherer
        self.handle = handle
        self.network = network
        self.cores = MAX_CORES if cores is None else min(cores, <int> NO_CORE)
        self.open.seed = gatherer._seeds[0] | 1
        self.sights_left = SIGHTS_AT_ONCE
        self.due = INT64_MAX
        if not begin_kinds(&self.past):
            raise MemoryError
        gatherer._followers[self] = None

    def __dealloc__(self):
        release_chains(&self.open)
        release(&self.past.ring)
        release(&self.services)

    def __sizeof__(self):
        return (
            object.__sizeof__(self) + self.open.chains.capacity + self.open.near.capacity
            + self.open.far.capacity + self.open.ages.capacity
            + self.past.ring.capacity + self.services.capacity
        )


cdef void begin_following(Follower f, Buffers into) noexcept:
    """What follows was read at the moment of ``into``."""
    cdef int64_t seconds
    f.arrived = into.arrived
    f.second = into.second
    f.earliest = into.earliest
    f.latest = min(into.latest, LATEST_TIME)
    f.newest_slot = into.newest_slot
    if f.sights_filled != into.second:
        seconds = min(max(into.second - f.sights_filled, 1), SIGHTS_AT_ONCE)
        f.sights_left = min(SIGHTS_AT_ONCE, f.sights_left + SIGHTS_A_SECOND * seconds)
        f.sights_filled = into.second


cdef inline Reason judge(Follower f, Machine* m, uint64_t event_id, Event* event) noexcept:
    """The message was decoded as this ``event``: judge its reference, before all else."""
    event.content = m.content
    event.size = m.end - m.content
    event.kind = m.content[8]
    event.role = &ROLES[event.kind]
    event.id = event_id
    memcpy(&event.time, m.content, 8)
    event.dated = f.earliest <= event.time <= f.latest
    event.chain = NULL
    event.orphan = False
    event.wrong = FINE
    if event.role.begins != NOTHING_BEGINS and event_id <= f.open.highest:
        free_id(f, event_id)
    if event.role.reference_at != 0:
        event.wrong = find_referred(f, event)
        if event.wrong != FINE:
            return find(m, m.content + event.role.reference_at, event.wrong)
    return FINE


cdef inline Reason find_referred(Follower f, Event* event) noexcept:
    """Find the chain that the event refers to; what is wrong with that, if anything is."""
    cdef const Role* role = event.role
    cdef const Chain* chain
    cdef uint64_t id
    cdef int past
    memcpy(&id, event.content + role.reference_at, 8)
    if id == event.id:
        return YET_TO_COME
    chain = find_chain(&f.open, id)
    if chain != NULL:
        if not is_target(role, chain.root):
            return WRONG_TYPE
        event.chain = chain_at(&f.open, chain.of) if chain.of != NOWHERE else <Chain*> chain
        return FINE
    past = kind_of(&f.past, id)
    if past == NO_SUCH_EVENT:
        return NO_SUCH
    if past == NOT_REMEMBERED and id >= event.id:
        return YET_TO_COME
    if past == NOT_REMEMBERED or past == UNTOLD:
        event.orphan = True
        return FINE
    return HAS_ENDED if is_target(role, past) else WRONG_TYPE


cdef inline bint is_target(const Role* role, uint8_t kind) noexcept nogil:
    return kind == role.targets[0] or kind == role.targets[1]


cdef void follow(Follower f, Machine* m, Event* event, uint64_t ids) noexcept:
    """The event was decoded and judged; it uses up so many ``ids``."""
    cdef const Role* role = event.role
    cdef bint nameable = event.kind != DROPPED
    if event.dated and event.kind != DROPPED:
        note_clock(f, event.time)
    if event.chain != NULL:
        touch(f, event.chain)
    elif event.orphan:
        withhold(f, ORPHANS)
    if role.begins == CHAIN:
        begin_chain(f, event)
        nameable = event.chain != NULL
    elif role.begins == LINK:
        nameable = event.chain != NULL and add_link(f, event)
    if role.quiet and (event.chain == NULL or is_quiet(event.chain)):
        pass
    elif event.wrong == FINE or role.begins == CHAIN:
        observe(f, m, event)
    if ids == 1:
        note_kind(&f.past, event.id, event.kind if nameable else UNTOLD)
    else:
        note_kinds(&f.past, event.id, ids, UNTOLD)
    enter_if_many(f)


cdef inline bint is_quiet(const Chain* chain) noexcept nogil:
    """Whether its events are neither counted by a core nor told for its sake."""
    return chain.core == NO_CORE and chain.order == SHORT


cdef inline void touch(Follower f, Chain* chain) noexcept:
    """Something was heard of it."""
    f.touches += 1
    chain.touched = f.touches
    chain.second = f.second


cdef void begin_chain(Follower f, Event* event) noexcept:
    """The event's chain is now the one whose root it is; NULL without memory."""
    cdef const Chain* parent = event.chain
    cdef Chain begun
    cdef Chain* chain
    begun.root = begun.top = event.kind
    begun.top_id = event.id
    begun.core = NO_CORE
    begun.order = LONG if event.role.of_package else SHORT
    if parent != NULL:
        begun.top = parent.top
        begun.top_id = parent.top_id
        begun.core = parent.core
        begun.order = parent.order
    if f.open.count - f.links >= MOST_OPEN:
        let_go(f, longest_untouched(f), FORGOTTEN)
    chain = event.chain = new_chain(&f.open, event.id)
    if chain == NULL:
        count_outcome(f, begun.root, FORGOTTEN, begun.core)
        enter_noted(f)
        return
    chain.root = begun.root
    chain.top = begun.top
    chain.top_id = begun.top_id
    chain.core = begun.core
    chain.order = begun.order
    touch(f, chain)
    f.due = min(f.due, f.second + PATIENCE)


cdef Chain* longest_untouched(Follower f) noexcept:
    """There is one. What is listed of them is good for as many, or until they are touched."""
    cdef Chain* chain = next_by_age(&f.open)
    if chain == NULL and list_ages(&f.open, NULL, NULL):
        chain = next_by_age(&f.open)
    if chain == NULL:   # there is no memory to find out
        chain = chain_at(&f.open, 1)
        while chain.touched == 0:
            chain += 1
    return chain


cdef bint add_link(Follower f, Event* event) noexcept:
    """What refers to the event is in its chain from now on; False if there is no memory."""
    cdef uint16_t number = number_of(&f.open, event.chain)
    cdef Chain* link = new_chain(&f.open, event.id)
    cdef Chain* chain = chain_at(&f.open, number)
    event.chain = chain
    if link == NULL:
        return False
    if chain.links[MOST_LINKS - 1] != NOWHERE:
        drop_link(f, chain_at(&f.open, chain.links[0]))
    link.root = event.kind
    link.of = number
    chain.links[chain.links[0] != NOWHERE] = number_of(&f.open, link)
    f.links += 1
    return True


cdef void drop_link(Follower f, Chain* link) noexcept:
    """What refers to it is an orphan from now on."""
    cdef Chain* chain = chain_at(&f.open, link.of)
    if chain.links[0] == number_of(&f.open, link):
        chain.links[0] = chain.links[1]
    chain.links[1] = NOWHERE
    forget_kind(&f.past, link.id)
    f.links -= 1
    free_chain(&f.open, link)


cdef void free_id(Follower f, uint64_t id) noexcept:
    """Another event has this ``id``: they have gone round."""
    cdef Chain* chain = find_chain(&f.open, id)
    if chain == NULL:
        return
    if chain.of != NOWHERE:
        drop_link(f, chain)
    else:
        let_go(f, chain, FORGOTTEN)


cdef void let_go(Follower f, Chain* chain, Outcome outcome) noexcept:
    """A chain that has not come to its end is open no more: what refers to it is an orphan."""
    forget_kind(&f.past, chain.id)
    while chain.links[0] != NOWHERE:
        drop_link(f, chain_at(&f.open, chain.links[0]))
    close_chain(f, chain, outcome)
    enter_noted(f)


cdef inline void close_chain(Follower f, Chain* chain, Outcome outcome) noexcept:
    """It is open no more. It still says what it was, until another is opened."""
    cdef int each
    for each in range(MOST_LINKS):
        if chain.links[each] != NOWHERE:
            f.links -= 1
            free_chain(&f.open, chain_at(&f.open, chain.links[each]))
    count_outcome(f, chain.root, outcome, chain.core)
    free_services(f, chain)
    free_chain(&f.open, chain)


cdef void expire(Follower f, int64_t second) noexcept:
    """It is ``second``: chains that have been untouched for too long are unfinished."""
    cdef int64_t[2] latest = [second - PATIENCE, second - LONG_PATIENCE]
    cdef int64_t ahead = INT64_MAX - second
    release(&f.open.ages)
    if second < f.due:
        return
    f.due = second + 1
    if let_go_until(f, latest, &ahead):
        f.due = second + ahead
    if f.open.count == 0 and f.open.chains.capacity > FEW_CHAINS * sizeof(Chain):
        release_chains(&f.open)
        release_services(f)


cdef bint let_go_until(Follower f, const int64_t* latest, int64_t* ahead) noexcept:
    """Let go of what was untouched since the second of its order; see ``list_ages``."""
    cdef Chain* chain
    if not list_ages(&f.open, latest, ahead):
        return False
    while True:
        chain = next_by_age(&f.open)
        if chain == NULL:
            break
        let_go(f, chain, UNFINISHED)
    release(&f.open.ages)
    return True


cdef void end_following(Follower f):
    """The connection is over: what is open is unfinished."""
    cdef int64_t[2] latest = [INT64_MAX, INT64_MAX]
    let_go_until(f, latest, NULL)
    tell_clock(f)
    del f.gatherer._followers[f]
