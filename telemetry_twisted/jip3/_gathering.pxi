# What a process has found by following chains, since that was last taken. Part of _kernel.pyx.

cdef uint32_t MOST_ROWS = gathering.MOST_ROWS

cdef packed struct NumberedReceipt:
    uint32_t row                # of the assurance, from 0 on
    Receipt receipt


@final
@no_gc_clear
cdef class Gatherer:
    """See :class:`telemetry_twisted.jip3.gathering.Gatherer`."""

    def __cinit__(self):
        random = os.urandom(sizeof(self._seeds))
        memcpy(self._seeds, PyBytes_AS_STRING(random), sizeof(self._seeds))
        self._followers = {}
        self._begin(&self._outcomes, 6, sizeof(OutcomeRow))
        self._begin(&self._latencies, 7, sizeof(LatencyRow))
        self._begin(&self._cores, 5, sizeof(CoreRow))
        self._begin(&self._costs, 8, sizeof(CostRow))
        self._begin(&self._fetches, sizeof(FetchKey), sizeof(FetchRow))
        self._begin(&self._assurances, sizeof(AssuranceKey), sizeof(AssuranceRow))
        self._begin(&self._withheld, 3, sizeof(WithheldRow))
        # There are at most as many as nodes and reasons.
        self._withheld.most = UINT32_MAX

    cdef void _begin(self, Rows* rows, uint32_t key_size, uint32_t row_size) noexcept:
        begin_rows(rows, key_size, row_size, MOST_ROWS, self._seeds)

    def __dealloc__(self):
        release_rows(&self._outcomes)
        release_rows(&self._latencies)
        release_rows(&self._cores)
        release_rows(&self._costs)
        release(&self._clocks)
        release_rows(&self._fetches)
        release_rows(&self._assurances)
        release_rows(&self._withheld)
        release(&self._sightings)
        release(&self._receipts)

    @property
    def followers(self):
        return list(self._followers)

    def take(self, uint64_t began, uint64_t ended, int64_t second, networks):
        cdef uint64_t[2] head = [began, ended]
        cdef bytes packed = b"".join(networks)
        cdef list parts = [PyBytes_FromStringAndSize(<const char*> head, sizeof(head))]
        cdef list followers = list(self._followers)
        cdef Follower f
        for f in followers:
            expire(f, second)
        for f in followers:
            tell_clock(f)
            f.rows = 0
        put_section(parts, NETWORKS, packed)
        without = len(parts)
        put_section(parts, OUTCOMES, bytes_of(&self._outcomes.rows))
        put_section(parts, LATENCIES, bytes_of(&self._latencies.rows))
        put_section(parts, CORES, bytes_of(&self._cores.rows))
        put_section(parts, COSTS, self._packed_costs())
        put_section(parts, CLOCKS, bytes_of(&self._clocks))
        put_section(parts, SIGHTINGS, bytes_of(&self._sightings))
        put_section(parts, FETCHES, bytes_of(&self._fetches.rows))
        put_section(parts, ASSURANCES, self._packed_assurances())
        put_section(parts, WITHHELD, bytes_of(&self._withheld.rows))
        body = b"".join(parts) if len(parts) > without else b""
        self._forget()
        return body

    cdef void _forget(self) noexcept:
        forget_rows(&self._outcomes)
        forget_rows(&self._latencies)
        forget_rows(&self._cores)
        forget_rows(&self._costs)
        forget(&self._clocks)
        forget_rows(&self._fetches)
        forget_rows(&self._assurances)
        forget_rows(&self._withheld)
        forget(&self._sightings)
        forget(&self._receipts)

    cdef bytes _packed_costs(self):
        """The rows of costs, each with as many sums as there are in its phase."""
        cdef Buffer packed = Buffer(NULL, 0, 0, NULL)
        cdef const CostRow* row = <const CostRow*> self._costs.rows.start
        cdef size_t number, unused
        if not make_room(&packed, self._costs.rows.size):
            raise MemoryError
        for number in range(self._costs.count):
            unused = MOST_LEAVES - LEAVES[row[number].phase].count
            append(&packed, row + number, sizeof(CostRow) - sizeof(uint64_t) * unused)
        try:
            return bytes_of(&packed)
        finally:
            release(&packed)

    cdef bytes _packed_assurances(self):
        """The rows of assurances, each with its receipts in the order in which they came."""
        cdef Buffer packed = Buffer(NULL, 0, 0, NULL)
        cdef Buffer ends = Buffer(NULL, 0, 0, NULL)
        cdef AssuranceRow* row = <AssuranceRow*> self._assurances.rows.start
        cdef const NumberedReceipt* receipt = <const NumberedReceipt*> self._receipts.start
        cdef size_t* end
        cdef size_t number, at = 0, count = self._receipts.size // sizeof(NumberedReceipt)
        if self._assurances.count == 0:
            return b""
        if not make_room(&ends, sizeof(size_t) * self._assurances.count) or not make_room(
            &packed, self._assurances.rows.size + sizeof(Receipt) * count
        ):
            release(&ends)
            raise MemoryError
        end = <size_t*> ends.start
        for number in range(self._assurances.count):
            memcpy(packed.start + at, row + number, sizeof(AssuranceRow))
            end[number] = at + sizeof(AssuranceRow)
            at = end[number] + sizeof(Receipt) * row[number].receipts
        packed.size = at
        for number in range(count):
            at = receipt[number].row
            memcpy(packed.start + end[at], &receipt[number].receipt, sizeof(Receipt))
            end[at] += sizeof(Receipt)
        try:
            return bytes_of(&packed)
        finally:
            release(&packed)
            release(&ends)

    def __sizeof__(self):
        return (
            object.__sizeof__(self) + size_of(&self._outcomes) + size_of(&self._latencies)
            + size_of(&self._cores) + size_of(&self._costs) + self._clocks.capacity
            + size_of(&self._fetches) + size_of(&self._assurances) + size_of(&self._withheld)
            + self._sightings.capacity + self._receipts.capacity
        )


cdef void put_section(list parts, Section kind, bytes packed) except *:
    cdef char[5] head
    cdef uint32_t size = len(packed)
    if size > 0:
        head[0] = kind
        memcpy(head + 1, &size, sizeof(size))
        parts.append(PyBytes_FromStringAndSize(head, sizeof(head)))
        parts.append(packed)


cdef bytes bytes_of(const Buffer* buffer):
    return PyBytes_FromStringAndSize(buffer.start, buffer.size)


cdef void forget(Buffer* buffer) noexcept:
    """Empty it. It does not hold on to much memory."""
    buffer.size = 0
    if buffer.capacity > KEPT:
        release(buffer)


cdef size_t size_of(const Rows* rows) noexcept:
    return rows.rows.capacity + rows.places.capacity
