# What is found in an event that is followed: see following.py. Part of _kernel.pyx.

cdef size_t MOST_SIGHT_BYTES = sights.MOST_BYTES
cdef size_t EXECUTED_BYTES = sights.EXECUTED_BYTES
cdef int64_t SIGHTS_AT_ONCE = sights.AT_ONCE
cdef int64_t SIGHTS_A_SECOND = sights.A_SECOND
cdef size_t SIGHT_PART_BYTES = sights.PART_BYTES
cdef size_t ANCHOR_AT = following.ANCHORS[following.ASSURANCE_RECEIVED]
cdef size_t SENDER_AT = following.SENDERS[following.ASSURANCE_RECEIVED]
cdef size_t COSTS_AT = _roles.COSTS_OFFSET
cdef size_t ANNOUNCED_HASH_AT = table.TABLE.events[sights.BLOCK_ANNOUNCED].offset_of("hash")

cdef enum:                  # discriminators
    BLOCK_EXECUTED = 47
    PACKAGE_RECEIVED = 94
    ASSURANCE_RECEIVED = 131

if (BLOCK_EXECUTED, PACKAGE_RECEIVED, ASSURANCE_RECEIVED) != (
    sights.BLOCK_EXECUTED, costs.PACKAGE_RECEIVED, following.ASSURANCE_RECEIVED
):
    raise ImportError("the compiled kernel does not know the events of blocks and packages")


cdef inline const Part* part_of(const Event* event) noexcept nogil:
    """What the event does in its chain."""
    cdef uint8_t root = event.chain.root
    return &event.role.parts[event.role.parts[0].root != root]


cdef void observe(Follower f, Machine* m, Event* event) noexcept:
    cdef const Role* role = event.role
    cdef Chain* chain = event.chain
    cdef const Part* part = NULL
    cdef uint16_t core = NO_CORE
    if role.core_at != 0:
        memcpy(&core, event.content + role.core_at, 2)
        if core >= f.cores:
            core = NO_CORE
    if chain != NULL:
        if role.core_at != 0:
            chain.core = core
        core = chain.core
        if event.kind == PACKAGE_RECEIVED:
            keep_services(f, m, chain)
        if role.erasure_root_at != 0 and ROLES[chain.root].fetches:
            keep_erasure_root(chain, event.content + role.erasure_root_at)
        part = part_of(event)
        keep_time(f, event, part)
    if core != NO_CORE:
        count_core(f, event.kind, core)
    if role.costs != 0:
        count_costs(f, m, event)
    if event.dated:
        if event.kind == ASSURANCE_RECEIVED:
            add_receipt(f, event.content)
        if role.sight != OF_PACKAGES or (chain != NULL and chain.order == LONG):
            see(f, m, event)
    if part != NULL and part.end != NOTHING:
        finish(f, event.chain, event.time, event.dated, part.end == WELL)


cdef inline void keep_time(Follower f, const Event* event, const Part* part) noexcept:
    """Observe what latencies end, and keep the time if others begin."""
    if event.dated:
        end_latencies(f, event.chain, part, event.time)
        keep_own_time(event.chain, part, event.time)
    elif part.kept != 0:
        event.chain.seen &= ~(1 << part.kept)


cdef inline void end_latencies(
    Follower f, const Chain* chain, const Part* part, uint64_t time
) noexcept:
    """Observe what latencies end at ``time``."""
    cdef uint64_t began
    cdef uint8_t begin
    cdef int each
    for each in range(MOST_LATENCIES):
        begin = part.latencies[each].begin
        if begin == 0:
            break
        if chain.seen >> begin & 1:
            began = chain.times[begin - 1]
            if time < began:
                withhold(f, TIME_BACKWARDS)
            else:
                add_latency(f, part.latencies[each].latency, chain.core, time - began)


cdef inline void keep_own_time(Chain* chain, const Part* part, uint64_t time) noexcept:
    """Keep ``time`` if latencies begin at it."""
    if part.kept != 0:
        chain.seen |= 1 << part.kept
        chain.times[part.kept - 1] = time


cdef inline void keep_erasure_root(Chain* chain, const uint8_t* erasure_root) noexcept:
    memcpy(&chain.times[1], erasure_root, HASH_BYTES)
    chain.fetches = True


cdef void count_costs(Follower f, Machine* m, const Event* event) noexcept:
    cdef int phase = event.role.costs - 1
    cdef const Chain* chain = event.chain
    cdef const Leaves* leaves = &LEAVES[phase]
    cdef uint16_t core = NO_CORE if chain == NULL else chain.core
    cdef uint64_t count = 1
    cdef uint64_t each
    cdef uint32_t service
    m.at = m.content + COSTS_AT
    if phase != AUTHORIZE:
        read_count(m, &count)
    for each in range(count):
        if phase == ACCUMULATE:
            memcpy(&service, m.at, sizeof(service))
            m.at += sizeof(service)
        elif chain != NULL and each < chain.services_known:
            service = services_at(f, chain.services).of[each]
        else:
            withhold(f, NO_SERVICE)
            m.at += leaves.size
            continue
        add_cost(f, phase, service, core, m.at)
        m.at += leaves.size


cdef void see(Follower f, const Machine* m, const Event* event) noexcept:
    """Tell the event, if it is one that is told and there is an allowance for it."""
    cdef const Chain* chain = event.chain
    cdef uint8_t slot_at = m.traits[event.kind].slot_at
    cdef size_t size = min(event.size, MOST_SIGHT_BYTES)
    cdef int64_t left
    cdef uint32_t slot
    cdef SightingHead head
    if slot_at != 0:
        memcpy(&slot, event.content + slot_at, sizeof(slot))
        if slot > f.newest_slot:
            return
    if event.role.sight == IF_NEW and not is_new(f, event.content + ANNOUNCED_HASH_AT):
        return
    if event.kind == BLOCK_EXECUTED:
        size = min(size, EXECUTED_BYTES)
    left = f.sights_left - 1 - <int64_t> (size // SIGHT_PART_BYTES)
    if left < (SIGHTS_AT_ONCE // 2 if chain != NULL and chain.id != chain.top_id else 0):
        withhold(f, NO_ALLOWANCE)
        return
    f.sights_left = left
    head.handle = f.handle
    head.event_id = event.id
    head.arrived = f.arrived
    head.size = size
    if chain != NULL:
        head.root = chain.root
        head.top = chain.top
        head.root_id = chain.id
        head.top_id = chain.top_id
    else:
        head.root = head.top = 0
        head.root_id = head.top_id = UINT64_MAX
    add_sighting(f, &head, event.content)


cdef bint is_new(Follower f, const uint8_t* hash) noexcept:
    """Whether it is none of the last new hashes."""
    cdef size_t each
    for each in range(f.hashes_known):
        if memcmp(f.hashes[each], hash, HASH_BYTES) == 0:
            return False
    memcpy(f.hashes[f.next_hash], hash, HASH_BYTES)
    f.next_hash = (f.next_hash + 1) % NEW_HASHES
    f.hashes_known += f.hashes_known < NEW_HASHES
    return True


cdef inline void finish(
    Follower f, Chain* chain, uint64_t time, bint dated, bint well
) noexcept:
    """Its last event ends the chain."""
    cdef int64_t took = -1
    close_chain(f, chain, SUCCESS if well else FAILURE)
    if chain.fetches:
        if well and dated and chain.seen >> 1 & 1 and time >= chain.times[0]:
            took = time - chain.times[0]
        count_fetch(f, chain.root, &chain.times[1], well, took)
