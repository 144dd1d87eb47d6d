"""How a request is turned away."""

from __future__ import annotations


class Refused(Exception):
    """A request gets no further: with which status it is answered, and which headers besides.

    The message is for who asks: what was wrong, and what to do.
    """

    def __init__(self, status: int, message: str, headers: dict[bytes, bytes] | None = None):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
