"""Tallies: numbers of something by another number, and how rows hold them in a few bytes.

What a tally is of is said by its keys. Latencies are told apart by name and by bin of their
histogram, outcomes by the type of the chain's root, costs by phase and field:
:func:`latency_key`, :func:`outcome_key` and :func:`cost_key`. Tallies of several times, nodes or
cores are added up key by key.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

Tally = dict[int, int]

LARGEST = 2**64 - 1
"""The largest number that is kept; what is more, and nodes may claim anything, is as much."""

BIN_BITS = 10
"""Bits of the number of a bin: :mod:`telemetry_twisted.jip3.bins` has no more bins than that."""

COUNT = 0
"""The field of a cost that says how many there were; those of the message follow, from 1."""

_WIDTHS = "BHIQ"
"""Codes of integers of one, two, four and eight bytes, in the order of their size."""

_TOGETHER = 16
"""How many numbers without their four highest bits never sum up to more than fits their width."""

_SIZES = {ord(code): struct.calcsize(code) for code in _WIDTHS}


def latency_key(latency: int, bin_number: int) -> int:
    """The key of a bin of the histogram of a latency; those of one latency are side by side."""
    return latency << BIN_BITS | bin_number


def outcome_key(root: int, outcome: int) -> int:
    """The key of how chains end whose root is of a type."""
    return root << 2 | outcome


def cost_key(phase: int, field: int) -> int:
    """The key of a field of the costs of a phase, or of their number (:data:`COUNT`)."""
    return phase << 8 | field


def add(tally: Tally, more: Mapping[int, int]) -> None:
    """Add ``more`` to ``tally``."""
    get = tally.get
    for key, number in more.items():
        tally[key] = get(key, 0) + number


def pack_tally(tally: Mapping[int, int]) -> bytes:
    """``tally`` in a few bytes; nothing at all if it is empty.

    A byte says how wide the keys are, another how wide the numbers, then come the keys in order,
    then the numbers, all in little-endian. Numbers that are zero are left out.
    """
    keys = sorted(filter(tally.__getitem__, tally))
    if not keys:
        return b""
    numbers = [*map(tally.__getitem__, keys)]
    largest = max(numbers)
    if largest > LARGEST:
        numbers = [min(number, LARGEST) for number in numbers]
        largest = LARGEST
    wide, long = _width(keys[-1]), _width(largest)
    layout = f"<2B{len(keys)}{wide}{len(keys)}{long}"
    return struct.pack(layout, ord(wide), ord(long), *keys, *numbers)


def _width(largest: int) -> str:
    return _WIDTHS[((largest.bit_length() - 1) // 8).bit_length() if largest else 0]


def add_packed(tally: Tally, packed: bytes, first: int = 0, end: int | None = None) -> None:
    """Add what :func:`pack_tally` packed, of keys from ``first`` to before ``end`` alone if those
    are given."""
    if not packed:
        return
    wide, long = packed[0], packed[1]
    size = _SIZES[wide]
    number = (len(packed) - 2) // (size + _SIZES[long])
    low, high = 0, number
    if first or end is not None:
        keys_alone = _Keys(packed, size, number)
        low = bisect_left(keys_alone, first)
        high = number if end is None else bisect_left(keys_alone, end, low)
    within = max(high - low, 0)
    keys = struct.unpack_from(f"<{within}{chr(wide)}", packed, 2 + low * size)
    numbers = struct.unpack_from(
        f"<{within}{chr(long)}", packed, 2 + number * size + low * _SIZES[long]
    )
    get = tally.get
    for key, value in zip(keys, numbers, strict=True):
        tally[key] = get(key, 0) + value


class _Keys(Sequence[int]):
    """The keys of a packed tally, each read when it is looked at."""

    def __init__(self, packed: bytes, size: int, number: int) -> None:
        self._packed = packed
        self._size = size
        self._number = number

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: Any) -> Any:
        at = 2 + index * self._size
        return int.from_bytes(self._packed[at : at + self._size], "little")


def unpack_tally(packed: bytes) -> Tally:
    """What :func:`pack_tally` packed."""
    tally: Tally = {}
    add_packed(tally, packed)
    return tally


def sum_packed(packed: Iterable[bytes], first: int = 0, end: int | None = None) -> Tally:
    """Tallies that :func:`pack_tally` packed, added up; see :func:`add_packed`."""
    tally: Tally = {}
    for each in packed:
        add_packed(tally, each, first, end)
    return tally


def sum_alike(packed: Iterable[bytes]) -> Tally:
    """What :func:`sum_packed` returns, sooner where many of the tallies have the same keys and
    numbers as wide: those are added as one large number each."""
    alike: dict[bytes, list[bytes]] = {}
    for each in packed:
        if each:
            size = _SIZES[each[0]]
            keys = 2 + (len(each) - 2) // (size + _SIZES[each[1]]) * size
            alike.setdefault(each[:keys], []).append(each[keys:])
    tally: Tally = {}
    for head, numbers in alike.items():
        for start in range(0, len(numbers), _TOGETHER):
            some = numbers[start : start + _TOGETHER]
            total = _sum_large(head[1], some)
            for each in (head + total,) if total is not None else (head + one for one in some):
                add_packed(tally, each)
    return tally


def _sum_large(code: int, packed: Sequence[bytes]) -> bytes | None:
    """The sums of numbers side by side, None where one of them might not fit its place."""
    values = [int.from_bytes(each, "little") for each in packed]
    seen = 0
    for value in values:
        seen |= value
    size = len(packed[0])
    if seen & _high_bits(_SIZES[code], size):
        return None
    return sum(values).to_bytes(size, "little")


@lru_cache(maxsize=1024)
def _high_bits(width: int, size: int) -> int:
    """The bits of numbers of ``width`` bytes, ``size`` bytes in all, that none may have of as many
    as are added together."""
    return int.from_bytes((bytes(width - 1) + b"\xf0") * (size // width), "little")
