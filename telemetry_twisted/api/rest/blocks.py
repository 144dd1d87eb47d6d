"""Questions about blocks and how they spread."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.store.read import blocks
from telemetry_twisted.store.read.shapes import BlockKind

from .asked import Asked, RangeAsked
from .endpoint import NotFound, Sources, endpoint


class SlotAsked(Asked, frozen=True, kw_only=True):
    """Which slot."""

    slot: Annotated[int, Meta(ge=0, le=2**32 - 1, description="The slot.")]


class PropagationAsked(RangeAsked, frozen=True, kw_only=True):
    """Of which blocks."""

    kind: Annotated[BlockKind, Meta(description="Best blocks or finalized ones.")] = "best"


@endpoint("/api/slots/{slot}", may_miss=True)
async def slot(sources: Sources, asked: SlotAsked) -> blocks.Slot:
    """How the blocks of a slot spread over the nodes."""
    found = await blocks.slot(sources.history, asked.slot)
    if found is None:
        raise NotFound(f"no node has reported a block of slot {asked.slot}")
    return found


@endpoint("/api/blocks/propagation")
async def propagation(sources: Sources, asked: PropagationAsked) -> blocks.Propagation:
    """How fast blocks spread over the nodes: slot by slot for up to an hour, in windows beyond
    it."""
    return await blocks.propagation(sources.history, *asked.range(sources.now()), asked.kind)
