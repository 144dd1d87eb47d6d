"""Tickets: what a page puts in the address of a stream, where it cannot send a token.

A browser's ``WebSocket`` and ``EventSource`` send no ``Authorization``, and what stands in an
address ends up in logs. A ticket is good once, and for seconds.
"""

from __future__ import annotations

import secrets
from collections import Counter

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from .tokens import Holder, digest_of

TICKET_SECONDS = 30
"""How long a ticket is good."""

MOST_TICKETS = 100
"""Tickets that are out for a token, at most."""


@frozen
class _Ticket:
    holder: Holder
    until: float


class Tickets:
    """The tickets that are out. There are :data:`MOST_TICKETS` for a token at most."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._out: dict[bytes, _Ticket] = {}
        self._by_holder: Counter[bytes] = Counter()

    def issue(self, holder: Holder) -> str | None:
        """A ticket for who holds a token, or None if too many are out."""
        self._forget_old()
        if self._by_holder[holder.digest] >= MOST_TICKETS:
            return None
        ticket = secrets.token_urlsafe(24)
        until = self._clock.seconds() + TICKET_SECONDS
        self._out[digest_of(ticket)] = _Ticket(holder, until)
        self._by_holder[holder.digest] += 1
        return ticket

    def redeem(self, ticket: str) -> Holder | None:
        """Who was given ``ticket``, which is good no more from then on; None if it is not good."""
        self._forget_old()
        digest = digest_of(ticket)
        return self._take(digest).holder if digest in self._out else None

    def _forget_old(self) -> None:
        now = self._clock.seconds()
        while self._out:
            oldest = next(iter(self._out))
            if self._out[oldest].until > now:
                return
            self._take(oldest)

    def _take(self, digest: bytes) -> _Ticket:
        ticket = self._out.pop(digest)
        self._by_holder[ticket.holder.digest] -= 1
        if not self._by_holder[ticket.holder.digest]:
            del self._by_holder[ticket.holder.digest]
        return ticket
