"""What a request brings along to be let in, taken out of it so that nothing behind sees it.

==============================  ====================================================
``Authorization: Bearer TOKEN``  wherever a client can send it (RFC 6750, 2.1)
``Sec-WebSocket-Protocol:        for WebSocket in browsers; the server agrees to
telemetry, bearer.TOKEN``        ``telemetry``, never to the token
``?ticket=TICKET``               for WebSocket and server-sent events in browsers
==============================  ====================================================
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

SUBPROTOCOL = "telemetry"
"""What a WebSocket client that offers subprotocols has to offer besides a token."""

TICKETED = frozenset({b"/api/ws", b"/api/metrics/stream"})
"""Paths that a ticket opens: those that browsers ask for without headers of a page's own."""

_PREFIX = b"bearer."


@frozen
class Credentials:
    """What was brought along: a token, a ticket, or neither."""

    token: str | None = None
    ticket: str | None = None


def take_credentials(request: Any) -> Credentials:
    """What ``request`` brings along; it is without subprotocols and tickets of ours from then on.

    A token in ``Authorization`` is the one that counts.
    """
    offered = _take_offered(request)
    ticket = _take_ticket(request)
    authorization = request.requestHeaders.getRawHeaders(b"authorization", [])
    request.requestHeaders.removeHeader(b"authorization")
    sent = [token for value in authorization if (token := _bearer(value)) is not None]
    if sent:
        # Of several, none is good: a proxy and we must not take different ones to be the one.
        return Credentials(token=_text(sent[0]) if len(sent) == 1 else "")
    if offered:
        return Credentials(token=_text(offered[0]) if len(offered) == 1 else "")
    return Credentials(ticket=ticket)


def _bearer(value: bytes) -> bytes | None:
    scheme, _, token = value.strip().partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def _take_offered(request: Any) -> list[bytes]:
    """Tokens among the subprotocols that are offered, which are no subprotocols."""
    name = b"sec-websocket-protocol"
    values = request.requestHeaders.getRawHeaders(name, [])
    offers = [offer.strip() for value in values for offer in value.split(b",")]
    tokens = [offer for offer in offers if offer.startswith(_PREFIX)]
    if tokens:
        others = [offer for offer in offers if offer and not offer.startswith(_PREFIX)]
        if others:
            request.requestHeaders.setRawHeaders(name, [b", ".join(others)])
        else:
            request.requestHeaders.removeHeader(name)
    return [token[len(_PREFIX) :] for token in tokens]


def _take_ticket(request: Any) -> str | None:
    if request.path not in TICKETED or b"ticket" not in request.args:
        return None
    tickets = request.args.pop(b"ticket")
    path, _, query = request.uri.partition(b"?")
    kept = [pair for pair in query.split(b"&") if pair.partition(b"=")[0] != b"ticket"]
    request.uri = path + (b"?" + b"&".join(kept) if kept else b"")
    return _text(tickets[0]) if len(tickets) == 1 else ""


def _text(value: bytes) -> str:
    return value.decode("latin-1")
