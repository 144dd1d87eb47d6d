"""The opening handshake: which requests become subscribers (RFC 6455, 4.2)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from telemetry_twisted.api.access.refused import Refused
from telemetry_twisted.api.answers import json_error
from telemetry_twisted.api.http.request import ApiRequest

from .protocol import SubscriberFactory
from .refusal import BadRequest
from .requests import parse_batch
from .subscribers import Subscribers

VERSION = b"13"
"""The version of the WebSocket protocol that RFC 6455 describes."""

_KEY_BYTES = 16


class WebSocketUpgrade(Resource):
    """Lets subscribers in while there is room; ``factory`` makes their protocols."""

    isLeaf = True

    def __init__(self, subscribers: Subscribers) -> None:
        Resource.__init__(self)
        self._subscribers = subscribers
        self.factory = SubscriberFactory(subscribers)

    def render(self, request: ApiRequest) -> Any:
        try:
            check_handshake(request)
            self._check_wishes(request)
        except Refused as refused:
            for name, value in refused.headers.items():
                request.setHeader(name, value)
            return json_error(request, refused.status, str(refused))
        protocol: Any = self.factory.buildProtocol(request.channel.getPeer())
        protocol.client = request.channel.client
        # Autobahn reads the handshake once more; what the client has sent since follows it.
        request.channel.upgrade(protocol, _handshake(request))
        return NOT_DONE_YET

    def _check_wishes(self, request: ApiRequest) -> None:
        batches = [value.decode("utf-8", "replace") for value in request.args.get(b"batch", ())]
        try:
            parse_batch(batches, self._subscribers.ring.batch)
        except BadRequest as error:
            raise Refused(HTTPStatus.BAD_REQUEST, error.message) from None
        if self._subscribers.full:
            most = self._subscribers.max_subscribers
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{most} subscribers are connected, as many as --max-subscribers allows",
            )


def _handshake(request: ApiRequest) -> bytes:
    """The head of a request, as it was sent but for what means the same."""
    headers = request.requestHeaders.getAllRawHeaders()
    lines = [b"%b: %b\r\n" % (name, value) for name, values in headers for value in values]
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (request.uri, b"".join(lines))


def check_handshake(request: ApiRequest) -> None:
    """Let only an opening handshake of a WebSocket client pass.

    :raises Refused: with what is missing or wrong (RFC 6455, 4.2.1).
    """
    if request.method != b"GET":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "expected GET, to upgrade", {b"allow": b"GET"})
    if b"websocket" not in _tokens(request, b"upgrade"):
        raise _upgrade_required("expected a WebSocket client (Upgrade: websocket)")
    if request.clientproto != b"HTTP/1.1":
        # An Upgrade header of an older version does not count (RFC 9110, 7.8).
        raise _upgrade_required("expected HTTP/1.1, which is what can be upgraded")
    if b"upgrade" not in _tokens(request, b"connection"):
        raise Refused(HTTPStatus.BAD_REQUEST, "expected Connection: Upgrade")
    _check_key(request.requestHeaders.getRawHeaders(b"sec-websocket-key", ()))
    _check_version(request.requestHeaders.getRawHeaders(b"sec-websocket-version", ()))
    if request.unread:
        raise Refused(HTTPStatus.BAD_REQUEST, "expected no body in a request to upgrade")


def _check_key(keys: Sequence[bytes]) -> None:
    try:
        (key,) = keys
        if len(b64decode(key, validate=True)) == _KEY_BYTES:
            return
    except ValueError:
        pass
    raise Refused(
        HTTPStatus.BAD_REQUEST, f"expected one Sec-WebSocket-Key, {_KEY_BYTES} bytes in base64"
    )


def _check_version(versions: Sequence[bytes]) -> None:
    if list(versions) == [VERSION]:
        return
    given = b", ".join(versions).decode("utf-8", "replace") or "missing"
    raise Refused(
        HTTPStatus.UPGRADE_REQUIRED if versions else HTTPStatus.BAD_REQUEST,
        f"Sec-WebSocket-Version is {given}; expected {VERSION.decode()}",
        {b"upgrade": b"websocket", b"sec-websocket-version": VERSION},
    )


def _upgrade_required(message: str) -> Refused:
    return Refused(HTTPStatus.UPGRADE_REQUIRED, message, {b"upgrade": b"websocket"})


def _tokens(request: ApiRequest, header: bytes) -> set[bytes]:
    """The comma-separated tokens of a header, in lower case."""
    values = request.requestHeaders.getRawHeaders(header, ())
    return {token.strip().lower() for value in values for token in value.split(b",")}
