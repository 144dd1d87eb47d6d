"""What all subscribers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.turns import Turns

if TYPE_CHECKING:
    from .metrics import Metrics
    from .network import NetworkNews
    from .subscriber import Subscriber
    from .tail import Tails

SUBSCRIBER = "subscriber"
"""The place of mistakes in what is done for one subscriber (:class:`.InternalErrors`)."""


class Figures(Protocol):
    """What subscribers are told of the server."""

    def greeting(self) -> dict[str, Any]:
        """``recent_events``, ``total_nodes`` and ``broadcaster_stats`` of ``connected``."""


class Gauges(Protocol):
    """What only a server that keeps history tells."""

    def stats(self) -> dict[str, Any]:
        """``database``, ``broadcaster`` and ``connections`` of ``stats``."""

    def metrics(self) -> dict[str, Any]:
        """The data of ``metrics``."""

    def alerts(self) -> dict[str, Any]:
        """The data of ``alert``."""

    def network(self) -> dict[str, Any]:
        """The data of ``network``, but for what says whether it is all of it."""

    def problems(self) -> list[str]:
        """What is wrong, in words: with the server, and what it raises alerts for."""


class SubscriberContext(Protocol):
    """What all subscribers share.

    ``gauges``, ``metrics`` and ``network`` are None where no history is kept; ``frames`` counts
    events in each frame. Those who wait for events do so at ``tails``. Work that takes long is done
    in ``turns``.
    """

    ring: Ring
    clock: IReactorTime
    turns: Turns
    now: Now
    errors: InternalErrors
    figures: Figures
    gauges: Gauges | None
    metrics: Metrics | None
    network: NetworkNews | None
    frames: Histogram
    tails: Tails

    def opened(self, subscriber: Subscriber) -> None:
        """A subscriber is there."""

    def closed(self, subscriber: Subscriber) -> None:
        """A subscriber is gone."""

    def missed(self, events: int) -> None:
        """A subscriber missed ``events``."""
