"""What history says of what it does not have: gaps, and what nodes or the server left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, frozen

from telemetry_twisted.store.schema.table import LARGEST_INTEGER
from telemetry_twisted.store.schema.tables import LOST_COLUMNS

from .counts import Buckets


@define
class Loss:
    """Events of a node that it dropped itself, in how many spans from ``first`` to ``last``
    (microseconds of Unix time), and those that the server did not take, for it sent too many."""

    dropped: int = 0
    spans: int = 0
    first: int | None = None
    last: int | None = None
    rate_limited: int = 0

    def update(self, other: Loss) -> None:
        """Add ``other``."""
        # What nodes say that they dropped is not bounded.
        self.dropped = min(self.dropped + other.dropped, LARGEST_INTEGER)
        self.spans += other.spans
        self.rate_limited += other.rate_limited
        if other.first is not None:
            self.first = other.first if self.first is None else min(self.first, other.first)
        if other.last is not None:
            self.last = other.last if self.last is None else max(self.last, other.last)


class Losses(Buckets[str, Loss]):
    """What was left out, by node."""

    def __init__(self, width: int) -> None:
        super().__init__(width, Loss)

    def enter(self, seconds: int, node_id: str, dropped: Mapping[str, Any], limited: int) -> None:
        """Add what a ``COUNTS`` record says of a node; ``dropped`` is empty if it dropped none."""
        loss = Loss(
            min(dropped.get("events", 0), LARGEST_INTEGER),
            dropped.get("spans", 0),
            dropped.get("first"),
            dropped.get("last"),
            limited,
        )
        self.add(seconds, node_id, loss)


@frozen
class Gap:
    """A while in which records were given up: when it ended, and what was in them."""

    ended: int
    lost: tuple[int, ...]

    @classmethod
    def told(cls, gap: Mapping[str, Any]) -> Gap:
        """The ``gap`` of a ``RESUME`` record."""
        return cls(gap["ended"], tuple(gap["lost"].get(kind, 0) for kind in LOST_COLUMNS))
