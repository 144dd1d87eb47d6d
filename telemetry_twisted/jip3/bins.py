"""The bins of all histograms of durations: fine enough that every percentile is within 5 %.

Durations are in microseconds. Up to 16 each has a bin of its own; from there on every octave has 16
bins of equal width, so that a bin is at most a sixteenth as wide as what is in it is long, and its
middle is at most 3.1 % off. They reach as far as a u64. Counts by bin can be added up, over
windows, nodes and cores. The bin of a duration is a matter of shifts, the same in any language.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from math import ceil, isqrt

PER_OCTAVE = 16
"""Bins for all durations from a power of two (16 or more) to the next."""

BINS = 976
"""How many there are: they are numbered from 0 to this less one."""

_WHOLE_BITS = PER_OCTAVE.bit_length()
_LONGEST = 2**64 - 1


def bin_of(duration: int) -> int:
    """The number of the bin of ``duration``, from 0 to 2^64 - 1 microseconds.

    :raises ValueError: if it is negative, or larger.
    """
    if not 0 <= duration <= _LONGEST:
        raise ValueError(f"a duration is between 0 and 2^64 - 1 microseconds, not {duration}")
    shift = max(duration.bit_length() - _WHOLE_BITS, 0)
    return shift * PER_OCTAVE + (duration >> shift)


def bounds(bin: int) -> tuple[int, int]:
    """The shortest duration of a ``bin``, and the shortest one that is longer than all of it.

    :raises ValueError: if there is no such bin.
    """
    if not 0 <= bin < BINS:
        raise ValueError(f"bins are numbered from 0 to {BINS - 1}, there is no {bin}")
    shift = max(bin // PER_OCTAVE - 1, 0)
    lower = (bin - shift * PER_OCTAVE) << shift
    return lower, lower + (1 << shift)


@lru_cache(maxsize=BINS)
def middle(bin: int) -> int:
    """The duration that stands for all of a ``bin``: at most 3.1 % off each of them."""
    lower, upper = bounds(bin)
    return isqrt(lower * (upper - 1))


def percentiles(counts: Mapping[int, int], shares: Sequence[float]) -> list[int | None]:
    """For each of ``shares`` (0 to 1) a duration that such a share of all do not exceed.

    :param counts: how many durations were in each bin, of those that had any.
    :returns: the :func:`middle` of the bin of the duration of that rank (the nearest above), in
        microseconds; None where there were no durations.
    """
    bins = sorted(counts)
    upto = [*accumulate(map(counts.__getitem__, bins))]
    if not upto or not upto[-1]:
        return [None for _ in shares]
    return [middle(bins[bisect_left(upto, _rank(share, upto[-1]))]) for share in shares]


def _rank(share: float, total: int) -> int:
    return min(max(ceil(share * total), 1), total)
