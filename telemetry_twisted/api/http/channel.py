"""A connection to the API: one request after the other, each in its time."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import alsoProvides, noLongerProvides

from telemetry_twisted.api.answers import error_answer
from telemetry_twisted.deadline import Deadline
from telemetry_twisted.transport.progress import accepted_bytes, socket_under

from .request import ApiRequest, BodyTooLarge

if TYPE_CHECKING:
    from .site import ApiSite

READ_AHEAD_BYTES = 1 << 14
"""How much of further requests may have come before no more is read until this one is answered."""

UNREAD_SECONDS = 60.0
"""How long a client may read nothing of what waits for it."""

LINGER_BYTES = 1 << 27
"""How much is thrown away before a client that sends on is cut off."""

HEAD_BYTES = 1 << 14
"""The longest head of a request."""

HEAD_LINES = 100
"""The most header fields of a request."""


class Phase(Enum):
    """What a connection is about."""

    IDLE = "waiting for a request"
    HEAD = "receiving the head of a request"
    BODY = "receiving the body of a request"
    ANSWER = "answering"
    LINGER = "closing; what the client still sends is thrown away"
    UPGRADED = "another protocol's"
    CLOSED = "closed"


SECONDS = {
    Phase.IDLE: 60.0,
    Phase.HEAD: 15.0,
    Phase.BODY: 15.0,
    Phase.LINGER: 15.0,
}
"""How long a phase may last in all, however much comes; the others have no end of their own.

The last one begins anew while the client reads what it was sent.
"""


class ApiChannel(HTTPChannel):
    """Twisted's HTTP/1.1, with a deadline for each phase and for clients that do not read.

    The next request is looked at when the answer to the one before it is out: what waits for a
    client that does not read is one answer at most. A body that no route asks for is not read:
    the request is answered from its head.

    A client that ends its side of a TCP connection after its requests still gets its answers. One
    that has gone altogether looks the same until something is written to it.

    ``client`` is the one whose connection this is, as limits see it.
    """

    maxHeaders = HEAD_LINES
    totalHeadersSize = HEAD_BYTES
    MAX_LENGTH = HEAD_BYTES

    site: ApiSite
    transport: Any
    requests: list[ApiRequest]
    client = ""

    def __init__(self) -> None:
        super().__init__()
        self.phase = Phase.IDLE
        self._full = False
        self._no_more_comes = False
        self._ahead: list[bytes] = []
        self._thrown_away = 0
        self._accepted: int | None = None
        self._answered: ApiRequest | None = None
        self._upgraded: IProtocol | None = None

    # What comes in

    def connectionMade(self) -> None:
        self._due = Deadline(self.site.clock, self._late)
        self._unread = Deadline(self.site.clock, self._abort)
        super().connectionMade()
        alsoProvides(self, IHalfCloseableProtocol)
        self._enter(Phase.IDLE)

    def belongs_to(self, client: str) -> str | None:
        """Count the connection as one of ``client``; why not, if that has too many."""
        refusal = self.site.connections.move(self.client, client)
        if refusal is None:
            self.client = client
        return refusal

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._due.set(SECONDS.get(phase))

    def dataReceived(self, data: bytes) -> None:
        if self._upgraded is not None:
            self._upgraded.dataReceived(data)
        elif self.phase is Phase.LINGER:
            self._thrown_away += len(data)
            if self._thrown_away > LINGER_BYTES:
                self._abort()
        else:
            if self.phase is Phase.IDLE:
                self._enter(Phase.HEAD)
            super().dataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(431, f"the head of the request is longer than {HEAD_BYTES} bytes")

    def allHeadersReceived(self) -> None:
        request = self.requests[-1]
        wanted = self.length == 0
        if not wanted:
            request.announced = self.length
            wanted = not request.too_large and self.site.takes_body(self._command, self._path)
        if wanted:
            self._enter(Phase.BODY)
        else:
            # Nobody is told to continue; and without a length it is answered now.
            request.requestHeaders.removeHeader(b"expect")
            self.length = 0
        super().allHeadersReceived()
        if not wanted:
            self._read_no_more(request)

    def _read_no_more(self, request: ApiRequest) -> None:
        request.unread = True
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        self.persistent = False

    def rawDataReceived(self, data: bytes) -> None:
        if self.phase is Phase.ANSWER:
            self._ahead.append(data)
        try:
            super().rawDataReceived(data)
        except BodyTooLarge:
            self._read_no_more(self.requests[-1])
            self.allContentReceived()

    def allContentReceived(self) -> None:
        self._enter(Phase.ANSWER)
        self._ahead = []
        super().allContentReceived()

    def readConnectionLost(self) -> None:
        """The client sends no more; what it has asked for is answered (RFC 9293, 3.6)."""
        self._no_more_comes = True
        if self.phase is not Phase.ANSWER:
            super().loseConnection()

    def writeConnectionLost(self) -> None:
        """Nothing: that was our doing."""

    # What goes out

    def requestDone(self, request: ApiRequest) -> None:
        if self._full:
            self._answered = request
            return
        if self.persistent:
            self._enter(Phase.IDLE)
        super().requestDone(request)
        if self._no_more_comes and self.phase is not Phase.ANSWER:
            super().loseConnection()

    def pauseProducing(self) -> None:
        self._full = True
        self._unread.set(UNREAD_SECONDS)
        super().pauseProducing()
        # A request that is being answered does not keep us from not reading either.
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._full = False
        self._unread.set(None)
        super().resumeProducing()
        if self.phase is Phase.ANSWER and sum(map(len, self._ahead)) <= READ_AHEAD_BYTES:
            self.transport.resumeProducing()
        request, self._answered = self._answered, None
        if request is not None:
            self.requestDone(request)

    # How it ends

    def _late(self) -> None:
        if self.phase in (Phase.HEAD, Phase.BODY):
            what = "head" if self.phase is Phase.HEAD else "body"
            seconds = SECONDS[self.phase]
            self._refuse(408, f"the {what} of the request did not come within {seconds:.0f} s")
        elif self.phase is Phase.IDLE:
            self.loseConnection()
        elif self._reads_on():
            self._enter(Phase.LINGER)
        else:
            self._abort()

    def _reads_on(self) -> bool:
        """Whether the client has read some of what the system still has for it.

        That may be all of an answer, which a slow client takes its time for.
        """
        before, self._accepted = self._accepted, self._accepted_bytes()
        return self._accepted is not None and self._accepted != before

    def _accepted_bytes(self) -> int | None:
        handle = socket_under(self.transport)
        return None if handle is None else accepted_bytes(handle)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's answer to what is not HTTP has no body, and there is no other way to give it.
        self._refuse(400, "that is no HTTP request, or its head is too large")

    def _refuse(self, code: int, message: str) -> None:
        """Answer what does not become a request, and close."""
        self.transport.write(error_answer(code, message))
        self.loseConnection()

    def loseConnection(self) -> None:
        """Close when all is out, in stages, so that the answer is not lost (RFC 9112, 9.6).

        Were it closed with something unread, the connection would be reset instead.
        """
        self._enter(Phase.LINGER)
        self._accepted = self._accepted_bytes()
        self.clearLineBuffer()
        in_stages = ITCPTransport.providedBy(self.transport) and not self.isSecure()
        if in_stages:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()
        else:
            # TLS has stages of its own.
            super().loseConnection()

    def _abort(self) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._enter(Phase.CLOSED)
        self._unread.set(None)
        self.site.connections.leave(self.client)
        if self._upgraded is None:
            super().connectionLost(reason)
        else:
            self._upgraded.connectionLost(reason)

    # What else it may become

    def upgrade(self, protocol: IProtocol, handshake: bytes) -> None:
        """Hand the connection over to ``protocol`` for good.

        It receives ``handshake``, the request, and then what the client has sent since.
        """
        request = self.requests.pop()
        request.setResponseCode(HTTPStatus.SWITCHING_PROTOCOLS)
        self.site.log(request)
        self._enter(Phase.UPGRADED)
        self._unread.set(None)
        self._upgraded = protocol
        # Who sends no more is gone from now on.
        noLongerProvides(self, IHalfCloseableProtocol)
        self.transport.unregisterProducer()
        protocol.makeConnection(self.transport)
        self.transport.resumeProducing()
        for data in (handshake, *self._ahead):
            protocol.dataReceived(data)
        if self._no_more_comes:
            self._abort()
