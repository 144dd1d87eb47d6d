"""How often somebody may ask without a valid token."""

from __future__ import annotations

import math
from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.networks import share_of

MOST_ATTEMPTS = 10
"""Failed attempts of a client in a period."""

PERIOD_SECONDS = 60.0
"""How long a period is. It begins with the first failed attempt."""

MOST_CLIENTS = 10_000
"""Clients that are remembered; beyond that the one is forgotten whose period began first."""


class FailedAttempts:
    """Counts failed attempts by client, for a period from the first of them."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: str) -> int:
        """Count one of ``client``; how many seconds it has to wait, 0 if not too many."""
        now = self._clock.seconds()
        share = share_of(client)
        self._make_room(now, share)
        end, count = self._clients.get(share, (now + PERIOD_SECONDS, 0))
        self._clients[share] = end, count + 1
        return 0 if count < MOST_ATTEMPTS else math.ceil(end - now)

    def _make_room(self, now: float, share: str) -> None:
        while self._clients:
            end, _ = next(iter(self._clients.values()))
            if end > now and (share in self._clients or len(self._clients) < MOST_CLIENTS):
                return
            self._clients.popitem(last=False)
