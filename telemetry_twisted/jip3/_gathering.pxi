# What a process has found by following chains, since that was last taken. Part of _kernel.pyx.

cdef uint32_t MOST_ROWS = gathering.MOST_ROWS

cdef enum:
    SECTION_HEAD = 5            # bytes: kind and size
    SECTIONS = 10


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
        cdef list followers = list(self._followers)
        cdef Buffer body = Buffer(NULL, 0, 0, NULL)
        cdef size_t rows
        cdef Follower f
        for f in followers:
            expire(f, second)
        for f in followers:
            tell_clock(f)
            f.rows = 0
        rows = self._size_of_rows()
        if rows == 0:
            return b""
        # One object, which is written to once: there may be megabytes of it.
        if not begin_bytes(&body, sizeof(head) + len(packed) + rows + SECTIONS * SECTION_HEAD):
            raise MemoryError
        append(&body, head, sizeof(head))
        put_section(&body, NETWORKS, PyBytes_AS_STRING(packed), len(packed))
        put_rows(&body, OUTCOMES, &self._outcomes.rows)
        put_rows(&body, LATENCIES, &self._latencies.rows)
        put_rows(&body, CORES, &self._cores.rows)
        self._put_costs(&body)
        put_rows(&body, CLOCKS, &self._clocks)
        put_rows(&body, SIGHTINGS, &self._sightings)
        put_rows(&body, FETCHES, &self._fetches.rows)
        if not self._put_assurances(&body):
            release(&body)
            raise MemoryError
        if self._withheld.count > 0:
            qsort(self._withheld.rows.start, self._withheld.count, sizeof(WithheldRow), by_node)
        put_rows(&body, WITHHELD, &self._withheld.rows)
        self._forget()
        return end_bytes(&body)

    cdef size_t _size_of_rows(self) noexcept:
        """The most that all of them take."""
        return (
            self._outcomes.rows.size + self._latencies.rows.size + self._cores.rows.size
            + self._costs.rows.size + self._clocks.size + self._sightings.size
            + self._fetches.rows.size + self._assurances.rows.size + self._receipts.size
            + self._withheld.rows.size
        )

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

    cdef void _put_costs(self, Buffer* body) noexcept:
        """The rows of costs, each with as many sums as there are in its phase."""
        cdef const CostRow* row = <const CostRow*> self._costs.rows.start
        cdef size_t begin = begin_section(body, COSTS)
        cdef size_t number, unused
        for number in range(self._costs.count):
            unused = MOST_LEAVES - LEAVES[row[number].phase].count
            append(body, row + number, sizeof(CostRow) - sizeof(uint64_t) * unused)
        end_section(body, begin)

    cdef bint _put_assurances(self, Buffer* body) noexcept:
        """The rows of assurances, each with its receipts in the order in which they came.

        False if there is no memory to put them in order.
        """
        cdef AssuranceRow* row = <AssuranceRow*> self._assurances.rows.start
        cdef const NumberedReceipt* receipt = <const NumberedReceipt*> self._receipts.start
        cdef size_t begin = begin_section(body, ASSURANCES)
        cdef Buffer ends = Buffer(NULL, 0, 0, NULL)
        cdef char** end
        cdef size_t number
        if not make_room(&ends, sizeof(char*) * self._assurances.count):
            return False
        end = <char**> ends.start
        for number in range(self._assurances.count):
            append(body, row + number, sizeof(AssuranceRow))
            end[number] = body.start + body.size
            body.size += sizeof(Receipt) * row[number].receipts
        for number in range(self._receipts.size // sizeof(NumberedReceipt)):
            memcpy(end[receipt[number].row], &receipt[number].receipt, sizeof(Receipt))
            end[receipt[number].row] += sizeof(Receipt)
        release(&ends)
        end_section(body, begin)
        return True

    def __sizeof__(self):
        return (
            object.__sizeof__(self) + size_of(&self._outcomes) + size_of(&self._latencies)
            + size_of(&self._cores) + size_of(&self._costs) + self._clocks.capacity
            + size_of(&self._fetches) + size_of(&self._assurances) + size_of(&self._withheld)
            + self._sightings.capacity + self._receipts.capacity
        )


cdef int by_node(const void* left, const void* right) noexcept nogil:
    """Compare what is withheld: by handle, then by what it is."""
    cdef uint32_t first = withheld_order(<const WithheldRow*> left)
    cdef uint32_t second = withheld_order(<const WithheldRow*> right)
    return (first > second) - (first < second)


cdef inline uint32_t withheld_order(const WithheldRow* row) noexcept nogil:
    return row.key[1] << 16 | row.key[0] << 8 | row.key[2]


cdef size_t begin_section(Buffer* body, Section kind) noexcept:
    """Put the head of a section, for which there is room; where its content begins."""
    cdef uint8_t number = kind
    append(body, &number, sizeof(number))
    body.size += sizeof(uint32_t)
    return body.size


cdef void end_section(Buffer* body, size_t begin) noexcept:
    """The section that began there has all its content. One without any is left out."""
    cdef uint32_t size = body.size - begin
    if size == 0:
        body.size = begin - SECTION_HEAD
    else:
        memcpy(body.start + begin - sizeof(size), &size, sizeof(size))


cdef void put_section(Buffer* body, Section kind, const void* content, size_t size) noexcept:
    cdef size_t begin
    if size > 0:
        begin = begin_section(body, kind)
        append(body, content, size)
        end_section(body, begin)


cdef void put_rows(Buffer* body, Section kind, const Buffer* rows) noexcept:
    put_section(body, kind, rows.start, rows.size)


cdef void forget(Buffer* buffer) noexcept:
    """Empty it. It does not hold on to much memory."""
    buffer.size = 0
    if buffer.capacity > KEPT:
        release(buffer)


cdef size_t size_of(const Rows* rows) noexcept:
    return rows.rows.capacity + rows.places.capacity
