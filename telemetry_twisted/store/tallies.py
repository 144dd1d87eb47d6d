"""Tallies: numbers of something by another number, and how rows hold them in a few bytes.

What a tally is of is said by its keys. Latencies are told apart by name and by bin of their
histogram, outcomes by the type of the chain's root, costs by phase and field:
:func:`latency_key`, :func:`outcome_key` and :func:`cost_key`. Tallies of several times, nodes or
cores are added up key by key.
"""

from __future__ import annotations

import operator
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, count

from .packed import little

Tally = dict[int, int]

LARGEST = 2**64 - 1
"""The largest number that is kept; what is more, and nodes may claim anything, is as much."""

BIN_BITS = 10
"""Bits of the number of a bin: :mod:`telemetry_twisted.jip3.bins` has no more bins than that."""

OUTCOME_BITS = 2
"""Bits of how a chain ends."""

NUMBERS_FROM = 1 << 7
"""The first key, beside the sums of latencies, of how many each is the sum of."""

COUNT = 0
"""The field of a cost that says how many there were; those of the message follow, from 1."""

_WIDTHS = "BHIQ"
"""Codes of integers of one, two, four and eight bytes, in the order of their size."""

_HEAD = struct.Struct("<2BH")

_LONGEST_RUN = 255

_TOGETHER = 16
"""How many numbers without their four highest bits never sum up to more than fits their width."""

_SIZES = {ord(code): struct.calcsize(code) for code in _WIDTHS}


def number_key(latency: int) -> int:
    """The key, beside the sum of a latency, of how many it is the sum of."""
    return latency | NUMBERS_FROM


def latency_key(latency: int, bin_number: int) -> int:
    """The key of a bin of the histogram of a latency; those of one latency are side by side."""
    return latency << BIN_BITS | bin_number


def outcome_key(root: int, outcome: int) -> int:
    """The key of how chains end whose root is of a type."""
    return root << OUTCOME_BITS | outcome


def cost_key(phase: int, field: int) -> int:
    """The key of a field of the costs of a phase, or of their number (:data:`COUNT`)."""
    return phase << 8 | field


def add(tally: Tally, more: Mapping[int, int]) -> None:
    """Add ``more`` to ``tally``."""
    if not tally:
        tally |= more
        return
    get = tally.get
    for key, number in more.items():
        tally[key] = get(key, 0) + number


def pack_tally(tally: Mapping[int, int]) -> bytes:
    """``tally`` in a few bytes; nothing at all if it is empty.

    Keys are told by runs of such as follow each other, at most 255: bins of a histogram do. A byte
    says how wide the first keys of runs are, another how wide the numbers, a u16 how many runs
    there are; then come the first keys of the runs in order, how long each is, a byte each, and the
    numbers, all in little-endian. Numbers that are zero are left out.
    """
    keys = sorted(filter(tally.__getitem__, tally))
    if not keys:
        return b""
    numbers = [*map(tally.__getitem__, keys)]
    largest = max(numbers)
    if largest > LARGEST:
        numbers = [min(number, LARGEST) for number in numbers]
        largest = LARGEST
    starts, lengths = _runs(keys)
    wide, long = _width(keys[-1]), _width(largest)
    head = _HEAD.pack(ord(wide), ord(long), len(starts))
    return b"".join((head, little(wide, starts), bytes(lengths), little(long, numbers)))


def _runs(keys: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The first keys of runs, and how long those are."""
    # A key less its place is the same within a run, and more in the next.
    runs = Counter(map(operator.sub, keys, count()))
    lengths = [*runs.values()]
    starts = [*map(operator.add, runs, accumulate(lengths, initial=0))]
    if max(lengths) <= _LONGEST_RUN:
        return starts, lengths
    parts = [
        (part, min(start + length - part, _LONGEST_RUN))
        for start, length in zip(starts, lengths, strict=True)
        for part in range(start, start + length, _LONGEST_RUN)
    ]
    return [start for start, _ in parts], [length for _, length in parts]


def _width(largest: int) -> str:
    return _WIDTHS[((largest.bit_length() - 1) // 8).bit_length() if largest else 0]


def add_packed(tally: Tally, packed: bytes, first: int = 0, end: int | None = None) -> None:
    """Add what :func:`pack_tally` packed, of keys from ``first`` to before ``end`` alone if those
    are given."""
    if not packed:
        return
    pairs = zip(*_within(packed, first, end), strict=True)
    if not tally:
        tally.update(pairs)
        return
    get = tally.get
    for key, value in pairs:
        tally[key] = get(key, 0) + value


def _within(packed: bytes, first: int, end: int | None) -> tuple[Sequence[int], Sequence[int]]:
    """Keys and numbers of a tally that is not empty."""
    wide, long, runs = _HEAD.unpack_from(packed)
    lengths_at = _HEAD.size + runs * _SIZES[wide]
    starts = struct.unpack_from(f"<{runs}{chr(wide)}", packed, _HEAD.size)
    lengths = packed[lengths_at : lengths_at + runs]
    at = lengths_at + runs
    keys: list[int] = []
    if first or end is not None:
        # Of very many runs a few are looked for: those before are passed over together.
        low = max(bisect_right(starts, first) - 1, 0)
        skipped = sum(lengths[:low])
        for start, length in zip(starts[low:], lengths[low:], strict=True):
            if end is not None and start >= end:
                break
            begin = max(start, first)
            if not keys:
                skipped += min(begin - start, length)
            keys.extend(range(begin, start + length if end is None else min(start + length, end)))
        at += skipped * _SIZES[long]
    else:
        for start, length in zip(starts, lengths, strict=True):
            keys.extend(range(start, start + length))
    return keys, struct.unpack_from(f"<{len(keys)}{chr(long)}", packed, at)


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
            wide, _, runs = _HEAD.unpack_from(each)
            keys = _HEAD.size + runs * (_SIZES[wide] + 1)
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
