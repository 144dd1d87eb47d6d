"""The opening handshake: which requests become subscribers (RFC 6455, 4.2)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any

from attrs import frozen
from autobahn.twisted.resource import WebSocketResource
from twisted.web.resource import Resource
from twisted.web.server import Request

from telemetry_twisted.api.answers import json_error

from .protocol import SubscriberFactory
from .requests import BadRequest, parse_batch
from .subscribers import Subscribers

VERSION = b"13"
"""The version of the WebSocket protocol that RFC 6455 describes."""

_KEY_BYTES = 16


@frozen
class Refusal(Exception):
    """Why a request is not upgraded; ``headers`` say what would be."""

    code: int
    message: str
    headers: Sequence[tuple[bytes, bytes]] = ()


class WebSocketUpgrade(Resource):
    """Lets subscribers in while there is room."""

    isLeaf = True

    def __init__(self, subscribers: Subscribers) -> None:
        Resource.__init__(self)
        self._subscribers = subscribers
        self._web_socket = WebSocketResource(SubscriberFactory(subscribers))

    def render(self, request: Request) -> Any:
        try:
            check_handshake(request)
            self._check_wishes(request)
        except Refusal as refusal:
            for name, value in refusal.headers:
                request.setHeader(name, value)
            return json_error(request, refusal.code, refusal.message)
        # What came in the same segment as the handshake is the beginning of the stream of frames.
        # The resource hands on the request's content, which is empty, behind the handshake.
        request.content = BytesIO(request.channel.clearLineBuffer())
        return self._web_socket.render(request)

    def _check_wishes(self, request: Request) -> None:
        batches = [value.decode("utf-8", "replace") for value in request.args.get(b"batch", ())]
        try:
            parse_batch(batches, self._subscribers.ring.batch)
        except BadRequest as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, error.message) from None
        if self._subscribers.full:
            most = self._subscribers.max_subscribers
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{most} subscribers are connected, as many as --max-subscribers allows",
            )


def check_handshake(request: Request) -> None:
    """Let only an opening handshake of a WebSocket client pass.

    :raises Refusal: with what is missing or wrong (RFC 6455, 4.2.1).
    """
    if request.method != b"GET":
        raise Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED, "expected GET, to upgrade", [(b"allow", b"GET")]
        )
    if b"websocket" not in _tokens(request, b"upgrade"):
        raise _upgrade_required("expected a WebSocket client (Upgrade: websocket)")
    if request.clientproto != b"HTTP/1.1":
        # An Upgrade header of an older version does not count (RFC 9110, 7.8).
        raise _upgrade_required("expected HTTP/1.1, which is what can be upgraded")
    if b"upgrade" not in _tokens(request, b"connection"):
        raise Refusal(HTTPStatus.BAD_REQUEST, "expected Connection: Upgrade")
    _check_key(request.requestHeaders.getRawHeaders(b"sec-websocket-key", ()))
    _check_version(request.requestHeaders.getRawHeaders(b"sec-websocket-version", ()))
    if request.content is not None and request.content.read(1):
        raise Refusal(HTTPStatus.BAD_REQUEST, "expected no body in a request to upgrade")


def _check_key(keys: Sequence[bytes]) -> None:
    try:
        (key,) = keys
        if len(b64decode(key, validate=True)) == _KEY_BYTES:
            return
    except ValueError:
        pass
    raise Refusal(
        HTTPStatus.BAD_REQUEST, f"expected one Sec-WebSocket-Key, {_KEY_BYTES} bytes in base64"
    )


def _check_version(versions: Sequence[bytes]) -> None:
    if list(versions) == [VERSION]:
        return
    given = b", ".join(versions).decode("utf-8", "replace") or "missing"
    raise Refusal(
        HTTPStatus.UPGRADE_REQUIRED if versions else HTTPStatus.BAD_REQUEST,
        f"Sec-WebSocket-Version is {given}; expected {VERSION.decode()}",
        [(b"upgrade", b"websocket"), (b"sec-websocket-version", VERSION)],
    )


def _upgrade_required(message: str) -> Refusal:
    return Refusal(HTTPStatus.UPGRADE_REQUIRED, message, [(b"upgrade", b"websocket")])


def _tokens(request: Request, header: bytes) -> set[bytes]:
    """The comma-separated tokens of a header, in lower case."""
    values = request.requestHeaders.getRawHeaders(header, ())
    return {token.strip().lower() for value in values for token in value.split(b",")}
