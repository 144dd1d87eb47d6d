"""Tells the hub once a second how networks fare, as far as that has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from telemetry_twisted.clock import Now
from telemetry_twisted.transport import records
from telemetry_twisted.turns import Turns

from .collected import Collected


class NetworksTold:
    """Makes ``NETWORK`` records of what has come.

    :param collected: what has come.
    :param tell: takes a record for the hub.
    """

    def __init__(
        self, collected: Collected, turns: Turns, now: Now, tell: Callable[[bytes], object]
    ) -> None:
        self._collected = collected
        self._turns = turns
        self._now = now
        self._send = tell
        self._told: dict[str, dict[str, Any]] = {}

    async def look(self) -> None:
        """See how networks fare, and tell of those of which anything has changed."""
        collected = self._collected
        async for _ in self._turns.steps(collected.summarize(int(self._now() * 1_000_000))):
            pass
        current = collected.understood.summaries.current
        changed: dict[str, dict[str, Any] | None] = {
            network: summary
            for network, summary in current.items()
            if self._told.get(network) != summary
        }
        changed |= {network: None for network in self._told if network not in current}
        if changed:
            self._told = current
            self._send(records.encode_json(records.NETWORK, changed))
