# Short ways through following for the most frequent kinds of events, since it takes a processor
# longer to find out what there is to do than to do it. They lead where the whole way does. Part of
# _kernel.pyx.

cdef inline void go_on_following(Follower f, uint64_t event_id) noexcept:
    """What follows has IDs from this one on."""
    begin_noting(f)
    go_on_with_kinds(&f.past, event_id)


cdef inline bint follow_quickly(Follower f, Content content, uint64_t id) noexcept:
    """Follow an event in which nothing is wrong; False if it has to be followed wholly.

    It uses up one ID.
    """
    cdef uint8_t kind = content[8]
    cdef const Role* role = &ROLES[kind]
    cdef uint8_t way = role.way
    cdef Chain* chain
    cdef uint64_t time, referred
    memcpy(&time, content, sizeof(time))
    if way == WHOLE or time < f.earliest or time > f.latest:
        return False
    if way == RECEIPT:
        add_receipt(f, content)
    elif way == ROOT:
        if id <= f.open.highest or f.open.count - f.links >= MOST_OPEN:
            return False
        chain = new_chain(&f.open, id)
        if chain == NULL:
            return False
        chain.root = chain.top = kind
        chain.top_id = id
        chain.core = NO_CORE
        touch(f, chain)
        f.due = min(f.due, f.second + PATIENCE)
        keep_own_time(chain, &role.parts[0], time)
        if role.fetches and role.erasure_root_at != 0:
            keep_erasure_root(chain, content + role.erasure_root_at)
    else:
        memcpy(&referred, content + role.reference_at, sizeof(referred))
        if referred == id:
            return False
        chain = find_chain(&f.open, referred)
        if chain == NULL or not is_quiet(chain) or not is_target(role, chain.root):
            return False
        touch(f, chain)
        if way == MEMBER:
            be_member(f, content, role, chain, time)
    note_clock(f, time)
    note_kind(&f.past, id, kind)
    enter_if_many(f)
    return True


cdef inline void be_member(
    Follower f, Content content, const Role* role, Chain* chain, uint64_t time
) noexcept:
    """Find what there is in an event of the chain besides that it is."""
    cdef const Part* part = &role.parts[role.parts[0].root != chain.root]
    if role.erasure_root_at != 0 and ROLES[chain.root].fetches:
        keep_erasure_root(chain, content + role.erasure_root_at)
    end_latencies(f, chain, part, time)
    if part.end == NOTHING:
        keep_own_time(chain, part, time)
    else:
        finish(f, chain, time, True, part.end == WELL)
