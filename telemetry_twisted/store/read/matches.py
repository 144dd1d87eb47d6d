"""Which events of a batch match, the newest first, in steps that each take a millisecond or two.

Postings are ascending (:mod:`.raw_layout`), so the newest are at their ends: whoever wants few of
them looks at no more than those.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice

from telemetry_twisted.store.raw_layout import Positions

STEP_POSITIONS = 2048
"""How many positions of a list are looked at in a step."""

MUCH_LONGER = 8
"""A list so many times longer than another is searched for each position of the other."""


def in_one(positions: Positions, end: int) -> Iterator[list[int]]:
    """The positions before ``end``, the last first."""
    high = bisect_left(positions, end)
    while high:
        low = max(high - STEP_POSITIONS, 0)
        yield list(reversed(positions[low:high]))
        high = low


def in_any(lists: Sequence[Positions], end: int) -> Iterator[list[int]]:
    """The positions before ``end`` in any of the lists, no two of which share one; the last first.

    All events have one type, so the postings of types are such lists.
    """
    merged = merge(*(_last_first(positions, end) for positions in lists), reverse=True)
    while step := list(islice(merged, STEP_POSITIONS)):
        yield step


def _last_first(positions: Positions, end: int) -> Iterator[int]:
    for index in range(bisect_left(positions, end) - 1, -1, -1):
        yield positions[index]


def in_one_and_any(
    positions: Positions, lists: Sequence[Positions], end: int
) -> Iterator[list[int]]:
    """The positions before ``end`` that any of the lists has as well, the last first.

    A step may have none.
    """
    high = bisect_left(positions, end)
    while high:
        low = max(high - STEP_POSITIONS, 0)
        window = positions[low:high]
        sought, shared = set(window), set[int]()
        for other in lists:
            begin, stop = bisect_left(other, window[0]), bisect_right(other, window[-1])
            if stop - begin > MUCH_LONGER * len(window):
                shared.update(
                    p for p in window if other[bisect_left(other, p, begin, stop - 1)] == p
                )
            else:
                shared.update(sought.intersection(other[begin:stop]))
        yield sorted(shared, reverse=True)
        high = low
