"""Questions about what failed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.store.read import failures as read_failures

from .asked import After, Limit, OnlyNode, RangeAsked, TypesAsked
from .endpoint import Sources, endpoint


class FailuresAsked(TypesAsked, frozen=True, kw_only=True):
    """Which failures."""

    limit: Limit = 100
    cursor: After = 0


class FaultsAsked(RangeAsked, frozen=True, kw_only=True):
    """Whose faults, and which."""

    node: OnlyNode | None = None
    kind: (
        Annotated[
            read_failures.FaultKind,
            Meta(
                description="Only events that could not be decoded, or only those that broke a "
                "rule."
            ),
        ]
        | None
    ) = None
    limit: Limit = 100
    cursor: After = 0


@endpoint("/api/failures")
async def failures(sources: Sources, asked: FailuresAsked) -> read_failures.Failures:
    """Events that report a failure, by type and reason, the most frequent first."""
    return await read_failures.failures(
        sources.history, *asked.range(sources.now()), asked.types, asked.cursor, asked.limit
    )


@endpoint("/api/protocol-errors", may_miss=True)
async def protocol_errors(sources: Sources, asked: FaultsAsked) -> read_failures.Faults:
    """What nodes got wrong, the most frequent first, with the first of the last bytes."""
    span = asked.range(sources.now())
    node = await sources.number_of(asked.node) if asked.node else None
    return await read_failures.faults(
        sources.history, *span, node, asked.kind, asked.cursor, asked.limit
    )
