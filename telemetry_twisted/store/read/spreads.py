"""How things spread over nodes, as answers tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from .shapes import Answer, Time, micros

Nodes = Annotated[int, Meta(description="Nodes that reported it; each counts once, its first.")]
OffClock = Annotated[
    int,
    Meta(
        description="Nodes of those whose clocks are off by more than a slot, or not known: they "
        "are in none of the delays."
    ),
]


class Ranks(Answer):
    """When the first node had it, and after how many milliseconds so many had.

    Exact: the delay of the node of that rank (no interpolation, no bins), as exact as the clocks
    that it is made of.
    """

    first: Time
    p50_ms: float
    p95_ms: float
    p99_ms: float
    last_ms: float


class Spread(Answer):
    """How a thing spread over nodes.

    ``reported`` is by each node's own clock. ``corrected`` has the offsets of clocks taken out: to
    each time is added the least that anything of that node took to arrive in the last five
    minutes, which is right to within the difference of the fastest messages of two nodes.
    """

    nodes: Nodes
    off_clock: OffClock
    reported: Ranks | None
    corrected: Ranks | None


def spread(told: Sequence[Any]) -> Spread:
    """What a column tells."""
    nodes, off_clock, reported, corrected = told
    return Spread(
        nodes=nodes, off_clock=off_clock, reported=_ranks(reported), corrected=_ranks(corrected)
    )


def _ranks(told: Sequence[int] | None) -> Ranks | None:
    if told is None:
        return None
    first, *delays = told
    p50, p95, p99, last = (delay / 1000 for delay in delays)
    return Ranks(first=micros(first), p50_ms=p50, p95_ms=p95, p99_ms=p99, last_ms=last)
