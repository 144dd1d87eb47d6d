"""A guarded site without sockets, and requests for it as bytes."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.resource import Resource
from twisted.web.server import Site

from telemetry_twisted.api.access.admission import may_be_told_all
from telemetry_twisted.api.access.guard import Guard, Rules
from telemetry_twisted.api.access.origins import AllowedOrigins
from telemetry_twisted.api.access.proxies import TrustedProxies
from telemetry_twisted.api.access.tokens import TokenFile
from telemetry_twisted.api.access.urls import PublicUrl

CLIENT = "192.0.2.7"
SERVER = "192.0.2.1"


@frozen
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """What the answer says was wrong."""
        error = json.loads(self.body)["error"]
        assert error["status"] == self.status
        return str(error["message"])


class Inside(Resource):
    """What is guarded: answers everything, and keeps what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self.asked: list[Any] = []
        self.told_all: list[bool] = []

    def render(self, request: Any) -> bytes:
        self.asked.append(request)
        self.told_all.append(may_be_told_all(request))
        return b"inside"


class Transport(StringTransport):
    """Knows whether it was aborted."""

    aborting = False

    def abortConnection(self) -> None:
        self.aborting = True


class LoggedSite(Site):
    """Keeps the addresses that were asked for as its log would show them."""

    def __init__(self, resource: Resource, clock: Clock) -> None:
        super().__init__(resource, reactor=clock)
        self.addresses: list[bytes] = []

    def log(self, request: Any) -> None:
        self.addresses.append(request.uri)


@define
class GuardedSite:
    """A site behind a guard."""

    site: LoggedSite
    inside: Inside
    clock: Clock
    channels: list[Any] = field(factory=list)

    def ask(
        self,
        path: str = "/api/nodes",
        method: str = "GET",
        *,
        host: str | None = "localhost:8080",
        peer: str = CLIENT,
        local: str = SERVER,
        headers: dict[str, str] | None = None,
        version: str = "1.1",
    ) -> Answer:
        """The answer to a request from ``peer`` to ``local``, either of which may be ``unix``."""
        lines = [f"{method} {path} HTTP/{version}"]
        lines += [] if host is None else [f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += ["Connection: close", "", ""]
        return self.send("\r\n".join(lines).encode("latin-1"), peer, local)

    def open(self, data: str) -> Transport:
        """A connection that stays open, on which ``data`` was sent."""
        return self._connect(data.encode("latin-1"), CLIENT, SERVER)

    def _connect(self, data: bytes, peer: str, local: str) -> Transport:
        transport = Transport(hostAddress=_address(local), peerAddress=_address(peer))
        channel = self.site.buildProtocol(_address(peer))
        assert channel is not None
        self.channels.append(channel)
        channel.makeConnection(transport)
        channel.dataReceived(data)
        return transport

    def send(self, data: bytes, peer: str = CLIENT, local: str = SERVER) -> Answer:
        """The answer to ``data``."""
        transport = self._connect(data, peer, local)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        first, *others = head.decode("latin-1").split("\r\n")
        named = (line.partition(": ") for line in others)
        return Answer(
            int(first.split()[1]), {name.lower(): value for name, _, value in named}, body
        )


def guarded_site(
    *,
    proxies: str = "",
    origins: str = "",
    public_url: str = "",
    tokens: TokenFile | None = None,
    clock: Clock | None = None,
) -> GuardedSite:
    """A site behind a guard with rules as options give them."""
    clock = clock or Clock()
    inside = Inside()
    rules = Rules(
        TrustedProxies.parse(proxies),
        AllowedOrigins.parse(origins),
        [PublicUrl.parse(url) for url in public_url.split(",") if url],
        tokens,
        ("machine.example",),
    )
    site = LoggedSite(Guard(inside, rules, clock), clock)
    return GuardedSite(site, inside, clock)


def _address(text: str) -> IAddress:
    if text == "unix":
        return UNIXAddress(None)
    kind = IPv6Address if ":" in text else IPv4Address
    return kind("TCP", text, 4711)
