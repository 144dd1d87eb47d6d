# The services of the items of work packages whose chains are open. Part of _kernel.pyx.

cdef struct Services:
    uint32_t[MOST_ITEMS] of     # each item; of what is free, the first is the number of the next


cdef inline Services* services_at(Follower f, uint16_t number) noexcept nogil:
    """Those with ``number``, from 1 on."""
    return <Services*> f.services.start + (number - 1)


cdef bint has_services(Follower f, Chain* chain) noexcept:
    """Let there be room for those of ``chain``; False if there is no memory."""
    if chain.services != NOWHERE:
        return True
    if f.free_services == NOWHERE:
        if not make_room(&f.services, sizeof(Services)):
            return False
        f.services.size += sizeof(Services)
        chain.services = f.services.size // sizeof(Services)
    else:
        chain.services = f.free_services
        f.free_services = services_at(f, chain.services).of[0]
    return True


cdef void free_services(Follower f, const Chain* chain) noexcept:
    """Those of ``chain`` are needed no more."""
    if chain.services != NOWHERE:
        services_at(f, chain.services).of[0] = f.free_services
        f.free_services = chain.services


cdef void release_services(Follower f) noexcept:
    """There are none that are needed."""
    release(&f.services)
    f.free_services = NOWHERE


cdef void keep_services(Follower f, Machine* m, Chain* chain) noexcept:
    """Keep those of the package that was received, as many as there is room for."""
    cdef uint64_t imports, items, item
    chain.services_known = 0
    m.at = m.content + PREREQUISITES_AT
    read_count(m, &items)
    m.at += HASH_BYTES * items
    read_count(m, &items)
    if items == 0 or not has_services(f, chain):
        return
    for item in range(min(items, <uint64_t> MOST_ITEMS)):
        memcpy(&services_at(f, chain.services).of[item], m.at, sizeof(uint32_t))
        m.at += ITEM_BYTES
        read_count(m, &imports)
        m.at += IMPORT_BYTES * imports + sizeof(uint16_t)
        chain.services_known += 1
