"""What is wrong with what a subscriber asks for, in words for its author."""

from __future__ import annotations

from typing import Any

import ujson

_SHOWN_LENGTH = 200


class BadRequest(Exception):
    """What is wrong with a request, and what is accepted; ``request`` is its type if it had one."""

    def __init__(self, message: str, request: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.request = request


def shown(value: Any) -> str:
    """The beginning of ``value`` as the client wrote it."""
    text = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def is_int(value: Any) -> bool:
    """Whether JSON ``value`` is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
