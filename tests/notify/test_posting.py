"""POSTs over real sockets, to endpoints that take, refuse, fail, hang, and go on for ever."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from pytest_twisted import ensureDeferred
from twisted.internet import defer
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from telemetry_twisted.notify import posting
from telemetry_twisted.notify.posting import MOST_ANSWER, HttpPost, NotTaken, Refused


class Receiver(Resource):
    """Answers each request as it is told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answer: Callable[[Any], Any] = lambda _: b""
        self.got: list[tuple[bytes, bytes | None, bytes]] = []
        self.gone: Deferred[None] = Deferred()

    def render_POST(self, request: Any) -> Any:
        request.notifyFinish().addBoth(self._finished)
        content_type = request.getHeader(b"content-type")
        self.got.append((content_type, request.getHeader(b"authorization"), request.content.read()))
        return self.answer(request)

    def _finished(self, _: object) -> None:
        if not self.gone.called:
            self.gone.callback(None)


def with_code(code: int, said: bytes = b"") -> Callable[[Any], bytes]:
    def answer(request: Any) -> bytes:
        request.setResponseCode(code)
        request.setHeader(b"location", b"http://127.0.0.1:1/")
        return said

    return answer


def without_end(request: Any) -> int:
    """The head of an answer, and more and more of it, but never the end."""
    request.setResponseCode(500)
    request.write(b"x" * (4 * MOST_ANSWER))
    return NOT_DONE_YET


@frozen
class Place:
    """A receiver that listens on ``port``."""

    receiver: Receiver
    port: Any

    async def send(self) -> None:
        """POST to it."""
        url = f"http://127.0.0.1:{self.port.getHost().port}/alerts"
        headers = {"telemetry-signature": "t=1"}
        await HttpPost.over(installed)(url, ("me", "word"), headers, b"[]")


@pytest.fixture
def place() -> Iterator[Place]:
    receiver = Receiver()
    reactor: Any = installed
    port = reactor.listenTCP(0, Site(receiver), interface="127.0.0.1")
    yield Place(receiver, port)
    pytest_twisted.blockon(defer.maybeDeferred(port.stopListening))


@ensureDeferred
async def test_what_is_taken(place: Place) -> None:
    await place.send()
    assert place.receiver.got == [(b"application/json", b"Basic bWU6d29yZA==", b"[]")]


@ensureDeferred
@pytest.mark.parametrize("code", [400, 401, 404, 410, 422, 301, 307])
async def test_what_is_refused(place: Place, code: int) -> None:
    place.receiver.answer = with_code(code, b"no\nsuch thing")
    with pytest.raises(Refused, match=f"^it answered {code}: no"):
        await place.send()


@ensureDeferred
@pytest.mark.parametrize("code", [500, 502, 503, 504, 408, 425, 429])
async def test_what_is_not_taken_this_time(place: Place, code: int) -> None:
    place.receiver.answer = with_code(code)
    with pytest.raises(NotTaken, match=f"^it answered {code}$"):
        await place.send()


@ensureDeferred
async def test_an_answer_without_end_is_not_read_to_the_end(place: Place) -> None:
    place.receiver.answer = without_end
    with pytest.raises(NotTaken, match=r"^it answered 500: x{512}$"):
        await place.send()
    await place.receiver.gone


def hang(_: Any) -> int:
    return NOT_DONE_YET


def hang_in_the_answer(request: Any) -> int:
    request.write(b"a little")
    return NOT_DONE_YET


@ensureDeferred
@pytest.mark.parametrize("answer", [hang, hang_in_the_answer])
async def test_one_that_hangs_is_given_up(
    place: Place, answer: Callable[[Any], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", 0.1)
    place.receiver.answer = answer
    with pytest.raises(NotTaken, match="did not answer within"):
        await place.send()
    await place.receiver.gone


@ensureDeferred
async def test_one_that_hangs_up(place: Place) -> None:
    def hang_up(request: Any) -> int:
        request.transport.abortConnection()
        return NOT_DONE_YET

    place.receiver.answer = hang_up
    with pytest.raises(NotTaken) as caught:
        await place.send()
    assert "object at" not in str(caught.value)


@ensureDeferred
async def test_one_that_is_not_there() -> None:
    with pytest.raises(NotTaken, match="refused"):
        await HttpPost.over(installed)(f"http://127.0.0.1:{unused()}/", None, {}, b"")


def unused() -> int:
    """A port at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Client:
    """A client of HTTP that fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def request(self, *_: Any, **__: Any) -> None:
        raise self._error


@ensureDeferred
@pytest.mark.parametrize(
    ("error", "told"), [(ConnectError(), NotTaken), (ZeroDivisionError(), ZeroDivisionError)]
)
async def test_a_mistake_is_no_failure_of_the_network(
    error: Exception, told: type[Exception]
) -> None:
    client: Any = Client(error)
    with pytest.raises(told):
        await HttpPost(client, Clock())("http://a/", None, {}, b"")


@ensureDeferred
async def test_an_attempt_that_is_broken_off() -> None:
    class Slow:
        async def request(self, *_: Any, **__: Any) -> None:
            await Deferred()

    client: Any = Slow()
    attempt = Deferred.fromCoroutine(HttpPost(client, Clock())("http://a/", None, {}, b""))
    attempt.cancel()
    with pytest.raises(defer.CancelledError):
        await attempt
