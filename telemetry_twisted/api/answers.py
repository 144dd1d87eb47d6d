"""What HTTP requests are answered with: JSON, errors included."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IRequest

from .websocket.frames import encode


def json_answer(request: IRequest, code: int, value: Any) -> bytes:
    """Answer ``request`` with ``value`` as JSON."""
    # Twisted knows no reason phrase for codes that are newer than RFC 2616, such as 426.
    request.setResponseCode(code, HTTPStatus(code).phrase.encode())
    request.setHeader(b"content-type", b"application/json")
    return encode(value)


def error_value(code: int, message: str) -> dict[str, Any]:
    """The one shape that errors have."""
    return {"error": {"status": code, "message": message}}


def json_error(request: IRequest, code: int, message: str) -> bytes:
    """Answer ``request`` with an error."""
    return json_answer(request, code, error_value(code, message))
