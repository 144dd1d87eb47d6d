"""What each node reported of a slot, packed, and what is made of it.

A slot that two servers saw, or two lives of one, has a row for each; by what each node reported
they are one again, in which no node counts twice.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import NamedTuple

import msgspec

from telemetry_twisted.store.histogram import Histogram

OFF_CLOCK = -1
"""Stands for the time of a node whose clock is too wrong to be used."""

MOST_BLOCKS = 8
"""Blocks of one slot that are told apart."""

SHARES = (0.5, 0.95, 0.99, 1.0)
"""Of which shares of the nodes it is told when they had reported."""

_REPORT = struct.Struct("<IqB")


class Report(NamedTuple):
    """The first report of a slot by ``node`` (its number).

    ``delay`` is how long after the slot's first report, in microseconds, or :data:`OFF_CLOCK`;
    ``block`` the index of the block among those of the slot, after the last where it is not told.
    """

    node: int
    delay: int
    block: int


def pack_reports(reports: Iterable[Report]) -> bytes:
    """The column ``reports`` of a slot."""
    return b"".join(_REPORT.pack(*report) for report in reports)


def unpack_reports(packed: bytes) -> Iterator[Report]:
    """What :func:`pack_reports` packed."""
    return map(Report._make, _REPORT.iter_unpack(packed))


class Spread(NamedTuple):
    """How a slot spread: ``first`` in microseconds of Unix time, ``delays`` after it by which the
    :data:`SHARES` of nodes had reported, None where every clock was too wrong.

    ``blocks`` are those that were reported, each by how many nodes, the most first.
    """

    first: int
    nodes: int
    off_clock: int
    delays: Sequence[int | None]
    blocks: Sequence[tuple[str, int]]
    histogram: bytes


def nearest_rank(ordered: Sequence[int], share: float) -> int:
    """The smallest of ``ordered`` that ``share`` (0 to 1) of them do not exceed."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]


COLUMNS = (
    "first",
    "nodes",
    "off_clock",
    "p50",
    "p95",
    "p99",
    "last",
    "blocks",
    "histogram",
    "reports",
)
"""The columns of a row of ``slots`` that :func:`read_row` reads."""

Row = tuple[Spread, bytes | None]
"""What a run told of a slot, and what each node reported, None where that is let go of."""


def read_row(
    first: int,
    nodes: int,
    off_clock: int,
    p50: int | None,
    p95: int | None,
    p99: int | None,
    last: int | None,
    blocks: str,
    histogram: bytes,
    reports: bytes | None,
) -> Row:
    """A row of ``slots``."""
    told = [(block, count) for block, count in msgspec.json.decode(blocks)]
    return Spread(first, nodes, off_clock, (p50, p95, p99, last), told, histogram), reports


def merge(rows: Sequence[Row]) -> Spread:
    """The spread of a slot that has several rows.

    A node that is in several of them counts once, with its earliest report by a usable clock. Where
    the reports of a row are gone, the row with the most nodes stands for all.
    """
    if len(rows) == 1 or any(reports is None for _, reports in rows):
        return max((row for row, _ in rows), key=lambda row: row.nodes)
    found: dict[int, tuple[int, str | None]] = {}
    for row, reports in rows:
        hashes = [block for block, _ in row.blocks]
        for node, delay, index in unpack_reports(reports or b""):
            time = OFF_CLOCK if delay == OFF_CLOCK else row.first + delay
            before = found.get(node)
            if before is None or (time >= 0 and not 0 <= before[0] <= time):
                found[node] = time, hashes[index] if index < len(hashes) else None
    return spread_of(found.values(), min(row.first for row, _ in rows))


def spread_of(reports: Iterable[tuple[int, str | None]], received: int) -> Spread:
    """The spread of a slot, of the time of each node's report and the block in it, None if untold.

    :param received: when the first report was read, for want of a clock that can be used.
    """
    reports = list(reports)
    times = sorted(time for time, _ in reports if time != OFF_CLOCK)
    first = times[0] if times else received
    delays = [time - first for time in times]
    histogram = Histogram()
    histogram.add(delays)
    blocks = Counter(block for _, block in reports if block is not None)
    return Spread(
        first,
        len(reports),
        len(reports) - len(times),
        [nearest_rank(delays, share) if delays else None for share in SHARES],
        blocks.most_common(MOST_BLOCKS),
        histogram.encode(),
    )
