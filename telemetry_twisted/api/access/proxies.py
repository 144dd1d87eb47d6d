"""Where a request comes from, and what it asked for, when proxies stand between.

A proxy's word counts only where the proxy is trusted (``--trusted-proxies``): each adds to the
*right* of what it was told, so the chain is read from there, past those that are trusted, up to the
first address that is not. What is left of that anyone can have written.

``Forwarded`` is RFC 7239's; ``X-Forwarded-For``, ``-Proto`` and ``-Host`` are older, and what most
proxies send.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from telemetry_twisted.addresses import Address, read_address
from telemetry_twisted.networks import Networks

ClientOf = Callable[[Any], str]
"""Tells a request's client as limits and logs see it: an IP address, or :data:`UNIX`."""

UNIX = "unix"
"""The client at a unix socket, which has no address."""

MOST_HOPS = 32
"""Proxies in a row that are looked at; no chain that is real is longer."""

_PORT = re.compile(r":(\d{1,5}|_[\w.-]+)", re.ASCII)

_PAIR = re.compile(
    r"""([!#$%&'*+.^_`|~\w-]+)=(?:([!#$%&'*+.^_`|~\w-]+)|"((?:[^"\\]|\\.)*)")""", re.ASCII
)
"""A ``forwarded-pair`` (RFC 7239, 4): a token, and a token or a quoted string."""


class Malformed(ValueError):
    """A header that says nothing that could be relied on."""


@frozen
class Hop:
    """What a proxy says of the request that it was sent: by whom, by which scheme, to which host.

    ``sender`` is as it is in the header; ``scheme`` and ``host`` are None where it does not say.
    """

    sender: str
    scheme: str | None = None
    host: str | None = None


@frozen
class Origination:
    """Where a request began: its client, and the scheme and host that this client asked for.

    ``scheme`` and ``host`` are None where no trusted proxy has told of them.
    """

    client: str
    scheme: str | None = None
    host: str | None = None


@frozen
class TrustedProxies:
    """The proxies whose word on where a request comes from is taken.

    ``unix`` says whether what comes by a unix socket comes from one.
    """

    networks: Networks = field(factory=Networks)
    unix: bool = False

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """Networks, addresses and ``unix``, separated by commas; nobody if there is nothing.

        :raises ValueError: with what was expected.
        """
        parts = [part.strip() for part in text.split(",") if part.strip()]
        networks = [part for part in parts if part != UNIX]
        known = Networks.parse(",".join(networks)) if networks else Networks()
        return cls(known, UNIX in parts)

    def client_of(self, request: Any) -> str:
        """The client of ``request``, a :class:`twisted.web.http.Request`, as limits see it."""
        return self.origination(request).client

    def origination(self, request: Any) -> Origination:
        """Where ``request`` began.

        A header that is malformed says nothing: the client is then who is connected.
        """
        peer = peer_of(request)
        if not self._trusts(peer):
            return Origination(peer)
        headers = request.requestHeaders
        try:
            return self._told(
                peer,
                read_forwarded(_joined(headers, b"forwarded")),
                _elements(_joined(headers, b"x-forwarded-for")),
                _last(headers, b"x-forwarded-proto"),
                _last(headers, b"x-forwarded-host"),
            )
        except Malformed:
            return Origination(peer)

    def _trusts(self, client: str) -> bool:
        return self.unix if client == UNIX else _address(client) in self.networks

    def _told(
        self,
        peer: str,
        forwarded: Sequence[Hop],
        senders: Sequence[str],
        scheme: str | None,
        host: str | None,
    ) -> Origination:
        told = [
            self._first_stranger(hops)
            for hops in (forwarded, [Hop(sender, scheme, host) for sender in senders])
            if hops
        ]
        if not told:
            return Origination(peer, _scheme(scheme), host)
        # A proxy that adds to one of the headers passes the other on as its client wrote it.
        if told[0].client != told[-1].client:
            raise Malformed("Forwarded and X-Forwarded-For tell of different clients")
        first = told[0]
        return Origination(
            first.client, _scheme(first.scheme or scheme), first.host if first.host else host
        )

    def _first_stranger(self, hops: Sequence[Hop]) -> Origination:
        """The nearest client that is not a trusted proxy, or the furthest of all."""
        for number, hop in enumerate(reversed(hops), 1):
            client = str(_address(_without_port(hop.sender)))
            if number == len(hops) or not self._trusts(client):
                return Origination(client, hop.scheme, hop.host)
            if number == MOST_HOPS:
                break
        raise Malformed("too many proxies in a row")


def client_at(address: IAddress | None) -> str:
    """Who is at ``address``: an IP address without its port, or :data:`UNIX`."""
    if isinstance(address, IPv4Address | IPv6Address):
        return str(read_address(address.host))
    return UNIX


def peer_of(request: Any) -> str:
    """Who is connected, whoever that speaks for."""
    return client_at(request.getClientAddress())


def read_forwarded(text: str) -> list[Hop]:
    """The hops of a ``Forwarded`` header, nearest to the client first (RFC 7239, 4).

    :raises Malformed: if it is not in the form that it should have.
    """
    hops: list[Hop] = []
    pairs: dict[str, str] = {}
    separated = True
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place) if separated else None
        if match is not None:
            name = match[1].lower()
            if name in pairs:
                raise Malformed(f"{name} stands twice in an element")
            pairs[name] = match[2] or re.sub(r"\\(.)", r"\1", match[3] or "")
            separated = False
            place = match.end()
            continue
        if text[place] == ",":
            _add_hop(hops, pairs)
            pairs = {}
        elif text[place] not in "; \t":
            raise Malformed("neither a pair nor a separator")
        separated = separated or text[place] in ",;"
        place += 1
    _add_hop(hops, pairs)
    return hops


def _add_hop(hops: list[Hop], pairs: dict[str, str]) -> None:
    if pairs:
        hops.append(Hop(pairs.get("for", ""), pairs.get("proto"), pairs.get("host")))


def _joined(headers: Any, name: bytes) -> str:
    return b",".join(headers.getRawHeaders(name, ())).decode("latin-1")


def _elements(text: str) -> list[str]:
    return [part.strip(" \t") for part in text.split(",")] if text else []


def _last(headers: Any, name: bytes) -> str | None:
    """What the nearest proxy says, where each adds what it saw."""
    elements = _elements(_joined(headers, name))
    return elements[-1] or None if elements else None


def _scheme(text: str | None) -> str | None:
    if text is None:
        return None
    scheme = {"ws": "http", "wss": "https"}.get(text.lower(), text.lower())
    if scheme not in ("http", "https"):
        raise Malformed("a scheme that is none of the web's")
    return scheme


def _without_port(sender: str) -> str:
    """An address of ``1.2.3.4``, ``1.2.3.4:5``, ``2001:db8::1``, ``[2001:db8::1]``, or ``…]:5``."""
    if sender.startswith("["):
        address, bracket, port = sender[1:].partition("]")
        if not bracket or (port and _PORT.fullmatch(port) is None):
            raise Malformed("an address in brackets that is not closed, or no port after it")
        return address
    if sender.count(":") == 1:
        address, _, port = sender.partition(":")
        if _PORT.fullmatch(f":{port}") is None:
            raise Malformed("no port after the colon")
        return address
    return sender


def _address(text: str) -> Address:
    try:
        return read_address(text)
    except ValueError:
        raise Malformed("no address") from None
