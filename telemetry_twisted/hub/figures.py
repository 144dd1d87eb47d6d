"""What the hub tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .hub import Hub
from .ingestion import IngestionServer


class HubFigures:
    """The figures that subscribers are greeted with.

    :param subscribers: tells how many there are, :param missed: how many events they missed.
    """

    def __init__(
        self,
        hub: Hub,
        servers: Sequence[IngestionServer],
        subscribers: Callable[[], int],
        missed: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._servers = servers
        self._subscribers = subscribers
        self._missed = missed

    def broadcaster(self) -> dict[str, Any]:
        """``broadcaster_stats``.

        ``dropped_events`` are those above ``--rate-limit``, ``undelivered_events`` those that
        subscribers were told of as lagged, over all subscribers.
        """
        ring = self._hub.ring
        return {
            "total_events_broadcast": ring.total,
            "active_subscribers": self._subscribers(),
            "node_channels": ring.node_channels,
            "events_in_buffer": ring.events,
            "dropped_events": sum(server.counter("rate_limited") for server in self._servers),
            "undelivered_events": self._missed(),
        }

    def greeting(self) -> dict[str, Any]:
        """What ``connected`` holds beside its message and samples."""
        return {
            "recent_events": self._hub.ring.events,
            "total_nodes": len(self._hub.nodes),
            "broadcaster_stats": self.broadcaster(),
        }
