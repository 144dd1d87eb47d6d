"""Counts by type in a few bytes, as a row of ``counts`` holds them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from operator import add

_WIDTHS = "BHIQ"
"""Codes of integers of one, two, four and eight bytes, in the order of their size."""


def pack(counts: Mapping[int, int]) -> bytes:
    """``counts`` by type in a few bytes, that can be read fast.

    A byte says how wide the counts are, then come the types in order, a byte each, then the counts,
    in little-endian.
    """
    size = max((max(counts.values(), default=0).bit_length() - 1) // 8, 0)
    code = _WIDTHS[size.bit_length()]
    types = sorted(counts)
    values = map(counts.__getitem__, types)
    return struct.pack(f"<B{len(types)}B{len(types)}{code}", ord(code), *types, *values)


def unpack(packed: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The types and the counts that :func:`pack` made ``packed`` of."""
    code = chr(packed[0])
    number = (len(packed) - 1) // (1 + struct.calcsize(code))
    return packed[1 : 1 + number], struct.unpack_from(f"<{number}{code}", packed, 1 + number)


def add_up(packed: Iterable[bytes]) -> dict[int, int]:
    """The sums by type of counts that :func:`pack` has packed.

    Most have the same types as the one before, and are then added without looking at each.
    """
    sums: dict[bytes, tuple[int, ...]] = {}
    for types, counts in map(unpack, packed):
        before = sums.get(types)
        sums[types] = counts if before is None else tuple(map(add, before, counts))
    totals: dict[int, int] = {}
    for types, counts in sums.items():
        if not totals:
            totals.update(zip(types, counts, strict=True))
            continue
        for kind, count in zip(types, counts, strict=True):
            totals[kind] = totals.get(kind, 0) + count
    return totals
