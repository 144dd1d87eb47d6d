"""How networks fare, as the store process has told last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime

from .standing import STALE_SECONDS

Summaries = Mapping[str, Mapping[str, Any]]
"""The summary of each network (:class:`~telemetry_twisted.network.summary.summaries.Summaries`), by
its genesis hash."""


class ToldNetworks:
    """The newest summary of each network, as long as the process that told them is heard of."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._told: dict[str, dict[str, Any]] = {}
        self._heard = clock.seconds()

    @property
    def current(self) -> Summaries:
        """The summaries; none where nothing is heard of the process, for then they are old."""
        stale = self._clock.seconds() - self._heard > STALE_SECONDS
        return {} if stale else self._told

    def heard(self) -> None:
        """The process has said something, so what it told before holds."""
        self._heard = self._clock.seconds()

    def told(self, changed: Mapping[str, dict[str, Any] | None]) -> None:
        """Take what a ``NETWORK`` record says."""
        self.heard()
        # Not in place: whoever has the ones before compares them with these.
        told: dict[str, dict[str, Any] | None] = {**self._told, **changed}
        self._told = {network: each for network, each in told.items() if each is not None}

    def ended(self) -> None:
        """The process is gone; the next one begins anew."""
        self._told = {}
