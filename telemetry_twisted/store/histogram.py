"""Histograms of delays that can be added up: what percentiles over merged windows come from."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import add

BOUNDS: tuple[int, ...] = tuple(sorted({round(1000 * 2 ** (step / 4)) for step in range(-8, 72)}))
"""Upper bounds of the bins in microseconds, four to an octave: from 0.25 ms to over three minutes.

What is above the last bound is in one more bin. A percentile is off by at most 19 %.
"""


_BIN = struct.Struct("<BI")


class Histogram:
    """How many delays fell into each bin."""

    def __init__(self, bins: Sequence[int] = ()) -> None:
        self._bins = array("I", bins or bytes(4 * (len(BOUNDS) + 1)))

    @classmethod
    def decode(cls, encoded: bytes) -> Histogram:
        """The histogram that :meth:`encode` made ``encoded`` of."""
        histogram = cls()
        histogram.add_encoded(encoded)
        return histogram

    def bins(self) -> Iterator[tuple[int, int]]:
        """The bins that are not empty: which one, at most the last of :data:`BOUNDS`, and how many
        delays."""
        top = len(BOUNDS) - 1
        return ((min(index, top), count) for index, count in enumerate(self._bins) if count)

    def encode(self) -> bytes:
        """The bins that are not empty: a byte for which one, and a u32 for how many."""
        return b"".join(_BIN.pack(index, count) for index, count in enumerate(self._bins) if count)

    def add_encoded(self, encoded: bytes) -> None:
        """Add the counts that :meth:`encode` made ``encoded`` of."""
        bins = self._bins
        for index, count in _BIN.iter_unpack(encoded):
            bins[index] += count

    def add(self, delays: Iterable[int]) -> None:
        """Count ``delays``, in microseconds."""
        for delay in delays:
            self._bins[bisect_left(BOUNDS, delay)] += 1

    def update(self, other: Histogram) -> None:
        """Add the counts of ``other``."""
        self._bins = array("I", map(add, self._bins, other._bins))

    @property
    def total(self) -> int:
        """How many delays were counted."""
        return sum(self._bins)

    def percentile(self, share: float) -> int | None:
        """A delay in microseconds that ``share`` (0 to 1) of all do not exceed; None if none."""
        (delay,) = self.percentiles([share])
        return delay

    def percentiles(self, shares: Iterable[float]) -> list[int | None]:
        """The :meth:`percentile` of each of ``shares``."""
        upto = list(accumulate(self._bins))
        if not upto[-1]:
            return [None for _ in shares]
        top = len(BOUNDS) - 1
        return [BOUNDS[min(bisect_left(upto, max(share * upto[-1], 1)), top)] for share in shares]
