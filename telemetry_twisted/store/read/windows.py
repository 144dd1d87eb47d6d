"""Counts of events by type in windows of any width, of all nodes together or of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import COUNTS, NO_NODE, TOTALS

from .history import History
from .ranges import Span

MOST_BUCKETS = 1500
"""Buckets of all nodes together that are read, at most, but for those of the widest."""

MOST_ROWS = 3072
"""Buckets of single nodes that are read, likewise."""

Counts = dict[int, int]
"""Events by type."""

Nodes = Sequence[int] | None
"""The numbers of nodes, or all of them."""


async def counts_in(
    history: History, begin: float, end: float, step: int, nodes: Nodes = None
) -> dict[int, Counts]:
    """The events of some nodes, or of all together, by where the window begins."""
    most = MOST_BUCKETS if nodes is None else MOST_ROWS // max(len(nodes), 1)
    window = history.window(begin, end, step, min(most, MOST_BUCKETS))
    packed: defaultdict[int, list[bytes]] = defaultdict(list)
    for bucket, counts in await _together(history, window, nodes):
        packed[window.at(bucket)].append(counts)
    found: dict[int, Counts] = {}
    async for begins, rows in history.turns.steps(sorted(packed.items())):
        found[begins] = add_up(rows)
    return found


async def counts_over(history: History, begin: float, end: float, nodes: Nodes = None) -> Counts:
    """The events of some nodes, or of all together, over a range."""
    most = MOST_BUCKETS if nodes is None else MOST_ROWS // max(len(nodes), 1)
    packed: list[bytes] = []
    for piece in history.pieces(begin, end, min(most, MOST_BUCKETS)):
        packed += (counts for _, counts in await _together(history, piece, nodes))
    return add_up(packed)


async def _together(history: History, span: Span, nodes: Nodes) -> list[tuple[int, bytes]]:
    if nodes is None:
        rows = await history.query(
            f"{TOTALS[span.width].select('bucket', 'counts')} WHERE bucket >= ? AND bucket < ?",
            (span.begin, span.end),
        )
    elif nodes:
        table = COUNTS[span.width]
        there, buckets = history.over(table, span)
        rows = await history.query(
            f"{table.select('bucket', 'counts')} WHERE {there} AND node IN ({marks(nodes)})",
            (*buckets, *nodes),
        )
    else:
        rows = []
    return [(bucket, counts) for bucket, counts in rows]


async def counts_of_each(
    history: History, begin: float, end: float, step: int, nodes: Collection[int]
) -> dict[int, dict[int, Counts]]:
    """The events of each of ``nodes``, by where the window begins and by the number of the node.

    Where there are too many buckets, every second is looked at, every third, and so on, and stands
    for those beside it.
    """
    most = MOST_ROWS // max(len(nodes), 1)
    window = history.window(begin, end, step, most)
    apart = _apart([window], most)
    packed: defaultdict[tuple[int, int], list[bytes]] = defaultdict(list)
    async for bucket, node, counts in history.turns.steps(await _each(history, window, apart)):
        if node in nodes:
            packed[window.at(bucket), node].append(counts)
    found: dict[int, dict[int, Counts]] = {}
    async for (begins, node), rows in history.turns.steps(sorted(packed.items())):
        found.setdefault(begins, {})[node] = _times(add_up(rows), apart)
    return found


async def each_over(
    history: History, begin: float, end: float, nodes: Collection[int]
) -> dict[int, Counts]:
    """The events of each of ``nodes`` over a range, by the number of the node; see
    :func:`counts_of_each`."""
    most = MOST_ROWS // max(len(nodes), 1)
    pieces = history.pieces(begin, end, most)
    apart = _apart(pieces, most)
    packed: defaultdict[int, list[bytes]] = defaultdict(list)
    for piece in pieces:
        rows = await _each(history, piece, apart)
        async for _, node, counts in history.turns.steps(rows):
            if node in nodes:
                packed[node].append(counts)
    found: dict[int, Counts] = {}
    async for node, each in history.turns.steps(packed.items()):
        found[node] = _times(add_up(each), apart)
    return found


def _apart(spans: Sequence[Span], most: int) -> int:
    """How far apart the buckets are that are looked at, in buckets."""
    return -(-sum(len(span.buckets) for span in spans) // max(most, 1))


def _times(counts: Counts, apart: int) -> Counts:
    return {kind: count * apart for kind, count in counts.items()} if apart > 1 else counts


async def _each(history: History, span: Span, apart: int) -> list[tuple[int, int, bytes]]:
    buckets = span.buckets[:: max(apart, 1)]
    rows = await history.query(
        f"{COUNTS[span.width].select('bucket', 'node', 'counts')} "
        f"WHERE bucket IN ({marks(buckets)}) AND node <> ?",
        (*buckets, NO_NODE),
    )
    return [(bucket, node, counts) for bucket, node, counts in rows]


def sum_of(counts: Mapping[int, int], types: Collection[int]) -> int:
    """How many of the events are of one of ``types``."""
    return sum(count for kind, count in counts.items() if kind in types)
