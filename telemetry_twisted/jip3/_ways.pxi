# Short ways through following for the most frequent kinds of events, since it takes a processor
# longer to find out what there is to do than to do it. They lead where the whole way does. Part of
# _kernel.pyx.

cdef inline void follow(Follower f, Machine* m, Event* event, uint64_t ids) noexcept:
    """The event was decoded and judged; it uses up so many ``ids``."""
    cdef uint8_t way = event.role.way
    cdef Chain* chain = event.chain
    cdef uint8_t kind = event.kind
    if way == RECEIPT:
        if event.dated:
            note_clock(f, event.time)
            add_receipt(f, event)
    elif way == ROOT and event.dated:
        note_clock(f, event.time)
        begin_chain(f, event)
        if event.chain == NULL:
            kind = UNTOLD
        else:
            learn_at_root(event)
    elif way == QUIET and chain != NULL and is_quiet(chain):
        if event.dated:
            note_clock(f, event.time)
        touch(f, chain)
    elif way == MEMBER and chain != NULL and is_quiet(chain):
        if event.dated:
            note_clock(f, event.time)
        keep_time(f, event, part_of(event))
        if part_of(event).end == NOTHING:
            touch(f, chain)
        else:
            finish(f, event, part_of(event).end == WELL)
    else:
        follow_wholly(f, m, event, ids)
        return
    note_kind(&f.past, event.id, kind)


cdef inline void learn_at_root(const Event* event) noexcept:
    """What its chain learns from the event that it begins with, which is dated."""
    cdef const Role* role = event.role
    cdef Chain* chain = event.chain
    cdef uint8_t kept = role.parts[0].kept
    if kept != 0:
        chain.seen = 1 << kept
        chain.times[kept - 1] = event.time
    if role.fetches and role.erasure_root_at != 0:
        memcpy(&chain.times[1], event.content + role.erasure_root_at, HASH_BYTES)
        chain.fetches = True
