# The rows of observations, packed as observations.py says. Part of _kernel.pyx.
#
# What has a key of up to eight bytes is found by them as a number. Of rows that count the key is
# what comes before.

cdef enum Section:          # as observations.Section
    NETWORKS = 1
    OUTCOMES = 2
    LATENCIES = 3
    CORES = 4
    COSTS = 5
    CLOCKS = 6
    SIGHTINGS = 7
    FETCHES = 8
    ASSURANCES = 9
    WITHHELD = 10

cdef enum Outcome:          # as observed.Outcome
    SUCCESS, FAILURE, UNFINISHED, FORGOTTEN

cdef enum Phase:            # as observed.Phase
    AUTHORIZE, REFINE, ACCUMULATE, PHASES

cdef enum Withheld:         # as observed.Withheld
    NO_ALLOWANCE, TIME_BACKWARDS, ORPHANS, NO_ROW, NO_SERVICE

cdef enum:
    NO_CORE = 0xFFFF        # as in observed.py
    MOST_LEAVES = 19        # of a cost

cdef uint64_t MOST_SUM = observed.MOST_SUM


cdef packed struct OutcomeRow:
    uint8_t[6] key          # handle, root, outcome, core
    uint32_t times

cdef packed struct LatencyRow:
    uint8_t[7] key          # handle, latency, core, bin
    uint32_t times
    uint64_t sum

cdef packed struct CoreRow:
    uint8_t[5] key          # handle, type, core
    uint32_t times

cdef packed struct CostRow:
    uint8_t network
    uint8_t phase
    uint32_t service
    uint16_t core
    uint32_t times
    uint64_t[MOST_LEAVES] sums

cdef packed struct ClockRow:
    uint16_t handle
    int64_t least
    int64_t greatest

cdef packed struct FetchKey:
    uint8_t network
    uint8_t root
    uint8_t[32] erasure_root

cdef packed struct FetchRow:
    FetchKey key
    uint32_t succeeded
    uint32_t failed
    uint64_t first
    uint64_t last
    uint64_t sum
    uint64_t greatest

cdef packed struct AssuranceKey:
    uint8_t network
    uint8_t[32] anchor
    uint8_t[32] sender

cdef packed struct AssuranceRow:
    AssuranceKey key
    uint16_t receipts

cdef packed struct Receipt:
    uint16_t handle
    int64_t time

cdef packed struct SightingHead:
    uint16_t handle
    uint8_t root
    uint8_t top
    uint64_t event_id
    uint64_t root_id
    uint64_t top_id
    uint64_t arrived
    uint16_t size

cdef packed struct WithheldRow:
    uint8_t[3] key          # handle, what
    uint32_t times


cdef inline uint64_t outcome_key(
    uint16_t handle, uint8_t root, uint8_t outcome, uint16_t core
) noexcept nogil:
    return handle | <uint64_t> root << 16 | <uint64_t> outcome << 24 | <uint64_t> core << 32


cdef inline uint64_t latency_key(
    uint16_t handle, uint8_t latency, uint16_t core, uint16_t bin
) noexcept nogil:
    return handle | <uint64_t> latency << 16 | <uint64_t> core << 24 | <uint64_t> bin << 40


cdef inline uint64_t core_key(uint16_t handle, uint8_t type, uint16_t core) noexcept nogil:
    return handle | <uint64_t> type << 16 | <uint64_t> core << 24


cdef inline uint64_t cost_key(
    uint8_t network, uint8_t phase, uint32_t service, uint16_t core
) noexcept nogil:
    return network | <uint64_t> phase << 8 | <uint64_t> service << 16 | <uint64_t> core << 48


cdef inline uint64_t withheld_key(uint16_t handle, uint8_t what) noexcept nogil:
    return handle | <uint64_t> what << 16


cdef inline uint64_t summed(uint64_t sum, uint64_t more) noexcept nogil:
    """Sums stop at ``MOST_SUM``."""
    return sum + min(more, MOST_SUM - sum)


cdef inline uint32_t counted(uint32_t times) noexcept nogil:
    """One more; counts stop at the largest there is."""
    return times + (times < UINT32_MAX)


cdef inline uint16_t bin_of(uint64_t duration) noexcept nogil:
    """See :mod:`telemetry_twisted.jip3.bins`."""
    # Without a branch, since nobody can foresee it; of less than 16 the shift is 0 as of 16.
    cdef int shift = 59 - leading_zeros(duration | 16)
    return 16 * shift + (duration >> shift)
