"""What is on its way to a store process."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from telemetry_twisted.transport.link import Link

COMPANY_SECONDS = 0.02
"""How long a record may wait for company, so that the store process is woken that much less."""


class Outbox:
    """Sends records over ``link`` soon, those that come meanwhile together."""

    def __init__(self, link: Link, clock: IReactorTime) -> None:
        self._link = link
        self._clock = clock
        self._sending: IDelayedCall | None = None

    def put(self, *pieces: bytes) -> None:
        """Have a record sent, whole or in pieces."""
        self._link.queue(*pieces)
        if self._sending is None:
            self._sending = self._clock.callLater(COMPANY_SECONDS, self._send)

    def _send(self) -> None:
        self._sending = None
        self._link.flush()

    def flush(self) -> None:
        """Send what waits at once."""
        self.close()
        self._link.flush()

    def close(self) -> None:
        """The link is gone, or nothing waits for company any more."""
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
