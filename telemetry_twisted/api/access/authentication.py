"""Tokens and tickets asked for, and what those get who have none."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from telemetry_twisted.quiet import QuietLog

from .admission import Admission, is_open, may
from .attempts import MOST_ATTEMPTS, PERIOD_SECONDS, FailedAttempts
from .credentials import TICKETED, Credentials
from .refused import Refused
from .streams import OpenStreams
from .tickets import TICKET_SECONDS, Tickets
from .tokens import Holder, TokenFile, TokenSet

CHALLENGE = b'Bearer realm="telemetry"'
"""What is said to those who brought no token (RFC 6750, 3)."""

WITHOUT_TOKEN = Admission(None, trusted=False)
WITHOUT_TOKENS = Admission(None, trusted=True)


class Authentication:
    """Knows who asks, where tokens are asked for.

    A client that has failed too often is told to wait instead of what was wrong. Valid tokens are
    good even then: they are too long to be guessed, and others may share its address.
    """

    def __init__(self, tokens: TokenFile | None, clock: IReactorTime) -> None:
        self._tokens = tokens
        self._tickets = Tickets(clock)
        self._failed = FailedAttempts(clock)
        self._streams = OpenStreams()
        self._log = QuietLog(Logger(), clock)
        if tokens is not None:
            tokens.when_changed(self._streams.end_those_without)

    def admit(self, request: Any, client: str, credentials: Credentials) -> Admission:
        """Who asks ``request``, having brought along ``credentials``.

        :raises Refused: if they may not.
        """
        if self._tokens is None:
            return WITHOUT_TOKENS
        good = self._tokens.current
        if credentials == Credentials():
            if is_open(request.method, request.path):
                return WITHOUT_TOKEN
            raise self._failure(client, "a token is needed: Authorization: Bearer TOKEN", b"")
        holder = self._holder(good, credentials)
        if holder is None:
            kind = "token" if credentials.ticket is None else "ticket"
            error = b', error="invalid_token"'
            raise self._failure(client, f"the {kind} is not valid, or no longer", error)
        if not may(holder.role, request.method, request.path):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"the token of {holder.name} is for {holder.role.value} only",
                {b"www-authenticate": CHALLENGE + b', error="insufficient_scope"'},
            )
        if request.path in TICKETED:
            self._streams.opened(request.channel, holder)
        return Admission(holder.name, trusted=True, holder=holder)

    def _holder(self, tokens: TokenSet, credentials: Credentials) -> Holder | None:
        if credentials.ticket is None:
            return tokens.holder_of(credentials.token or "")
        holder = self._tickets.redeem(credentials.ticket)
        return holder if holder is not None and tokens.still_has(holder) else None

    def _failure(self, client: str, message: str, error: bytes) -> Refused:
        wait = self._failed.add(client)
        if wait:
            return Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {MOST_ATTEMPTS} requests without a valid token within "
                f"{PERIOD_SECONDS:.0f} s; come again in {wait} s, or with a valid one",
                {b"retry-after": b"%d" % wait},
            )
        self._log.warn("{client} is not let in: {reason}", client=client, reason=message)
        return Refused(HTTPStatus.UNAUTHORIZED, message, {b"www-authenticate": CHALLENGE + error})

    def issue_ticket(self, method: bytes, admission: Admission) -> dict[str, Any]:
        """What who was admitted is answered at :data:`~.admission.TICKET_PATH`.

        :raises Refused: if there is no ticket for them.
        """
        if admission.holder is None:
            raise Refused(
                HTTPStatus.NOT_FOUND, "no tickets are needed: the server asks for no tokens"
            )
        if method != b"POST":
            raise Refused(
                HTTPStatus.METHOD_NOT_ALLOWED, "tickets are got by POST", {b"allow": b"POST"}
            )
        ticket = self._tickets.issue(admission.holder)
        if ticket is None:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"too many tickets of {admission.name} are out; use them, or come again later",
                {b"retry-after": b"%d" % TICKET_SECONDS},
            )
        return {"ticket": ticket, "expires_in": TICKET_SECONDS}
