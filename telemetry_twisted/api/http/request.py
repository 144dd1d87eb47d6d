"""A request to the API: a body that is bounded, an answer that waits for its reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.web.iweb import INonQueuedRequestFactory
from twisted.web.server import Request
from zope.interface import implementer, provider

from telemetry_twisted.api.access.headers import SECURITY_HEADERS
from telemetry_twisted.api.answers import MISTAKE, REQUEST, json_error, reason_phrase

if TYPE_CHECKING:
    from .channel import ApiChannel

MOST_BODY_BYTES = 1 << 16
"""The longest body of a request."""

PIECE_BYTES = 1 << 16
"""How much of an answer is written before the client has taken what was written before."""


class BodyTooLarge(Exception):
    """The body of a request turned out to be longer than :data:`MOST_BODY_BYTES`."""


@provider(INonQueuedRequestFactory)
class ApiRequest(Request):
    """Twisted's request, held in bounds.

    Its body is in memory and never parsed. It is answered in a turn of its own, so that no segment
    of pipelined requests holds the reactor. What is written in one large piece is handed to the
    transport in small ones, as the client takes them.

    ``announced`` is the length of the body that the head tells of, None if it tells of none.
    ``unread`` says whether the body was left unread.
    """

    channel: ApiChannel

    def __init__(self, channel: ApiChannel) -> None:
        super().__init__(channel)
        self.announced: int | None = 0
        self.unread = False
        self._body_bytes = 0
        self._paced: PacedAnswer | None = None

    # What comes in

    @property
    def too_large(self) -> bool:
        """Whether the body is longer than a body may be, as far as is known."""
        return max(self.announced or 0, self._body_bytes) > MOST_BODY_BYTES

    def handleContentChunk(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self.too_large:
            raise BodyTooLarge
        super().handleContentChunk(data)

    def process(self) -> None:
        self.channel.site.turns.taken().addCallback(self._serve).addErrback(self._failed)

    def _serve(self, _: None) -> None:
        if self.channel is None:
            return  # It is gone by now.
        refusal = self.channel.belongs_to(self.channel.site.client_of(self))
        if refusal is not None:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, refusal)
        elif self.path == b"*":
            # Twisted would answer for the server as a whole, past all that stands before routing.
            self.refuse(HTTPStatus.NOT_FOUND, "there is nothing at *")
        else:
            super().process()

    def _failed(self, failure: Failure) -> None:
        """What stands before routing has failed, of which Twisted knows nothing."""
        self.processingFailed(failure)

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer with an error of the house's shape where Twisted has a page."""
        if self.channel is None:
            return reason
        self.channel.site.errors.note(REQUEST, reason)
        if self.startedWriting:
            self.channel.loseConnection()
        else:
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, MISTAKE)
        return reason

    # What goes out

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        super().setResponseCode(code, message or reason_phrase(code))

    def refuse(self, code: int, message: str) -> None:
        """Answer with an error, and close the connection."""
        body = json_error(self, code, message)
        for name, value in {**SECURITY_HEADERS, b"connection": b"close"}.items():
            self.setHeader(name, value)
        self.channel.persistent = False
        self.write(body)
        self.finish()

    def write(self, data: bytes) -> None:
        if self._paced is not None:
            self._paced.add(data)
        elif len(data) <= PIECE_BYTES or self.method == b"HEAD" or self.producer is not None:
            super().write(data)
        else:
            self._paced = PacedAnswer(super().write, self._all_written)
            self.registerProducer(self._paced, True)
            self._paced.add(data)

    def finish(self) -> None:
        if self._paced is not None:
            self._paced.finish()
        else:
            super().finish()

    def _all_written(self) -> None:
        self._paced = None
        self.unregisterProducer()
        super().finish()


@implementer(IPushProducer)
class PacedAnswer:
    """Hands an answer on in pieces of :data:`PIECE_BYTES`, each when there is room for it.

    :param write: takes a piece.
    :param done: called when all is written and no more comes.
    """

    def __init__(self, write: Callable[[bytes], None], done: Callable[[], None]) -> None:
        self._write = write
        self._done = done
        self._waiting: deque[memoryview] = deque()
        self._flowing = True
        self._over = False

    def add(self, data: bytes) -> None:
        """Write ``data`` after what waits already."""
        self._waiting.append(memoryview(data))
        self._go_on()

    def finish(self) -> None:
        """There is no more to write than what waits."""
        self._over = True
        self._go_on()

    def _go_on(self) -> None:
        while self._flowing and self._waiting:
            data = self._waiting.popleft()
            if len(data) > PIECE_BYTES:
                self._waiting.appendleft(data[PIECE_BYTES:])
            self._write(bytes(data[:PIECE_BYTES]))
        if self._over and not self._waiting:
            self._over = False
            self._done()

    def pauseProducing(self) -> None:
        self._flowing = False

    def resumeProducing(self) -> None:
        self._flowing = True
        self._go_on()

    def stopProducing(self) -> None:
        self._flowing = self._over = False
        self._waiting.clear()
