# What is noted of an event that was written. Part of _kernel.pyx.

cdef inline Reason note(
    Stream stream, Buffers into, Content content, size_t size, uint32_t length
) noexcept:
    """Note the type and ``length`` of an event that was written, and its message as a fact."""
    cdef uint8_t type = content[8]
    if not append(&into.types, &type, 1) or not append(&into.lengths, &length, sizeof(length)):
        return OUT_OF_MEMORY
    if stream._fact_types[type >> 3] & 1 << (type & 7) and size <= MOST_FACT_BYTES:
        if passes(&stream._thinning, content, type):
            if not append(&into.facts, content - LENGTH_BYTES, LENGTH_BYTES + size):
                return OUT_OF_MEMORY
    if type == DROPPED:
        note_dropped(&stream._lost, content, into.earliest, into.latest)
    return FINE
