"""What HTTP requests are answered with: JSON, errors included."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IRequest

from .access.headers import SECURITY_HEADERS
from .websocket.frames import encode

_PHRASES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Reason phrases that RFC 9110 has changed since Python's table was written."""

REQUEST = "request"
"""The place of mistakes in what is done for a request (:class:`.InternalErrors`)."""

MISTAKE = "the server made a mistake, which its log tells of"
"""What who asked is told of such a mistake."""


def reason_phrase(code: int) -> bytes:
    """What stands behind a status code; nothing if there is no such code (RFC 9112, 4)."""
    try:
        return _PHRASES.get(code, HTTPStatus(code).phrase).encode()
    except ValueError:
        return b""


def json_answer(request: IRequest, code: int, value: Any) -> bytes:
    """Answer ``request`` with ``value`` as JSON."""
    return json_body(request, code, encode(value))


def json_body(request: IRequest, code: int, body: bytes) -> bytes:
    """Answer ``request`` with ``body``, which is JSON already."""
    request.setResponseCode(code, reason_phrase(code))
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def error_value(code: int, message: str) -> dict[str, Any]:
    """The one shape that errors have."""
    return {"error": {"status": code, "message": message}}


def json_error(request: IRequest, code: int, message: str) -> bytes:
    """Answer ``request`` with an error."""
    return json_answer(request, code, error_value(code, message))


def error_answer(code: int, message: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer, for what is refused where there is no request; the connection ends."""
    body = encode(error_value(code, message))
    lines = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **{name.decode().title(): text.decode() for name, text in SECURITY_HEADERS.items()},
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (code, reason_phrase(code), head.encode(), body)
