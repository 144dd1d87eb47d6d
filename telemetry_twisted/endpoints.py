"""Where the server listens: Twisted's endpoints, of which those with TLS can be renewed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

from telemetry_twisted.transport.certificates import CertificateFiles

if TYPE_CHECKING:
    from telemetry_twisted.transport.tls import Certificates

_SSL_ARGUMENTS = (
    "port",
    "privateKey",
    "certKey",
    "sslmethod",
    "interface",
    "backlog",
    "extraCertChain",
    "dhParameters",
)
"""What an ``ssl:`` endpoint may be told, in the order in which it may be told without names."""

_TCP_ARGUMENTS = ("interface", "backlog")


@frozen
class TLSDescription:
    """An ``ssl:`` endpoint, taken apart: a ``tcp:`` endpoint, and what TLS is spoken with."""

    tcp: str
    files: CertificateFiles

    @classmethod
    def parse(cls, text: str) -> TLSDescription:
        """What Twisted's ``ssl:`` endpoints are described by.

        :raises ValueError: with what was expected.
        """
        given: dict[str, str] = {}
        names = iter(_SSL_ARGUMENTS)
        for name, value in _arguments(text)[1:]:
            known = name if name is not None else next(names, "one more")
            if known not in _SSL_ARGUMENTS:
                raise ValueError(f"expected ssl: with {', '.join(_SSL_ARGUMENTS)}; not {known}")
            if known == "sslmethod":
                raise ValueError("expected no sslmethod: the newest TLS is spoken that both can")
            given[known] = value
        if not given.get("port"):
            raise ValueError("expected ssl: and a port")
        key = os.path.abspath(given.get("privateKey", "server.pem"))
        optional = {
            name: os.path.abspath(given[name]) if name in given else None
            for name in ("certKey", "extraCertChain", "dhParameters")
        }
        files = CertificateFiles(
            key, optional["certKey"] or key, optional["extraCertChain"], optional["dhParameters"]
        )
        tcp = [f"tcp:{quoteStringArgument(given['port'])}"]
        tcp += [
            f"{name}={quoteStringArgument(given[name])}" for name in _TCP_ARGUMENTS if name in given
        ]
        return cls(":".join(tcp), files)


def _arguments(text: str) -> list[tuple[str | None, str]]:
    """The parts of an endpoint's description, each with its name if it has one.

    Colons separate them, the first equals sign ends a name, and a backslash keeps what follows it
    from meaning anything.
    """
    parts: list[tuple[str | None, str]] = []
    name: str | None = None
    value = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            value += next(characters, "")
        elif character == ":":
            parts.append((name, value))
            name, value = None, ""
        elif character == "=" and name is None:
            name, value = value, ""
        else:
            value += character
    return [*parts, (name, value)]


def is_tls(text: str) -> bool:
    """Whether an endpoint is an ``ssl:`` one."""
    return text.partition(":")[0] == "ssl"


def without_tls(text: str) -> str:
    """The endpoint that is listened at by those who speak TLS, or do not, themselves."""
    return TLSDescription.parse(text).tcp if is_tls(text) else text


def certificate_files(text: str) -> CertificateFiles | None:
    """What TLS is spoken with at an endpoint; None where it is not."""
    return TLSDescription.parse(text).files if is_tls(text) else None


def server_endpoint(
    reactor: Any, text: str, renewable: Callable[[Certificates], object]
) -> IStreamServerEndpoint:
    """The endpoint that ``text`` describes.

    :param renewable: called with the certificates of an ``ssl:`` endpoint, which can be reloaded.
    :raises ValueError: with what was expected, or what is wrong with which file.
    """
    if not is_tls(text):
        return cast(IStreamServerEndpoint, serverFromString(reactor, text))
    description = TLSDescription.parse(text)
    # Here, so that OpenSSL is only imported where TLS is spoken.
    from telemetry_twisted.transport.tls import Certificates, TLSServerEndpoint

    certificates = Certificates(description.files, reactor)
    renewable(certificates)
    tcp = serverFromString(reactor, description.tcp)
    return TLSServerEndpoint(tcp, certificates, reactor)
