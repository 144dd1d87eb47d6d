"""Whose pages may use the server: Origin for WebSocket, and CORS for everything else.

A browser lets any page open a WebSocket anywhere, and only says in ``Origin`` whose page it is
(RFC 6455, 10.2). What is fetched it gives to a page of another origin only where the answer says
that it may (Fetch, 3.2). What sends no ``Origin`` is no browser, or asks for its own origin.
"""

from __future__ import annotations

from attrs import field, frozen

from .urls import Origin

ANY = "*"
"""Stands for every origin."""

METHODS = b"GET, HEAD, POST"
HEADERS = b"Authorization, Content-Type"
REMEMBERED_SECONDS = 600
"""How long a browser need not ask again whether it may."""

Headers = dict[bytes, bytes]


@frozen
class AllowedOrigins:
    """The origins, other than the server's own, whose pages may use it; ``any``: all."""

    origins: frozenset[Origin] = field(factory=frozenset)
    any: bool = False

    @classmethod
    def parse(cls, text: str) -> AllowedOrigins:
        """Origins separated by commas, or ``*`` for all; none if there is nothing.

        :raises ValueError: with what was expected.
        """
        parts = [part.strip() for part in text.split(",") if part.strip()]
        origins = frozenset(_read(part) for part in parts if part != ANY)
        return cls(origins, ANY in parts)

    def include(self, origin: str) -> bool:
        """Whether pages of ``origin``, as a header names it, may use the server."""
        if self.any:
            return True
        try:
            return Origin.parse(origin) in self.origins
        except ValueError:
            return False

    def answer_headers(self, origin: str | None) -> Headers:
        """What an answer says to a browser of who may read it."""
        headers: Headers = {} if self.any else {b"vary": b"Origin"}
        if origin is not None and self.include(origin):
            headers[b"access-control-allow-origin"] = b"*" if self.any else origin.encode()
            headers[b"access-control-expose-headers"] = b"Retry-After, WWW-Authenticate"
        return headers

    def preflight_headers(self) -> Headers:
        """What a browser is told that asks before it asks (Fetch, "CORS-preflight request")."""
        return {
            b"access-control-allow-methods": METHODS,
            b"access-control-allow-headers": HEADERS,
            b"access-control-max-age": b"%d" % REMEMBERED_SECONDS,
        }


def _read(text: str) -> Origin:
    try:
        return Origin.parse(text.rstrip("/"))
    except ValueError:
        raise ValueError(
            f"expected origins separated by commas, such as https://example.org, or *; "
            f"{text} is none"
        ) from None
