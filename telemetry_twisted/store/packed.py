"""Counts by type in a few bytes, as a row of ``counts`` holds them."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

_WIDTHS = "BHIQ"
"""Codes of integers of one, two, four and eight bytes, in the order of their size."""

_SIZES = {ord(code): struct.calcsize(code) for code in _WIDTHS}

_TOGETHER = 16
"""How many counts without their four highest bits never sum up to more than fits their width."""


def pack(counts: Mapping[int, int]) -> bytes:
    """``counts`` by type in a few bytes, that can be read fast.

    A byte says how wide the counts are, then come the types in order, a byte each, then the counts,
    in little-endian.
    """
    size = max((max(counts.values(), default=0).bit_length() - 1) // 8, 0)
    code = _WIDTHS[size.bit_length()]
    types = sorted(counts)
    values = map(counts.__getitem__, types)
    return bytes((ord(code), *types)) + little(code, values)


def little(code: str, numbers: Iterable[int]) -> bytes:
    """Numbers side by side in little-endian, as wide as the ``code`` of an array says.

    ``struct`` would read a layout for each length.
    """
    packed = array(code, numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def add_up(packed: Iterable[bytes]) -> dict[int, int]:
    """The sums by type of counts that :func:`pack` has packed.

    Most rows are alike: they have the same types, and counts of the same width.
    """
    alike: dict[bytes, list[bytes]] = {}
    for row in packed:
        number = (len(row) - 1) // (1 + _SIZES[row[0]])
        alike.setdefault(row[: 1 + number], []).append(row[1 + number :])
    totals: dict[int, int] = {}
    for head, rows in alike.items():
        for start in range(0, len(rows), _TOGETHER):
            sums = _sum(head[0], len(head) - 1, rows[start : start + _TOGETHER])
            if not totals:
                totals.update(zip(head[1:], sums, strict=True))
                continue
            for kind, count in zip(head[1:], sums, strict=True):
                totals[kind] = totals.get(kind, 0) + count
    return totals


def _sum(code: int, number: int, rows: Sequence[bytes]) -> tuple[int, ...]:
    """The sums of ``number`` counts of the same width, at most :data:`_TOGETHER` rows of them.

    Each row is added as one large number, which takes a sixth of the time, unless a count is so
    large that a sum might spill into the one beside it.
    """
    layout = f"<{number}{chr(code)}"
    if len(rows) == 1:
        return struct.unpack(layout, rows[0])
    values = [int.from_bytes(row, "little") for row in rows]
    seen = 0
    for value in values:
        seen |= value
    if seen & _large(_SIZES[code], number):
        return tuple(map(sum, zip(*(struct.unpack(layout, row) for row in rows), strict=True)))
    return struct.unpack(layout, sum(values).to_bytes(len(rows[0]), "little"))


@lru_cache(maxsize=1024)
def _large(size: int, number: int) -> int:
    """The bits of ``number`` counts of ``size`` bytes that a summand must not have."""
    return int.from_bytes((bytes(size - 1) + b"\xf0") * number, "little")
