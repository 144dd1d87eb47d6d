"""One POST: taken, not taken this time, or refused for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

TIMEOUT = 10.0
"""Seconds for the whole of a POST, its answer included."""

MOST_ANSWER = 512
"""Bytes of an answer that are read: what it says is only told to people."""

_LATER = {408, 425, 429}
"""Answers of a client's fault that are none, and go by."""

_NETWORK_ERRORS = (
    ConnectError,
    ConnectTimeout,
    ConnectionClosed,
    DNSLookupError,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)


class NotTaken(Exception):
    """It was not taken this time; another time it may be."""


class Refused(Exception):
    """It will not be taken, however often it is tried."""


class Post(Protocol):
    """Sends one POST."""

    async def __call__(
        self, url: str, auth: tuple[str, str] | None, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Have ``body``, which is JSON, taken at ``url``.

        :raises NotTaken: if the receiver cannot be reached, is too slow, or says that it cannot.
        :raises Refused: if it says that it will not.
        """


class HttpPost:
    """Implements :class:`Post`: each on a connection of its own, following no redirect.

    :param client: sends requests.
    """

    def __init__(self, client: HTTPClient, clock: IReactorTime) -> None:
        self._client = client
        self._clock = clock

    @classmethod
    def over(cls, reactor: Any) -> HttpPost:
        """One that uses the network."""
        pool = HTTPConnectionPool(reactor, persistent=False)
        return cls(HTTPClient(Agent(reactor, connectTimeout=TIMEOUT, pool=pool)), reactor)

    async def __call__(
        self, url: str, auth: tuple[str, str] | None, headers: Mapping[str, str], body: bytes
    ) -> None:
        """See :class:`Post`."""
        attempt = Deferred.fromCoroutine(self._exchange(url, auth, headers, body))
        late = self._clock.callLater(TIMEOUT, attempt.cancel)
        try:
            code, said = await attempt
        except (CancelledError, *_NETWORK_ERRORS) as error:
            if not late.active():
                raise NotTaken(f"it did not answer within {TIMEOUT:.0f} s") from error
            if isinstance(error, CancelledError):
                raise
            raise NotTaken(_words(error)) from error
        finally:
            if late.active():
                late.cancel()
        if 200 <= code < 300:
            return
        answer = f"it answered {code}" + (f": {said}" if said else "")
        if 300 <= code < 400:
            raise Refused(f"{answer}; redirects are not followed: give the URL that it leads to")
        if 400 <= code < 500 and code not in _LATER:
            raise Refused(answer)
        raise NotTaken(answer)

    async def _exchange(
        self, url: str, auth: tuple[str, str] | None, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str]:
        sent = Headers({"content-type": ["application/json"]})
        for name, value in headers.items():
            sent.addRawHeader(name, value)
        response = await self._client.request(
            "POST", url, headers=sent, data=body, auth=auth, allow_redirects=False, unbuffered=True
        )
        return response.code, await _beginning(response.original)


def _words(error: BaseException) -> str:
    """What went wrong, without the classes that it went through."""
    while reasons := getattr(error, "reasons", None):
        error = reasons[0].value
    return str(error) or type(error).__name__


def _beginning(response: IResponse) -> Deferred[str]:
    """The first line of what ``response`` says, as far as it is read."""
    done: Deferred[str] = Deferred(lambda _: reading.stop())
    reading = _Beginning(done)
    response.deliverBody(reading)
    return done


class _Beginning(TwistedProtocol):
    """Reads :data:`MOST_ANSWER` bytes, and then no more."""

    def __init__(self, done: Deferred[str]) -> None:
        self._done: Deferred[str] | None = done
        self._read = b""

    def dataReceived(self, data: bytes) -> None:
        self._read += data
        if len(self._read) >= MOST_ANSWER:
            self._finish()
            self.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # What was not said is not missed: the code came before it.
        self._finish()

    def stop(self) -> None:
        """Read no more."""
        self._done = None
        if self.transport is not None:
            self.transport.loseConnection()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            lines = self._read[:MOST_ANSWER].decode(errors="replace").strip().splitlines()
            done.callback("".join(c for c in lines[0] if c.isprintable()) if lines else "")
