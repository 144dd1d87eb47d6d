# The core count of a node that does not tell it: see cores.py. Part of _kernel.pyx.

cdef int64_t MAX_CORES = table.MAX_CORES


cdef void learn_cores(Stream stream, Machine* m, int64_t size) noexcept:
    """See :mod:`telemetry_twisted.jip3.cores`: what the length of the message tells."""
    cdef Trait trait = m.traits[m.content[8]]
    cdef int64_t dependent = size - trait.beside_cores
    if trait.core_bits == 8 and 1 <= dependent <= MAX_CORES:
        if m.bitfield_bytes == UNKNOWN_SIZE or m.bitfield_bytes == (dependent + 7) // 8:
            stream._core_bytes = m.core_bytes = dependent
            stream._bitfield_bytes = m.bitfield_bytes = (dependent + 7) // 8
    elif trait.core_bits == 1 and 1 <= dependent <= MAX_CORES // 8:
        if m.bitfield_bytes == UNKNOWN_SIZE:
            stream._bitfield_bytes = m.bitfield_bytes = dependent
