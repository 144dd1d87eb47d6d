"""Origins, and the address that the public knows the server by."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from attrs import frozen

from .hosts import Host

DEFAULT_PORTS = {"http": 80, "https": 443}

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_PATH = re.compile(r"(?:/(?:[\w.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*/?", re.ASCII)


@frozen
class Origin:
    """What browsers keep apart: a scheme, a host and a port (RFC 6454)."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, scheme: str, host: Host) -> Origin:
        """The origin of what is at ``host``."""
        port = DEFAULT_PORTS.get(scheme) if host.port is None else host.port
        return cls(scheme, host.shown, port)

    @classmethod
    def parse(cls, text: str) -> Origin:
        """An origin as it is written in a header.

        :raises ValueError: if it is none, as is ``null``.
        """
        scheme, separator, host = text.partition("://")
        scheme = scheme.lower()
        if not separator or _SCHEME.fullmatch(scheme) is None:
            raise ValueError("expected an origin, such as https://example.org")
        return cls.of(scheme, Host.parse(host))

    def __str__(self) -> str:
        usual = self.port == DEFAULT_PORTS.get(self.scheme)
        return f"{self.scheme}://{self.host}{'' if usual else f':{self.port}'}"


@frozen
class PublicUrl:
    """Where the public finds the server: at a path of an origin, which ends in no slash."""

    origin: Origin
    host: Host
    path: str

    @classmethod
    def parse(cls, text: str) -> PublicUrl:
        """A URL.

        :raises ValueError: with what was expected.
        """
        try:
            parts = urlsplit(text)
            return cls._of(parts)
        except ValueError:
            raise ValueError(
                "expected an http or https URL without query, such as "
                "https://example.org or https://example.org/telemetry"
            ) from None

    @classmethod
    def _of(cls, parts: SplitResult) -> PublicUrl:
        good = parts.scheme in DEFAULT_PORTS and not parts.query and not parts.fragment
        if not good or _PATH.fullmatch(parts.path) is None:
            raise ValueError
        host = Host.parse(parts.netloc)
        return cls(Origin.of(parts.scheme, host), host, parts.path.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.origin}{self.path}"
