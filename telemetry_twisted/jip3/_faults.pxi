# What is wrong with messages: counted while frames are decoded, objects afterwards.
# Part of _kernel.pyx.

cdef tuple REASONS = (
    None,
    values.CUT_SHORT,
    values.UNKNOWN_DISCRIMINATOR,
    values.BAD_BOOL,
    values.BAD_OPTION,
    values.BAD_ENUM,
    values.COUNT_TOO_LARGE,
    values.CORE_COUNT_UNKNOWN,
    values.CORE_COUNT_MISFIT,
    values.STRING_TOO_LONG,
    values.INVALID_UTF8,
    values.TRAILING_BYTES,
    values.TIME_OFF_CLOCK,
    values.UNIX_TIME,
    values.SLOT_AHEAD,
    open_chains.YET_TO_COME,
    open_chains.WRONG_TYPE,
    open_chains.HAS_ENDED,
    open_chains.NO_SUCH,
)

cdef object new_tuple = tuple.__new__   # skips the Python code in __new__ of a named tuple


cdef list faults_of(const Counted* counted, size_t number):
    """The ``number`` faults at ``counted`` as :class:`~telemetry_twisted.jip3.codec.Fault`.

    A new object may set off the garbage collector, and that any code: ``counted`` must be memory
    that only the caller knows.
    """
    cdef list result = []
    for _ in range(number):
        result.append(new_tuple(Fault, (
            VIOLATION if counted.finding.reason >= STRING_TOO_LONG else DECODE_ERROR,
            None if counted.discriminator == NO_DISCRIMINATOR else counted.discriminator,
            counted.finding.offset,
            REASONS[<int> counted.finding.reason],
            PyBytes_FromStringAndSize(counted.excerpt, counted.excerpt_size),
            counted.times,
        )))
        counted += 1
    return result


@final
@no_gc_clear
cdef class Buffers:
    """What streams write to, one stream at a time."""

    cdef int take_moment(self, object moment) except -1:
        """What follows was read at ``moment``."""
        self.moment = None
        (
            received, self.minute, self.earliest, self.latest, self.newest_slot, self.second,
            self.arrived,
        ) = moment
        self.closing = received + b'"},'
        self.moment = moment
        return 0

    cdef Reason add_up(self, Content content, size_t size) noexcept:
        """Add the findings of a message to the tally."""
        cdef const Finding* finding = <const Finding*> self.findings.start
        cdef Counted new
        cdef Counted* counted
        cdef uint16_t* place
        cdef size_t number
        new.discriminator = <uint32_t> content[8] if size >= HEAD_BYTES else NO_DISCRIMINATOR
        new.times = 0
        for number in range(self.findings.size // sizeof(Finding)):
            place = &self.places[<int> finding.reason][new.discriminator]
            if place[0] == 0:
                if not append(&self.tally, &new, sizeof(Counted)):
                    return OUT_OF_MEMORY
                place[0] = self.tally.size // sizeof(Counted)
            counted = <Counted*> self.tally.start + (place[0] - 1)
            counted.finding = finding[0]
            counted.times += 1
            counted.excerpt_size = min(size, <size_t> EXCERPT)
            memcpy(counted.excerpt, content, counted.excerpt_size)
            finding += 1
        self.findings.size = 0
        return FINE

    cdef void forget_faults(self) noexcept:
        """Begin another tally."""
        cdef const Counted* counted = <const Counted*> self.tally.start
        cdef size_t number
        for number in range(self.tally.size // sizeof(Counted)):
            self.places[<int> counted[number].finding.reason][counted[number].discriminator] = 0
        self.tally.size = 0

    cdef list take_faults(self):
        """The tally as objects; another one is begun."""
        cdef Buffer own = self.tally
        self.forget_faults()
        if own.size == 0:
            return []
        self.tally = Buffer(NULL, 0, 0, NULL)
        try:
            return faults_of(<const Counted*> own.start, own.size // sizeof(Counted))
        finally:
            release(&own)

    def __sizeof__(self):
        return (
            object.__sizeof__(self) + self.events.capacity + self.types.capacity
            + self.lengths.capacity + self.facts.capacity + self.newest.capacity
            + self.findings.capacity + self.tally.capacity
        )

    def __dealloc__(self):
        release(&self.events)
        release(&self.types)
        release(&self.lengths)
        release(&self.facts)
        release(&self.newest)
        release(&self.findings)
        release(&self.tally)
