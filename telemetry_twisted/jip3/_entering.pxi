# What followers find is entered into the gatherer's rows: see gathering.py. Part of _kernel.pyx.

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


cdef void count_outcome(Follower f, uint8_t root, Outcome outcome, uint16_t core) noexcept:
    cdef uint64_t key = outcome_key(f.handle, root, outcome, core)
    cdef OutcomeRow* row = <OutcomeRow*> row_for(f, &f.gatherer._outcomes, key)
    if row != NULL:
        row.times = counted(row.times)


cdef void count_core(Follower f, uint8_t kind, uint16_t core) noexcept:
    cdef uint64_t key = core_key(f.handle, kind, core)
    cdef CoreRow* row = <CoreRow*> row_for(f, &f.gatherer._cores, key)
    if row != NULL:
        row.times = counted(row.times)


cdef void add_latency(Follower f, uint8_t latency, uint16_t core, uint64_t took) noexcept:
    cdef uint64_t key = latency_key(f.handle, latency, core, bin_of(took))
    cdef LatencyRow* row = <LatencyRow*> row_for(f, &f.gatherer._latencies, key)
    if row != NULL:
        row.times = counted(row.times)
        row.sum = summed(row.sum, took)


cdef void add_cost(
    Follower f, uint8_t phase, uint32_t service, uint16_t core, const uint8_t* cost
) noexcept:
    """Add what lies at ``cost``."""
    cdef uint64_t key = cost_key(f.network, phase, service, core)
    cdef const Leaves* leaves = &LEAVES[phase]
    cdef CostRow* row
    cdef uint64_t value
    cdef size_t each
    if f.network == NO_NETWORK:
        withhold(f, NO_ROW)
        return
    row = <CostRow*> row_for(f, &f.gatherer._costs, key)
    if row == NULL:
        return
    row.times = counted(row.times)
    for each in range(leaves.count):
        value = 0
        memcpy(&value, cost, leaves.sizes[each])
        row.sums[each] = summed(row.sums[each], value)
        cost += leaves.sizes[each]


cdef FetchRow* fetch_row_for(Follower f, uint8_t root, const void* erasure_root) noexcept:
    cdef Rows* rows = &f.gatherer._fetches
    cdef const Place* places = <const Place*> rows.places.start
    cdef uint64_t sum = f.network << 8 | root
    cdef uint32_t hash = hash_of_number(rows, sum + mixed_hash(rows.seeds + 1, erasure_root))
    cdef FetchRow* row
    cdef FetchKey key
    cdef size_t at
    if rows.places_bits > 0:
        at = hash >> (HASH_BITS - rows.places_bits)
        while places[at].row != 0:
            if places[at].hash == hash:
                row = <FetchRow*> row_at(rows, places[at].row)
                if (
                    row.key.root == root
                    and row.key.network == f.network
                    and same_hash(row.key.erasure_root, erasure_root)
                ):
                    return row
            at = (at + 1) & rows.last_place
    key.network = f.network
    key.root = root
    memcpy(key.erasure_root, erasure_root, HASH_BYTES)
    return <FetchRow*> row_made_for(f, rows, &key, hash)


cdef void count_fetch(
    Follower f, uint8_t root, const void* erasure_root, bint well, int64_t took
) noexcept:
    """A request has ended, ``well`` or not; it ``took`` so long, which is negative if unknown."""
    cdef FetchRow* row
    if f.network == NO_NETWORK:
        withhold(f, NO_ROW)
        return
    row = fetch_row_for(f, root, erasure_root)
    if row == NULL:
        return
    if row.succeeded == 0 and row.failed == 0:
        row.first = row.last = f.arrived
    row.succeeded += well
    row.failed += not well
    row.first = min(row.first, f.arrived)
    row.last = max(row.last, f.arrived)
    if took >= 0:
        row.sum = summed(row.sum, took)
        row.greatest = max(row.greatest, <uint64_t> took)


cdef AssuranceRow* assurance_row_for(
    Follower f, const uint8_t* anchor, const uint8_t* sender
) noexcept:
    cdef Rows* rows = &f.gatherer._assurances
    cdef const Place* places = <const Place*> rows.places.start
    cdef uint64_t sum = (
        f.network + mixed_hash(rows.seeds + 1, anchor) + mixed_hash(rows.seeds + 5, sender)
    )
    cdef uint32_t hash = hash_of_number(rows, sum)
    cdef AssuranceRow* row
    cdef AssuranceKey key
    cdef size_t at
    if rows.places_bits > 0:
        at = hash >> (HASH_BITS - rows.places_bits)
        while places[at].row != 0:
            if places[at].hash == hash:
                row = <AssuranceRow*> row_at(rows, places[at].row)
                if (
                    row.key.network == f.network
                    and same_hash(row.key.sender, sender)
                    and same_hash(row.key.anchor, anchor)
                ):
                    return row
            at = (at + 1) & rows.last_place
    if f.rows + 1 >= MOST_ROWS_OF_NODE:     # the receipt needs one as well
        withhold(f, NO_ROW)
        return NULL
    key.network = f.network
    memcpy(key.anchor, anchor, HASH_BYTES)
    memcpy(key.sender, sender, HASH_BYTES)
    return <AssuranceRow*> row_made_for(f, rows, &key, hash)


cdef void add_receipt(Follower f, const Event* event) noexcept:
    """The node received an assurance."""
    cdef Gatherer g = f.gatherer
    cdef AssuranceRow* row
    cdef NumberedReceipt receipt
    if (
        f.network == NO_NETWORK
        or f.rows >= MOST_ROWS_OF_NODE
        or g._receipts.size >= MOST_RECEIPTS * sizeof(NumberedReceipt)
    ):
        withhold(f, NO_ROW)
        return
    row = assurance_row_for(f, event.content + ANCHOR_AT, event.content + SENDER_AT)
    if row == NULL:
        return
    receipt.row = (<const char*> row - g._assurances.rows.start) // sizeof(AssuranceRow)
    receipt.receipt = Receipt(f.handle, COMMON_ERA + event.time)
    if (
        row.receipts >= MOST_RECEIPTS_OF_ONE
        or not append(&g._receipts, &receipt, sizeof(receipt))
    ):
        withhold(f, NO_ROW)
        return
    f.rows += 1
    row.receipts += 1


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
