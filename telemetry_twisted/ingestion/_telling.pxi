# What is told of connections after a turn. Part of _pool.pyx.

cdef struct Said:           # what will be a Told: where what it says ends
    uint64_t connection
    size_t facts
    size_t newest
    size_t faults


@final
@no_gc_clear
cdef class Telling:
    """Notes what the nodes of a turn say, and makes it objects when that is over.

    Facts and newest states are one after the other where the writer has put them, in ``into``.
    """

    cdef Buffers _into
    cdef Buffer _said
    cdef Said _last
    cdef Buffer _faults         # Counted, one after the other

    def __cinit__(self, Buffers into not None):
        self._into = into

    def __dealloc__(self):
        release(&self._said)
        release(&self._faults)

    cdef void begin_turn(self) noexcept:
        self._said.size = self._faults.size = 0
        self._last = Said(0, 0, 0, 0)

    cdef void begin_read(self) noexcept:
        """What is decoded from now on is noted next, if it is."""
        self._into.facts.size = self._last.facts
        self._into.newest.size = self._last.newest
        self._into.forget_faults()

    cdef bint note(self, uint64_t connection) noexcept:
        """Note what was decoded of ``connection``; False if there is no memory."""
        cdef Buffers into = self._into
        cdef Said said = Said(
            connection, into.facts.size, into.newest.size, self._last.faults + into.tally.size
        )
        if (
            said.facts == self._last.facts
            and said.newest == self._last.newest
            and said.faults == self._last.faults
        ):
            return True
        if into.tally.size > 0 and not append(&self._faults, into.tally.start, into.tally.size):
            return False
        if not append(&self._said, &said, sizeof(Said)):
            self._faults.size = self._last.faults
            return False
        self._last = said
        return True

    cdef list take(self):
        """What was noted, as :class:`~telemetry_twisted.ingestion.pool.Told`."""
        cdef Buffers into = self._into
        cdef Buffer said = self._said, faults = self._faults
        cdef Buffer facts = into.facts, newest = into.newest
        cdef Said begin = Said(0, 0, 0, 0)
        cdef Said end
        cdef list told
        cdef size_t number
        if said.size == 0:
            return []
        self._said = self._faults = into.facts = into.newest = Buffer(NULL, 0, 0, NULL)
        try:
            told = []
            for number in range(said.size // sizeof(Said)):
                end = (<Said*> said.start)[number]
                told.append(new_tuple(Told, (
                    end.connection,
                    PyBytes_FromStringAndSize(facts.start + begin.facts, end.facts - begin.facts),
                    PyBytes_FromStringAndSize(
                        newest.start + begin.newest, end.newest - begin.newest
                    ),
                    faults_of(
                        <const Counted*> (faults.start + begin.faults),
                        (end.faults - begin.faults) // sizeof(Counted),
                    ),
                )))
                begin = end
        finally:
            release(&said)
            release(&facts)
            release(&newest)
            release(&faults)
        return told
