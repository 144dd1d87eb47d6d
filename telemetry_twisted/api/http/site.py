"""The site that the API endpoint serves."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IReactorTime, ISSLTransport, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Site

from telemetry_twisted.api.access.proxies import ClientOf, client_at, peer_of
from telemetry_twisted.api.answers import error_answer
from telemetry_twisted.deadline import Deadline
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.turns import Turns

from .channel import ApiChannel
from .connections import Connections
from .request import ApiRequest

RETRY_SECONDS = 10
"""When a client that was refused for want of room may try again."""

REFUSAL_SECONDS = 5.0
"""How long a client that was refused may take to be told so."""

SHOWN_BYTES = 500
"""How much of what a client sends is shown in a line of the log."""


class ApiSite(Site):
    """Serves ``resource`` over :class:`~.channel.ApiChannel`.

    :param takes_body: whether a method (bytes) of a path (bytes, with its query) asks for a body.
    :param client_of: tells the client that a request comes from.
    :param access_log: whether each request is logged.
    :param errors: where requests that cannot be answered are noted.
    """

    protocol: Any = ApiChannel
    noisy = False
    _log = Logger()

    def __init__(
        self,
        resource: IResource,
        takes_body: Callable[[bytes, bytes], bool],
        connections: Connections,
        turns: Turns,
        clock: IReactorTime,
        client_of: ClientOf = peer_of,
        access_log: bool = False,
        errors: InternalErrors | None = None,
    ) -> None:
        # Twisted's own deadline begins anew with every byte; the channel has better ones.
        super().__init__(
            resource, ApiRequest, timeout=None, reactor=clock, parsePOSTFormSubmission=False
        )
        self.takes_body = takes_body
        self.connections = connections
        self.turns = turns
        self.clock = clock
        self.client_of = client_of
        self.errors = errors or InternalErrors(clock)
        self._access_log = access_log

    def startFactory(self) -> None:
        """Twisted's log of requests goes by a clock that tells no date, so it is not begun."""

    def stopFactory(self) -> None:
        """Nor is it ended."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        client = client_at(addr)
        refusal = self.connections.enter(client)
        if refusal is not None:
            return RefusedConnection(refusal, self.clock)
        channel: ApiChannel = super().buildProtocol(addr)
        channel.client = client
        return channel

    def getContentFile(self, length: int | None) -> BytesIO:
        """Where the body of a request goes: it is small."""
        return BytesIO()

    def acceptableProtocols(self) -> list[bytes]:
        """What is spoken over TLS."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        if self._access_log:
            self._log.info(
                '{client} "{method} {uri} {version}" {code} {bytes} "{agent}"',
                client=request.channel.client,
                method=_shown(request.method),
                uri=_shown(request.uri),
                version=_shown(request.clientproto),
                code=request.code,
                bytes=request.sentLength,
                agent=_shown(request.getHeader(b"user-agent") or b"-"),
            )


class RefusedConnection(Protocol):
    """A connection that is told why it is not let in, and closed.

    Over TLS it could be told only after a handshake, which it is not worth.
    """

    def __init__(self, refusal: str, clock: IReactorTime) -> None:
        self._refusal = refusal
        self._due = Deadline(clock, self._abort)

    def connectionMade(self) -> None:
        assert self.transport is not None
        if ISSLTransport.providedBy(self.transport):
            self._abort()
            return
        self._due.set(REFUSAL_SECONDS)
        retry = {"Retry-After": str(RETRY_SECONDS)}
        self.transport.write(error_answer(HTTPStatus.SERVICE_UNAVAILABLE, self._refusal, retry))
        self.transport.loseConnection()

    def _abort(self) -> None:
        cast(ITCPTransport, self.transport).abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._due.set(None)


def _shown(text: bytes) -> str:
    """What a client sent, in one line and without what a terminal might obey."""
    shown = text[:SHOWN_BYTES].decode("latin-1")
    return re.sub(r"[^ !#-\[\]-~]", lambda match: f"\\x{ord(match[0]):02x}", shown)
