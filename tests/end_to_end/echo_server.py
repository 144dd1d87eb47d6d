"""The WebSocket endpoint with an echo in place of its answers, for the cases of Autobahn's suite.

Everything below messages is the server's own: the upgrade, the protocol class, its options, and the
way to the socket. ``python -m tests.end_to_end.echo_server`` prints its port.
"""

from __future__ import annotations

import time
from typing import Any, cast

from twisted.internet import reactor as installed

from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.http.site import ApiSite
from telemetry_twisted.api.websocket.frames import event_renderer
from telemetry_twisted.api.websocket.protocol import SubscriberProtocol
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.api.websocket.upgrade import WebSocketUpgrade
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.turns import Turns

LONGEST = 1 << 24
"""The longest message of the suite, in bytes."""


class EchoProtocol(SubscriberProtocol):
    """Sends back what it is sent."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class NoFigures:
    """What a greeting tells where there is nothing to tell."""

    def greeting(self) -> dict[str, Any]:
        return {}


def main() -> None:
    """Serve until the process is stopped."""
    reactor = cast(IServerReactor, installed)
    ring = Ring(1000, 1 << 20, event_renderer(time.time), 100)
    errors = InternalErrors(reactor)
    turns = Turns(reactor)
    subscribers = Subscribers(ring, NoFigures(), None, 100, reactor, time.time, errors, turns)
    upgrade = WebSocketUpgrade(subscribers)
    upgrade.factory.protocol = EchoProtocol
    upgrade.factory.setProtocolOptions(maxFramePayloadSize=LONGEST, maxMessagePayloadSize=LONGEST)
    connections = Connections(100, 100, 1000, reactor)
    site = ApiSite(upgrade, lambda _method, _uri: False, connections, turns, reactor)
    port: Any = reactor.listenTCP(0, cast(Any, site), interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
