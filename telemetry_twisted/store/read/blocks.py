"""How blocks spread over the nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from telemetry_twisted.jip3.state_types import BEST_BLOCK, FINALIZED_BLOCK
from telemetry_twisted.store import reports
from telemetry_twisted.store.histogram import BOUNDS, Histogram
from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import SLOTS, SPREADS
from telemetry_twisted.timestamps import rfc3339

from .history import History
from .shapes import Answer, BlockKind, Hash, Range, Time, micros

BY_SLOT_SECONDS = 3600
"""The longest range that is answered slot by slot."""

MOST_SLOTS = 2000
"""Slots that such an answer has, at most."""

_TYPES: dict[BlockKind, int] = {"best": BEST_BLOCK, "finalized": FINALIZED_BLOCK}


class Delays(Answer):
    """After how long so many nodes had a block, after the first; null where no clock was right."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    all_ms: float | None


class SlotBlock(Answer):
    """One of the blocks of a slot, and how many nodes reported it."""

    hash: Hash
    nodes: int


class Bin(Answer):
    """How many nodes were no later than so, but later than the bin before."""

    up_to_ms: float
    nodes: int


class Spread(Delays):
    """How the blocks of a slot spread; ``off_clock`` are nodes whose clocks were too wrong."""

    first: Time | None
    nodes: int
    off_clock: int
    blocks: list[SlotBlock]
    histogram: list[Bin]


class Slot(Answer):
    """How the best and the finalized blocks of a slot spread, null where none was reported."""

    slot: int
    best: Spread | None
    finalized: Spread | None


class Total(Delays):
    """All slots of a range together."""

    slots: int
    nodes: int


class Point(Delays, kw_only=True):
    """A slot, or the slots of a window merged."""

    time: Time
    slot: int | UnsetType = UNSET
    slots: int
    nodes: int


class Propagation(Range):
    """How fast blocks spread over time; ``resolution_seconds`` is null where it is by slot."""

    resolution_seconds: int | None
    total: Total
    points: list[Point]


async def slot(history: History, number: int) -> Slot | None:
    """How the blocks of a slot spread; None if nobody reported it."""
    found = {name: await _spread(history, kind, number) for name, kind in _TYPES.items()}
    if not any(found.values()):
        return None
    return Slot(slot=number, best=found["best"], finalized=found["finalized"])


async def _spread(history: History, kind: int, number: int) -> Spread | None:
    rows = (await _rows(history, kind, [number])).get(number)
    if not rows:
        return None
    found = reports.merge(rows)
    return Spread(
        **_delays(found.delays),
        first=micros(found.first),
        nodes=found.nodes,
        off_clock=found.off_clock,
        blocks=[SlotBlock(hash=block, nodes=nodes) for block, nodes in found.blocks],
        histogram=[
            Bin(up_to_ms=BOUNDS[index] / 1000, nodes=nodes)
            for index, nodes in Histogram.decode(found.histogram).bins()
        ],
    )


async def _rows(history: History, kind: int, slots: Sequence[int]) -> dict[int, list[reports.Row]]:
    """All rows of some slots."""
    rows = await history.query(
        f"{SLOTS.select('slot', *reports.COLUMNS)} "
        f"WHERE type = ? AND slot IN ({marks(slots)}) ORDER BY run",
        (kind, *slots),
    )
    found: dict[int, list[reports.Row]] = {}
    async for slot, *values in history.turns.steps(rows):
        found.setdefault(slot, []).append(reports.read_row(*values))
    return found


async def propagation(history: History, begin: float, end: float, kind: BlockKind) -> Propagation:
    """How blocks spread over time: slot by slot for an hour, in merged windows beyond it."""
    if end - begin <= BY_SLOT_SECONDS:
        return await _by_slot(history, begin, end, kind)
    width = 600 if end - begin <= 2 * DAY else 3600
    first = int(begin // width * width)
    whole = Histogram()
    points = []
    rows = await history.query(
        f"{SPREADS.select('bucket', 'slots', 'nodes', 'histogram')} "
        "WHERE width = ? AND type = ? AND bucket >= ? AND bucket < ? ORDER BY bucket",
        (width, _TYPES[kind], first, end),
    )
    async for bucket, slots, nodes, encoded in history.turns.steps(rows):
        histogram = Histogram.decode(encoded)
        whole.update(histogram)
        points.append(
            Point(time=rfc3339(bucket), slots=slots, nodes=nodes, **_delays_of(histogram))
        )
    return Propagation(
        from_=rfc3339(first),
        to=rfc3339(end),
        resolution_seconds=width,
        total=_total(points, whole),
        points=points,
    )


async def _by_slot(history: History, begin: float, end: float, kind: BlockKind) -> Propagation:
    whole = Histogram()
    points: dict[int, Point] = {}
    columns = ("slot", "first", "nodes", "histogram", "p50", "p95", "p99", "last")
    rows = await history.query(
        f"{SLOTS.select(*columns)} "
        "WHERE type = ? AND first >= ? AND first < ? ORDER BY first LIMIT ?",
        (_TYPES[kind], int(begin * 1_000_000), int(end * 1_000_000), MOST_SLOTS),
    )
    several = {slot for slot, times in Counter(row[0] for row in rows).items() if times > 1}
    merged = await _merged(history, _TYPES[kind], several)
    async for slot, first, nodes, histogram, *delays in history.turns.steps(rows):
        if slot in points:
            continue
        one = merged.get(slot)
        if one is not None:
            first, nodes, delays, histogram = one.first, one.nodes, [*one.delays], one.histogram
        whole.add_encoded(histogram)
        points[slot] = Point(time=micros(first), slot=slot, slots=1, nodes=nodes, **_delays(delays))
    return Propagation(
        from_=rfc3339(begin),
        to=rfc3339(end),
        resolution_seconds=None,
        total=_total([*points.values()], whole),
        points=[*points.values()],
    )


async def _merged(history: History, kind: int, slots: Collection[int]) -> dict[int, reports.Spread]:
    """Slots that several lives of servers saw, each as one."""
    if not slots:
        return {}
    rows = await _rows(history, kind, [*slots])
    return {slot: reports.merge(each) async for slot, each in history.turns.steps(rows.items())}


def _total(points: list[Point], whole: Histogram) -> Total:
    slots = sum(point.slots for point in points)
    return Total(slots=slots, nodes=whole.total, **_delays_of(whole))


_SHARES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "all_ms": 1.0}


def _delays(micros: Sequence[int | None]) -> dict[str, Any]:
    """The fields of :class:`Delays`, from the columns of ``slots`` in their order."""
    return {
        name: None if delay is None else delay / 1000
        for name, delay in zip(_SHARES, micros, strict=True)
    }


def _delays_of(histogram: Histogram) -> dict[str, Any]:
    """The fields of :class:`Delays`, from a histogram."""
    return _delays(histogram.percentiles(_SHARES.values()))
