"""What states nodes were in over time: of many nodes some of the states are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import STATES

from .history import History

WIDTH = 10
"""How wide the buckets of states are, in seconds."""

FIGURES = (
    *("num_peers", "num_val_peers", "num_sync_peers", "num_guarantees", "num_shards"),
    *("shards_size", "num_preimages", "preimages_size"),
)
"""What a status tells, of guarantees their number on all cores."""


@frozen
class Window:
    """Some buckets that tell of a window: ``at`` is when it begins."""

    at: int
    buckets: Sequence[int]


def windows_of(history: History, begin: float, end: float, step: int, most: int) -> list[Window]:
    """The windows of ``step`` seconds of a range, and at most ``most`` buckets that tell of them;
    every second window, every third and so on where there are more of those."""
    now = history.now()
    begin, end = max(begin, now - history.policy.states), min(end, now + 1)
    if begin >= end:
        return []
    begins = range(int(begin // step * step), int(-(-end // step) * step), step)
    begins = begins[:: -(-len(begins) // max(most, 1))]
    each = max(most // max(len(begins), 1), 1)
    found = []
    for at in begins:
        first = max(-(-at // WIDTH) * WIDTH, int(begin // WIDTH * WIDTH))
        buckets = range(first, min(at + step, int(end) + 1), WIDTH)
        if buckets:
            found.append(Window(at, buckets[:: -(-len(buckets) // each)]))
    return found


async def states_at(
    history: History, buckets: Sequence[int], nodes: Sequence[int], columns: Sequence[str]
) -> list[tuple[Any, ...]]:
    """The bucket, the node, and some ``columns`` of states."""
    if not buckets or not nodes:
        return []
    return await history.query(
        f"{STATES.select('bucket', 'node', *columns)} "
        f"WHERE bucket IN ({marks(buckets)}) AND node IN ({marks(nodes)}) ORDER BY bucket, node",
        (*buckets, *nodes),
    )


async def figures_in(
    history: History, window: Window, nodes: Sequence[int], by_node: bool
) -> list[tuple[Any, ...]]:
    """The node (0 where it is not ``by_node``), how many statuses there were, and of each of
    :data:`FIGURES` the mean, the least and the greatest."""
    told = ", ".join(
        f"avg({name} * 1.0), coalesce(min({name}), 0), coalesce(max({name}), 0)" for name in FIGURES
    )
    node = "node" if by_node else "0"
    return await history.query(
        f"SELECT {node}, count(num_peers), {told} FROM {STATES.name} "
        f"WHERE bucket IN ({marks(window.buckets)}) AND node IN ({marks(nodes)}) "
        "AND num_peers IS NOT NULL GROUP BY 1 ORDER BY 1",
        (*window.buckets, *nodes),
    )
