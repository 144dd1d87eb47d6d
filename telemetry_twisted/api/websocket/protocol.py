"""Where Autobahn ends and a subscriber begins."""

from __future__ import annotations

from typing import cast

from autobahn.twisted.resource import WebSocketResource
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.web.resource import Resource

from .outlet import StreamTransport
from .subscriber import Subscriber, SubscriberContext

PING_SECONDS = 20
"""How often a WebSocket ping is sent to a subscriber."""

LARGEST_REQUEST = 1 << 20
"""Longest message that a subscriber may send, in bytes."""


class SubscriberProtocol(WebSocketServerProtocol):
    """Speaks WebSocket for a :class:`Subscriber`."""

    factory: SubscriberFactory
    _subscriber: Subscriber | None = None

    def onOpen(self) -> None:
        transport = cast(StreamTransport, self.transport)
        self._subscriber = Subscriber(
            self.factory.context, self.peer or "unknown", self._say_goodbye, transport
        )
        self._subscriber.start()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._subscriber is not None:
            self._subscriber.asked(payload, isBinary)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        # What goes past the transport's buffer must not end up within a frame that is in it.
        if self._subscriber is None:
            super().sendData(data, sync, chopsize)
        else:
            self._subscriber.pass_on(data)

    def _say_goodbye(self, code: int, reason: bytes) -> None:
        # sendClose would refuse the code, which is a server's to send, not an application's.
        self.sendCloseFrame(code, reason)

    def dropConnection(self, abort: bool = False) -> None:
        # Nothing may follow a close frame, and the transport, which has no producer from here on,
        # would hold whatever a client that takes nothing is sent.
        if self._subscriber is not None:
            self._subscriber.stop()
        super().dropConnection(abort)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._subscriber is not None:
            self._subscriber.gone()
            self._subscriber = None


class SubscriberFactory(WebSocketServerFactory):
    """Makes a protocol for each subscriber."""

    noisy = False

    def __init__(self, context: SubscriberContext) -> None:
        WebSocketServerFactory.__init__(self)
        self.protocol = SubscriberProtocol
        self.context = context
        WebSocketServerFactory.setProtocolOptions(
            self,
            maxFramePayloadSize=LARGEST_REQUEST,
            maxMessagePayloadSize=LARGEST_REQUEST,
            autoPingInterval=PING_SECONDS,
            tcpNoDelay=True,
        )


def web_socket_resource(context: SubscriberContext) -> Resource:
    """Upgrades requests to subscribers of ``context``."""
    return cast(Resource, WebSocketResource(SubscriberFactory(context)))
