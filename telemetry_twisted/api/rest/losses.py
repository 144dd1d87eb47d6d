"""Questions about what history does not have."""

from __future__ import annotations

from telemetry_twisted.store.read import losses as read_losses

from .asked import After, Limit, RangeAsked
from .endpoint import Sources, endpoint


class LossesAsked(RangeAsked, frozen=True, kw_only=True):
    """When, and how many."""

    limit: Limit = 100
    cursor: After = 0


@endpoint("/api/losses")
async def losses(sources: Sources, asked: LossesAsked) -> read_losses.Losses:
    """What is missing of the events of nodes: dropped by them, or sent too fast, the most first."""
    span = asked.range(sources.now())
    return await read_losses.losses(sources.history, *span, asked.cursor, asked.limit)


@endpoint("/api/gaps")
async def gaps(sources: Sources, asked: LossesAsked) -> read_losses.Gaps:
    """When the server could not keep up and what history lacks for it, the newest first."""
    span = asked.range(sources.now())
    return await read_losses.gaps(sources.history, *span, asked.cursor, asked.limit)
