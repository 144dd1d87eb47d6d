"""The head of a request, read: where it came from, what it asks for, and for whose page."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address

from telemetry_twisted.addresses import Address, read_address

from .hosts import Host
from .proxies import TrustedProxies
from .refused import Refused
from .urls import Origin


@frozen
class Arrival:
    """What the rules are about.

    :param client: as limits see it.
    :param secure: whether the client's own connection is by TLS.
    :param hosts: the hosts that were asked for: as a trusted proxy was asked, if it says, and as we
        were. There is none in requests of HTTP/1.0.
    :param page: what ``Origin`` says of the page that asks; None where nothing does.
    :param local: the address that was connected to, None at a unix socket.
    """

    client: str
    secure: bool
    hosts: tuple[Host, ...]
    page: str | None
    local: Address | None
    is_upgrade: bool

    @property
    def origin(self) -> Origin | None:
        """The origin that a page of the server itself has, as the client asked for it."""
        if not self.hosts:
            return None
        return Origin.of("https" if self.secure else "http", self.hosts[0])


def read_arrival(request: Any, proxies: TrustedProxies) -> Arrival:
    """Read the head of ``request``.

    :raises Refused: if it has no ``Host``, or several, or one that is none (RFC 9112, 3.2).
    """
    origination = proxies.origination(request)
    named = request.requestHeaders.getRawHeaders(b"host", [])
    if len(named) > 1 or (not named and request.clientproto != b"HTTP/1.0"):
        raise Refused(HTTPStatus.BAD_REQUEST, "expected one Host header")
    told = [] if origination.host is None else [origination.host]
    told += [host.decode("latin-1") for host in named]
    pages = request.requestHeaders.getRawHeaders(b"origin", [])
    local = request.getHost()
    is_internet = isinstance(local, IPv4Address | IPv6Address)
    return Arrival(
        client=origination.client,
        secure=(origination.scheme or ("https" if request.isSecure() else "http")) == "https",
        hosts=tuple(map(_host, told)),
        page=", ".join(page.decode("latin-1") for page in pages) if pages else None,
        local=read_address(local.host) if is_internet else None,
        is_upgrade=request.requestHeaders.hasHeader(b"upgrade"),
    )


def _host(text: str) -> Host:
    try:
        return Host.parse(text)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the Host header names no host: {error}") from None
