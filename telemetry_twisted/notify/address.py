"""The URL of a receiver."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit, urlunsplit

from attrs import field, frozen


@frozen
class ReceiverUrl:
    """Where to POST to; ``auth`` is the user and password that were in the URL, or None.

    A path may be as secret as a password, so only ``shown`` is for logs and figures.
    """

    url: str = field(repr=False)
    auth: tuple[str, str] | None = field(repr=False)
    shown: str

    @classmethod
    def parse(cls, text: str) -> ReceiverUrl:
        """The URL in ``text``.

        :raises ValueError: with what was expected; what was given is not in it.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ValueError(
                "expected a URL such as https://example.org/alerts, without a fragment"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        place = host if port is None else f"{host}:{port}"
        auth = None
        if parts.username is not None:
            auth = unquote(parts.username), unquote(parts.password or "")
        url = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
        return cls(url, auth, f"{parts.scheme}://{place}")

    def under(self, path: str) -> str:
        """The URL of ``path`` below this one."""
        parts = urlsplit(self.url)
        below = f"{parts.path.rstrip('/')}/{path}"
        return urlunsplit((parts.scheme, parts.netloc, below, parts.query, ""))
