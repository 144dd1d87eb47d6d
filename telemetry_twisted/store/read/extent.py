"""How much history there is."""

from __future__ import annotations

from telemetry_twisted.store.schema.raw_tables import RAW_BATCHES
from telemetry_twisted.store.schema.tables import NODES

from .history import History, total
from .shapes import Answer, Time, micros


class Extent(Answer):
    """How many nodes and raw events history holds; ``raw_bytes`` are compressed ones."""

    nodes_known: int
    raw_events: int
    raw_bytes: int
    raw_batches: int
    raw_oldest: Time | None


async def extent(history: History) -> Extent:
    """How much history there is."""
    ((nodes,),) = await history.query(f"SELECT count(*) FROM {NODES.name}")
    ((batches, events, size, oldest),) = await history.query(
        f"SELECT count(*), {total('events')}, {total('bytes')}, min(first) FROM {RAW_BATCHES.name}"
    )
    return Extent(
        nodes_known=nodes,
        raw_events=events,
        raw_bytes=size,
        raw_batches=batches,
        raw_oldest=None if oldest is None else micros(oldest),
    )
