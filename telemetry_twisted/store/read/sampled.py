"""Some of very many things of a network, from all over a range of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telemetry_twisted.store.schema.table import Table

from .history import History
from .networks import Network

PARTS = 50
"""Into how many parts a range is cut that has too many things."""


async def some_of(
    history: History,
    table: Table,
    columns: Sequence[str],
    network: Network,
    begin: float,
    end: float,
    most: int,
) -> list[tuple[Any, ...]]:
    """The things that were heard of first in a range, at most about ``most``, the oldest first.

    Where there are more, the range is cut into :data:`PARTS` and the first of each are taken.
    """
    first, last = int(begin * 1_000_000), int(min(end, history.now() + 60) * 1_000_000)
    chosen = f"{table.select(*columns)} WHERE network = ? AND first >= ? AND first < ? "
    rows = await history.query(
        f"{chosen} ORDER BY first LIMIT ?", (network.number, first, last, most + 1)
    )
    if len(rows) <= most:
        return rows
    wide = -(-(last - first) // PARTS)
    edges = [(at, min(at + wide, last)) for at in range(first, last, wide)]
    parts = [f"SELECT * FROM ({chosen} ORDER BY first LIMIT ?) AS p{i}" for i in range(len(edges))]
    values = [value for edge in edges for value in (network.number, *edge, max(most // PARTS, 1))]
    return await history.query(" UNION ALL ".join(parts), values)
