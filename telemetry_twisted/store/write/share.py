"""How much of the raw events is kept."""

from __future__ import annotations

from attrs import define


@define
class Share:
    """Of the events of a while: those the hub saw, offered to the store, and of these those that
    are not kept."""

    seen: int = 0
    offered: int = 0
    dropped: int = 0

    def update(self, other: Share) -> None:
        """Add ``other``."""
        self.seen += other.seen
        self.offered += other.offered
        self.dropped += other.dropped

    @property
    def kept(self) -> float | None:
        """The share that the store kept; None where there was nothing."""
        return max(self.offered - self.dropped, 0) / self.seen if self.seen else None
