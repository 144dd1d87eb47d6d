# What events mean to chains (_roles.py), and how costs are laid out. Part of _kernel.pyx.

cdef enum:
    MOST_TARGETS = 2        # as _roles.MOST_KINDS
    MOST_LATENCIES = 2      # as in _roles.py
    MOST_ITEMS = 16         # as in costs.py

cdef enum End:              # as _roles.End
    NOTHING, WELL, BADLY

cdef enum Begin:            # as _roles.Begin
    NOTHING_BEGINS, CHAIN, LINK

cdef enum Sight:            # as _roles.Sight
    OF_PACKAGES, ALWAYS, IF_NEW


cdef enum Way:              # as _roles.Way
    WHOLE, RECEIPT, QUIET, MEMBER, ROOT


cdef struct Stage:          # of a latency that ends
    uint8_t begin           # where the time is kept of what began it, from 1 on; 0 for no latency
    uint8_t latency         # its number


cdef struct Part:           # as _roles.PART packs it
    uint8_t root
    uint8_t end
    uint8_t kept            # where its time is kept, from 1 on; 0 for nowhere
    Stage[MOST_LATENCIES] latencies


cdef struct Role:           # as _roles.ROLE packs it
    uint8_t way             # that it is followed
    uint8_t reference_at    # in the content; 0 if it refers to nothing
    uint8_t begins
    uint8_t[MOST_TARGETS] targets
    uint8_t core_at
    uint8_t erasure_root_at
    uint8_t costs           # their phase, from 1 on; 0 for none
    uint8_t sight
    uint8_t fetches         # whether chains that it begins do
    uint8_t of_package      # whether chains that it begins are
    uint8_t quiet           # whether nothing is found in it but that it belongs to a chain
    Part[MOST_TARGETS] parts


cdef struct Leaves:         # of a cost
    size_t count
    size_t size             # of all
    uint8_t[MOST_LEAVES] sizes


cdef Role[TYPES] ROLES
cdef Leaves[PHASES] LEAVES
cdef size_t PREREQUISITES_AT        # in a package that was received
cdef size_t ITEM_BYTES              # of one of its items before the imports
cdef size_t HASH_BYTES = 32
cdef size_t IMPORT_BYTES = table.fixed_size(table.ImportSpec())


cdef int read_roles() except -1:
    cdef bytes packed = _roles.packed_roles()
    if len(packed) != sizeof(ROLES):
        raise ImportError(f"roles are {len(packed)} bytes, in the compiled kernel {sizeof(ROLES)}")
    memcpy(ROLES, PyBytes_AS_STRING(packed), sizeof(ROLES))
    for phase in observed.LEAVES:
        sizes = _roles.leaf_sizes(phase)
        LEAVES[phase].count = len(sizes)
        LEAVES[phase].size = sum(sizes)
        for index, size in enumerate(sizes):
            LEAVES[phase].sizes[index] = size
    return 0


read_roles()
PREREQUISITES_AT, ITEM_BYTES = _roles.places_in_package()
