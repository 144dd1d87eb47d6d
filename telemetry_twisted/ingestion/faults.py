"""What nodes got wrong, counted until it is reported."""

from __future__ import annotations

from typing import Any

from telemetry_twisted.jip3.codec import FaultTally


class FaultLedger(FaultTally):
    """The faults of one node, by kind, discriminator and reason.

    What a node can write here is bounded: kinds, discriminators and reasons are few, and the last
    offset and excerpt of each stand for all.
    """

    def __init__(self, node_id: str) -> None:
        super().__init__()
        self._node_id = node_id

    def report(self) -> list[dict[str, Any]]:
        """What was counted since the last call, in the form of a ``FAULTS`` record's items."""
        return [
            {
                "node_id": self._node_id,
                "kind": fault.kind,
                "discriminator": fault.discriminator,
                "reason": fault.reason,
                "count": fault.times,
                "offset": fault.offset,
                "excerpt": fault.excerpt.hex(),
            }
            for fault in self.take()
        ]
