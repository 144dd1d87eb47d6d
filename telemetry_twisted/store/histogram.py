"""Histograms of delays that can be added up: what percentiles over merged windows come from."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence

BOUNDS: tuple[int, ...] = tuple(sorted({round(1000 * 2 ** (step / 4)) for step in range(-8, 72)}))
"""Upper bounds of the bins in microseconds, four to an octave: from 0.25 ms to over three minutes.

What is above the last bound is in one more bin. A percentile is off by at most 19 %.
"""


class Histogram:
    """How many delays fell into each bin."""

    def __init__(self, bins: Sequence[int] = ()) -> None:
        self._bins = array("I", bins or bytes(4 * (len(BOUNDS) + 1)))

    @classmethod
    def decode(cls, encoded: bytes) -> Histogram:
        """The histogram that :meth:`encode` made ``encoded`` of."""
        histogram = cls()
        for at in range(0, len(encoded), 5):
            histogram._bins[encoded[at]] = int.from_bytes(encoded[at + 1 : at + 5], "little")
        return histogram

    def encode(self) -> bytes:
        """The bins that are not empty: a byte for which one, and a u32 for how many."""
        return b"".join(
            bytes((index,)) + count.to_bytes(4, "little")
            for index, count in enumerate(self._bins)
            if count
        )

    def add(self, delays: Iterable[int]) -> None:
        """Count ``delays``, in microseconds."""
        for delay in delays:
            self._bins[bisect_left(BOUNDS, delay)] += 1

    def update(self, other: Histogram) -> None:
        """Add the counts of ``other``."""
        for index, count in enumerate(other._bins):
            self._bins[index] += count

    @property
    def total(self) -> int:
        """How many delays were counted."""
        return sum(self._bins)

    def percentile(self, share: float) -> int | None:
        """A delay in microseconds that ``share`` (0 to 1) of all do not exceed; None if none."""
        wanted = share * self.total
        seen = 0
        for index, count in enumerate(self._bins):
            seen += count
            if count and seen >= wanted:
                return BOUNDS[min(index, len(BOUNDS) - 1)]
        return None
