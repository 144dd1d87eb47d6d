# What followers find is entered into the gatherer's rows: see gathering.py. Part of _kernel.pyx.
#
# The most frequent of it is noted first, and entered when there is some of it or the read has been
# decoded, one section after the other: a processor then looks for several rows at once, and knows
# what comes next. The rows are the same, since each section has its own. Only where rows may run
# out, all is entered as it is found, so that those get none for which there is none in turn.

cdef uint32_t MOST_ROWS_OF_NODE = gathering.MOST_ROWS_OF_NODE
cdef size_t MOST_RECEIPTS = gathering.MOST_RECEIPTS
cdef uint16_t MOST_RECEIPTS_OF_ONE = gathering.MOST_RECEIPTS_OF_ONE
cdef size_t MOST_SIGHTING_BYTES = gathering.MOST_SIGHTING_BYTES
cdef uint8_t NO_NETWORK = gathering.NO_NETWORK


cdef void withhold(Follower f, Withheld what) noexcept:
    """Something of the node is not told."""
    cdef uint64_t key = withheld_key(f.handle, what)
    cdef Rows* rows = &f.gatherer._withheld
    cdef uint32_t hash = hash_of_number(rows, key)
    cdef WithheldRow* row = <WithheldRow*> row_with_number(rows, key, hash)
    if row == NULL:
        row = <WithheldRow*> new_row(rows, &key, hash)
    if row != NULL:
        row.times = counted(row.times)


cdef inline char* row_for(Follower f, Rows* rows, uint64_t key) noexcept:
    """The row of the key; NULL, which is counted, if there is none and none may be made."""
    cdef uint32_t hash = hash_of_number(rows, key)
    cdef char* row = row_with_number(rows, key, hash)
    return row_made_for(f, rows, &key, hash) if row == NULL else row


cdef char* row_made_for(Follower f, Rows* rows, const void* key, uint32_t hash) noexcept:
    cdef char* row = new_row(rows, key, hash) if f.rows < MOST_ROWS_OF_NODE else NULL
    if row == NULL:
        withhold(f, NO_ROW)
    else:
        f.rows += 1
    return row


cdef void begin_noting(Follower f) noexcept:
    """What is found is of this node from now on. Nothing is noted: find out how much may be."""
    cdef Gatherer g = f.gatherer
    cdef uint32_t most = MOST_NOTED + MORE_NOTED
    cdef bint enough = (
        f.rows + 2 * most <= MOST_ROWS_OF_NODE      # a receipt may need two
        and has_rows_for(&g._outcomes, most)
        and has_rows_for(&g._latencies, most)
        and has_rows_for(&g._cores, most)
        and has_rows_for(&g._fetches, most)
        and has_rows_for(&g._assurances, most)
    )
    g._noted.most = MOST_NOTED if enough else 0


cdef inline bint has_rows_for(const Rows* rows, uint32_t more) noexcept nogil:
    return rows.count + more <= rows.most


cdef inline void enter_if_many(Follower f) noexcept:
    """An event was followed: enter what was noted, if it is time to."""
    if f.gatherer._noted.count > f.gatherer._noted.most:
        enter_noted(f)


cdef void enter_noted(Follower f) noexcept:
    """Enter all that was noted."""
    cdef Noted* noted = &f.gatherer._noted
    if noted.count == 0:
        return
    enter_times(f, noted)
    enter_cores(f, noted)
    enter_receipts(f, noted)
    enter_outcomes(f, noted)
    enter_fetches(f, noted)
    noted.count = noted.times_count = noted.cores_count = noted.receipts_count = 0
    noted.outcomes_count = noted.fetches_count = 0
    begin_noting(f)


cdef inline void count_outcome(Follower f, uint8_t root, Outcome outcome, uint16_t core) noexcept:
    cdef Noted* noted = &f.gatherer._noted
    noted.outcomes[noted.outcomes_count] = outcome_key(f.handle, root, outcome, core)
    noted.outcomes_count += 1
    noted.count += 1


cdef void enter_outcomes(Follower f, const Noted* noted) noexcept:
    cdef OutcomeRow* row
    cdef size_t each
    for each in range(noted.outcomes_count):
        row = <OutcomeRow*> row_for(f, &f.gatherer._outcomes, noted.outcomes[each])
        if row != NULL:
            row.times = counted(row.times)


cdef inline void count_core(Follower f, uint8_t kind, uint16_t core) noexcept:
    cdef Noted* noted = &f.gatherer._noted
    noted.cores[noted.cores_count] = core_key(f.handle, kind, core)
    noted.cores_count += 1
    noted.count += 1


cdef void enter_cores(Follower f, const Noted* noted) noexcept:
    cdef CoreRow* row
    cdef size_t each
    for each in range(noted.cores_count):
        row = <CoreRow*> row_for(f, &f.gatherer._cores, noted.cores[each])
        if row != NULL:
            row.times = counted(row.times)


cdef inline void add_latency(Follower f, uint8_t latency, uint16_t core, uint64_t took) noexcept:
    cdef Noted* noted = &f.gatherer._noted
    cdef uint64_t key = latency_key(f.handle, latency, core, bin_of(took))
    noted.times[noted.times_count] = NotedTime(key, took)
    noted.times_count += 1
    noted.count += 1


cdef void enter_times(Follower f, const Noted* noted) noexcept:
    cdef Rows* rows = &f.gatherer._latencies
    cdef LatencyRow* row
    cdef uint32_t[MOST_NOTED + MORE_NOTED] hashes
    cdef size_t each
    for each in range(noted.times_count):
        hashes[each] = hash_of_number(rows, noted.times[each].key)
    fetch_places(rows, hashes, noted.times_count)
    fetch_rows(rows, hashes, noted.times_count)
    for each in range(noted.times_count):
        row = <LatencyRow*> row_for(f, rows, noted.times[each].key)
        if row != NULL:
            row.times = counted(row.times)
            row.sum = summed(row.sum, noted.times[each].took)


cdef void add_cost(
    Follower f, uint8_t phase, uint32_t service, uint16_t core, const uint8_t* cost
) noexcept:
    """Add what lies at ``cost``."""
    cdef uint64_t key = cost_key(f.network, phase, service, core)
    cdef const Leaves* leaves = &LEAVES[phase]
    cdef CostRow* row
    cdef uint64_t value
    cdef size_t each
    enter_noted(f)
    if f.network == NO_NETWORK:
        withhold(f, NO_ROW)
        return
    row = <CostRow*> row_for(f, &f.gatherer._costs, key)
    begin_noting(f)
    if row == NULL:
        return
    row.times = counted(row.times)
    for each in range(leaves.count):
        value = 0
        memcpy(&value, cost, leaves.sizes[each])
        row.sums[each] = summed(row.sums[each], value)
        cost += leaves.sizes[each]


cdef void add_sighting(Follower f, const SightingHead* head, Content content) noexcept:
    """Tell as many bytes of ``content`` as ``head`` says."""
    cdef Buffer* sightings = &f.gatherer._sightings
    cdef size_t size = sizeof(SightingHead) + head.size
    if sightings.size + size > MOST_SIGHTING_BYTES or not make_room(sightings, size):
        withhold(f, NO_ALLOWANCE)
        return
    append(sightings, head, sizeof(SightingHead))
    append(sightings, content, head.size)


cdef inline void note_clock(Follower f, uint64_t time) noexcept:
    """Something arrived whose own time is ``time``."""
    cdef int64_t late = f.arrived - (COMMON_ERA + time)
    if not f.clock_known:
        f.clock_known = True
        f.least = f.greatest = late
    f.least = min(f.least, late)
    f.greatest = max(f.greatest, late)


cdef void tell_clock(Follower f) noexcept:
    """Enter the node's clock, and begin anew."""
    cdef ClockRow row = ClockRow(f.handle, f.least, f.greatest)
    if f.clock_known:
        append(&f.gatherer._clocks, &row, sizeof(row))
        f.clock_known = False
