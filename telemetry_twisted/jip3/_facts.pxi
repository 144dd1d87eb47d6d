# What a stream keeps beside the events: which facts are passed on (see thinning.py), and what the
# node said it dropped. Part of _kernel.pyx.

cdef size_t MOST_FACT_BYTES = thinning.MOST_FACT_BYTES
cdef int64_t FACTS_A_SECOND = thinning.FACTS_A_SECOND
cdef int64_t FACTS_AT_ONCE = thinning.FACTS_AT_ONCE
cdef int64_t STATES_A_SECOND = thinning.STATES_A_SECOND
cdef uint64_t MOST_DROPPED_EVENTS = MOST_DROPPED

cdef enum:
    STATUS = 10             # discriminators of states
    BEST_BLOCK = 11
    FINALIZED_BLOCK = 12
    SYNC_STATUS = 13
    BLOCK_SLOT = 9          # where the slot is in the content of a report of a block
    DROPPED_LAST = 9        # where the time of the last that a Dropped stands for is in its content
    DROPPED_NUM = 17        # where its num is


cdef inline bint is_report(int each) noexcept nogil:
    """Whether the allowance is that of a kind of block or of failures."""
    return each != STATUS - STATUS and each != SYNC_STATUS - STATUS


cdef inline int64_t at_once(int each) noexcept nogil:
    return FACTS_AT_ONCE if is_report(each) else STATES_A_SECOND


cdef void begin_thinning(Thinning* t) noexcept nogil:
    cdef int each
    t.second = 0
    for each in range(STATES):
        t.slots[each] = -1
    for each in range(ALLOWANCES):
        t.left[each] = at_once(each)


cdef void fill_allowances(Thinning* t, int64_t second) noexcept nogil:
    """It is another ``second`` than it was."""
    cdef int64_t seconds = min(max(second - t.second, 1), FACTS_AT_ONCE)
    cdef int64_t rate
    cdef int each
    for each in range(ALLOWANCES):
        rate = FACTS_A_SECOND if is_report(each) else STATES_A_SECOND
        t.left[each] = min(at_once(each), t.left[each] + seconds * rate)
    t.second = second


cdef inline bint passes(Thinning* t, Content content, uint8_t type) noexcept nogil:
    """Whether a fact is passed on; if it is a state, note that it is the newest if not."""
    cdef uint8_t each = type - STATUS if STATUS <= type <= SYNC_STATUS else STATES
    cdef uint32_t slot
    cdef bint passed = t.left[each] > 0
    if passed and (type == BEST_BLOCK or type == FINALIZED_BLOCK):
        memcpy(&slot, content + BLOCK_SLOT, 4)
        passed = t.slots[each] != slot
        if passed:
            t.slots[each] = slot
    t.left[each] -= passed
    if each < STATES:
        if passed:
            t.newest[each] = NULL
        else:
            t.newest[each] = content
    return passed


cdef void note_dropped(
    Lost* lost, Content content, uint64_t earliest, uint64_t latest
) noexcept nogil:
    """Add what a ``Dropped`` says, but for times of which one is off the clock."""
    cdef uint64_t first, last, num
    memcpy(&first, content, 8)
    memcpy(&last, content + DROPPED_LAST, 8)
    memcpy(&num, content + DROPPED_NUM, 8)
    lost.spans += 1
    lost.events += min(num, MOST_DROPPED_EVENTS - lost.events)
    if earliest <= first <= latest and earliest <= last <= latest:
        lost.first = min(lost.first, first)
        lost.last = max(lost.last, last)
        lost.dated = True


cdef object dropped_of(const Lost* lost):
    if lost.spans == 0:
        return None
    return Dropped(
        lost.events,
        lost.spans,
        lost.first if lost.dated else None,
        lost.last if lost.dated else None,
    )
