"""A node's core count, where its parameters do not say it.

Two events hold a value whose size depends on the core count: ``Status`` a byte for each core, and
``DistributingAssurance`` a bit. All else in them is of a fixed size, so the length of a ``Status``
determines the core count, and that of a ``DistributingAssurance`` how many bytes the bits take,
which is all that is needed to read others like it. Nothing is taken from a length that would mean
no core or more than :data:`~.table.MAX_CORES`, or from one that contradicts what another event said
before: such an event cannot be read. What was learned stays.
"""

from __future__ import annotations

from .table import MAX_CORES, EventType

_BITS_OF_A_BYTE = 8


def believed(cores: int | None) -> int | None:
    """``cores``, None if there cannot be as many."""
    return cores if cores is not None and 1 <= cores <= MAX_CORES else None


def cores_by_length(event: EventType, size: int) -> int | None:
    """A core count by which the content of an ``event`` of ``size`` bytes can be read.

    For a bit for each core it is the largest of those, and they all give the same.
    """
    if not event.core_bits:
        return None
    return believed((size - event.size_without_cores) * _BITS_OF_A_BYTE // event.core_bits)


class CoreCount:
    """What is known of a node's core count: ``cores``, None until it is certain."""

    def __init__(self, told: int | None) -> None:
        self.cores = told
        self._bitfield_cores: int | None = None

    def of(self, event: EventType, size: int) -> int | None:
        """The core count to read an ``event`` by whose content has ``size`` bytes, if there is one.

        It may be learned from just that.
        """
        if self.cores is not None or not event.core_bits:
            return self.cores
        cores = cores_by_length(event, size)
        if event.core_bits == 1:
            if self._bitfield_cores is None:
                self._bitfield_cores = cores
            return self._bitfield_cores
        if cores is not None and self._bitfield_cores in (None, -(-cores // 8) * 8):
            self.cores = cores
        return self.cores
