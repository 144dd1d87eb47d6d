"""What nodes got wrong."""

from __future__ import annotations

from typing import Any

from attrs import define

from .counts import Buckets
from .reasons import OTHER_REASONS
from .text import clean

MOST_FAULTS = 20_000
"""Combinations that a bucket tells apart; a node has some hundreds at most, if it tries."""

NO_DISCRIMINATOR = -1


@define
class FaultCount:
    """How often, when last (microseconds), and where in which bytes that was."""

    faults: int = 0
    last_seen: int = 0
    offset: int = 0
    excerpt: bytes = b""

    def update(self, other: FaultCount) -> None:
        """Add ``other``; the later one's bytes are kept."""
        self.faults += other.faults
        if other.last_seen >= self.last_seen:
            self.last_seen, self.offset, self.excerpt = (
                other.last_seen,
                other.offset,
                other.excerpt,
            )


FaultKey = tuple[str, str, int, str]
"""Node ID (empty if the node never said), kind, discriminator, reason."""


def _other(key: FaultKey) -> FaultKey:
    return ("", key[1], NO_DISCRIMINATOR, OTHER_REASONS)


class Faults(Buckets[FaultKey, FaultCount]):
    """Decode errors and violations by node, kind, discriminator and reason."""

    def __init__(self, width: int) -> None:
        super().__init__(width, FaultCount, MOST_FAULTS, _other)

    def enter(self, fault: dict[str, Any], now: int) -> None:
        """Count an item of a ``FAULTS`` record at ``now``, in microseconds of Unix time."""
        discriminator = fault["discriminator"]
        key = (
            fault["node_id"] or "",
            fault["kind"],
            NO_DISCRIMINATOR if discriminator is None else discriminator,
            clean(fault["reason"]),
        )
        excerpt = bytes.fromhex(fault["excerpt"])
        count = FaultCount(fault["count"], now, fault["offset"], excerpt)
        self.add(now // 1_000_000, key, count)
