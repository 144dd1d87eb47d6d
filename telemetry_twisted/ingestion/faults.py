"""What nodes got wrong, counted until it is reported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from telemetry_twisted.jip3.codec import Fault

_Key = tuple[str, int | None, str]


class FaultLedger:
    """The faults of one node, by kind, discriminator and reason.

    What a node can write here is bounded: kinds, discriminators and reasons are few, and the last
    offset and excerpt of each stand for all.
    """

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._counts: dict[_Key, int] = {}
        self._last: dict[_Key, Fault] = {}

    def enter(self, faults: Iterable[Fault]) -> None:
        """Count ``faults``."""
        for fault in faults:
            key = fault.kind, fault.discriminator, fault.reason
            self._counts[key] = self._counts.get(key, 0) + 1
            self._last[key] = fault

    def take(self) -> list[dict[str, Any]]:
        """What was counted since the last call, in the form of a ``FAULTS`` record's items."""
        taken = [
            {
                "node_id": self._node_id,
                "kind": kind,
                "discriminator": discriminator,
                "reason": reason,
                "count": count,
                "offset": self._last[kind, discriminator, reason].offset,
                "excerpt": self._last[kind, discriminator, reason].excerpt.hex(),
            }
            for (kind, discriminator, reason), count in self._counts.items()
        ]
        self._counts.clear()
        self._last.clear()
        return taken
