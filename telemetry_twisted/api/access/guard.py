"""The layer itself: what is asked of each request, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource, Resource, getChildForRequest

from telemetry_twisted.api.answers import json_answer, json_error

from .admission import READING, TICKET_PATH, Admission, IAdmission
from .arrival import Arrival, read_arrival
from .authentication import Authentication
from .credentials import take_credentials
from .headers import SECURITY_HEADERS, STRICT_TRANSPORT
from .hosts import KnownHosts
from .origins import AllowedOrigins
from .proxies import TrustedProxies
from .refused import Refused
from .tokens import TokenFile
from .urls import Origin, PublicUrl


@frozen
class Rules:
    """Who may come in.

    :param tokens: of which one is needed; None where none is.
    :param names: by which the machine is known, besides those that every machine has.
    """

    proxies: TrustedProxies
    origins: AllowedOrigins
    public_urls: Sequence[PublicUrl]
    tokens: TokenFile | None
    names: tuple[str, ...] = ()


class Guard(Resource):
    """Stands before ``inside``, a whole site, and lets through to it what ``rules`` allow.

    It looks at the head of a request alone, in this order: by which name the server was asked,
    whether a browser's page may use it, and who asks.
    """

    isLeaf = True

    def __init__(self, inside: IResource, rules: Rules, clock: IReactorTime) -> None:
        Resource.__init__(self)
        self._inside = inside
        self._rules = rules
        self._hosts = KnownHosts(rules.names, [url.host for url in rules.public_urls])
        self._authentication = Authentication(rules.tokens, clock)

    def render(self, request: Any) -> Any:
        _set(request, SECURITY_HEADERS)
        credentials = take_credentials(request)
        try:
            arrival = read_arrival(request, self._rules.proxies)
            self._check_host(arrival)
            self._set_headers(request, arrival)
            if self._is_preflight(request, arrival):
                return self._answer_preflight(request, arrival)
            self._check_page(request, arrival)
            admission = self._authentication.admit(request, arrival.client, credentials)
            if request.path == TICKET_PATH:
                return self._answer_ticket(request, admission)
        except Refused as refused:
            _set(request, refused.headers)
            return json_error(request, refused.status, str(refused))
        request.setComponent(IAdmission, admission)
        return getChildForRequest(self._inside, request).render(request)

    def _check_host(self, arrival: Arrival) -> None:
        for host in arrival.hosts:
            if not self._hosts.includes(host, arrival.local):
                asked = Origin.of("https" if arrival.secure else "http", host)
                raise Refused(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    f"{host.shown} is no name of this server; ask for it by an address that it "
                    f"listens at, or, if it is one, start it with --public-url {asked}",
                )

    def _set_headers(self, request: Any, arrival: Arrival) -> None:
        _set(request, self._rules.origins.answer_headers(arrival.page))
        if arrival.secure and any(url.origin.scheme == "https" for url in self._rules.public_urls):
            _set(request, STRICT_TRANSPORT)

    def _is_preflight(self, request: Any, arrival: Arrival) -> bool:
        return (
            request.method == b"OPTIONS"
            and arrival.page is not None
            and request.requestHeaders.hasHeader(b"access-control-request-method")
        )

    def _answer_preflight(self, request: Any, arrival: Arrival) -> bytes:
        if not self._may_use(arrival):
            raise _wrong_page(arrival)
        _set(request, self._rules.origins.preflight_headers())
        request.setResponseCode(HTTPStatus.NO_CONTENT)
        return b""

    def _check_page(self, request: Any, arrival: Arrival) -> None:
        """What a page only reads is answered, and the browser keeps it from the page (CORS)."""
        only_reads = request.method in READING and not arrival.is_upgrade
        if not only_reads and not self._may_use(arrival):
            raise _wrong_page(arrival)

    def _may_use(self, arrival: Arrival) -> bool:
        if arrival.page is None or self._rules.origins.include(arrival.page):
            return True
        own = {arrival.origin, *(url.origin for url in self._rules.public_urls)}
        try:
            return Origin.parse(arrival.page) in own
        except ValueError:
            return False

    def _answer_ticket(self, request: Any, admission: Admission) -> bytes:
        ticket = self._authentication.issue_ticket(request.method, admission)
        request.setHeader(b"cache-control", b"no-store")
        return json_answer(request, HTTPStatus.OK, ticket)


def _wrong_page(arrival: Arrival) -> Refused:
    return Refused(
        HTTPStatus.FORBIDDEN,
        f"pages of {arrival.page} may not use this server; if they should, start it with "
        f"--allow-origin {arrival.page}",
    )


def _set(request: Any, headers: Mapping[bytes, bytes]) -> None:
    for name, value in headers.items():
        request.setHeader(name, value)
