# What is entered into rows whose keys have hashes: fetches by erasure root, and receipts of assurances
# by anchor and sender. Part of _kernel.pyx.

cdef inline uint32_t hash_of_fetch(
    const Rows* rows, uint8_t network, uint8_t root, const void* erasure_root
) noexcept nogil:
    cdef uint64_t sum = network << 8 | root
    return hash_of_number(rows, sum + mixed_hash(rows.seeds + 1, erasure_root))


cdef inline FetchRow* fetch_row_for(
    Follower f, uint8_t root, const void* erasure_root, uint32_t hash
) noexcept:
    cdef Rows* rows = &f.gatherer._fetches
    cdef const Place* places = <const Place*> rows.places.start
    cdef FetchRow* row
    cdef FetchKey key
    cdef size_t at
    if rows.places_bits > 0:
        at = home_of(rows, hash) - places
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


cdef inline void count_fetch(
    Follower f, uint8_t root, const void* erasure_root, bint well, int64_t took
) noexcept:
    """A request has ended, ``well`` or not; it ``took`` so long, which is negative if unknown."""
    cdef Noted* noted = &f.gatherer._noted
    cdef NotedFetch* fetch = &noted.fetches[noted.fetches_count]
    memcpy(fetch.erasure_root, erasure_root, HASH_BYTES)
    fetch.took = took
    fetch.root = root
    fetch.well = well
    noted.fetches_count += 1
    noted.count += 1


cdef void enter_fetches(Follower f, const Noted* noted) noexcept:
    cdef const Rows* rows = &f.gatherer._fetches
    cdef const NotedFetch* fetch = &noted.fetches[0]
    cdef uint32_t[MOST_NOTED + MORE_NOTED] hashes
    cdef FetchRow* row
    cdef size_t each
    for each in range(noted.fetches_count):
        if f.network == NO_NETWORK:
            withhold(f, NO_ROW)
        else:
            hashes[each] = hash_of_fetch(
                rows, f.network, fetch[each].root, fetch[each].erasure_root
            )
    if f.network == NO_NETWORK:
        return
    fetch_places(rows, hashes, noted.fetches_count)
    fetch_rows(rows, hashes, noted.fetches_count)
    for each in range(noted.fetches_count):
        row = fetch_row_for(f, fetch[each].root, fetch[each].erasure_root, hashes[each])
        if row == NULL:
            continue
        if row.succeeded == 0 and row.failed == 0:
            row.first = row.last = f.arrived
        row.succeeded += fetch[each].well
        row.failed += not fetch[each].well
        row.first = min(row.first, f.arrived)
        row.last = max(row.last, f.arrived)
        if fetch[each].took >= 0:
            row.sum = summed(row.sum, fetch[each].took)
            row.greatest = max(row.greatest, <uint64_t> fetch[each].took)


cdef inline uint32_t hash_of_assurance(
    const Rows* rows, uint8_t network, const uint8_t* anchor, const uint8_t* sender
) noexcept nogil:
    cdef uint64_t mixed = mixed_hash(rows.seeds + 1, anchor) + mixed_hash(rows.seeds + 5, sender)
    return hash_of_number(rows, network + mixed)


cdef inline AssuranceRow* assurance_row_for(
    Follower f, Rows* rows, const uint8_t* anchor, const uint8_t* sender, uint32_t hash
) noexcept:
    cdef const Place* places = <const Place*> rows.places.start
    cdef AssuranceRow* row
    cdef AssuranceKey key
    cdef size_t at
    if rows.places_bits > 0:
        at = home_of(rows, hash) - places
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
        return NULL
    key.network = f.network
    memcpy(key.anchor, anchor, HASH_BYTES)
    memcpy(key.sender, sender, HASH_BYTES)
    row = <AssuranceRow*> new_row(rows, &key, hash)
    if row != NULL:
        f.rows += 1
    return row


cdef inline void add_receipt(Follower f, Content content) noexcept:
    """The node received an assurance."""
    cdef Noted* noted = &f.gatherer._noted
    noted.receipts[noted.receipts_count] = content
    noted.receipts_count += 1
    noted.count += 1


cdef void enter_receipts(Follower f, const Noted* noted) noexcept:
    cdef Rows* rows = &f.gatherer._assurances
    cdef uint32_t[MOST_NOTED + MORE_NOTED] hashes
    cdef Content content
    cdef size_t each
    for each in range(noted.receipts_count):
        content = noted.receipts[each]
        hashes[each] = hash_of_assurance(
            rows, f.network, content + ANCHOR_AT, content + SENDER_AT
        )
    fetch_places(rows, hashes, noted.receipts_count)
    fetch_rows(rows, hashes, noted.receipts_count)
    for each in range(noted.receipts_count):
        if not enter_receipt(
            f, rows, &f.gatherer._receipts, noted.receipts[each], hashes[each]
        ):
            withhold(f, NO_ROW)


cdef inline bint enter_receipt(
    Follower f, Rows* rows, Buffer* receipts, Content content, uint32_t hash
) noexcept:
    """False if there is no row for it, or no room."""
    cdef AssuranceRow* row
    cdef NumberedReceipt receipt
    cdef uint64_t time
    if (
        f.network == NO_NETWORK
        or f.rows >= MOST_ROWS_OF_NODE
        or receipts.size >= MOST_RECEIPTS * sizeof(NumberedReceipt)
    ):
        return False
    row = assurance_row_for(f, rows, content + ANCHOR_AT, content + SENDER_AT, hash)
    if row == NULL or row.receipts >= MOST_RECEIPTS_OF_ONE:
        return False
    memcpy(&time, content, sizeof(time))
    receipt.row = (<const char*> row - rows.rows.start) // sizeof(AssuranceRow)
    receipt.receipt = Receipt(f.handle, COMMON_ERA + time)
    if not append(receipts, &receipt, sizeof(receipt)):
        return False
    f.rows += 1
    row.receipts += 1
    return True
