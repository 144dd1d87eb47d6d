"""Where Autobahn ends and a subscriber begins."""

from __future__ import annotations

from typing import Any

import txaio
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.util import encode_truncate
from twisted.python.failure import Failure

from telemetry_twisted.api.access.credentials import SUBPROTOCOL
from telemetry_twisted.api.access.headers import SERVER
from telemetry_twisted.api.answers import error_answer
from telemetry_twisted.deadline import Deadline

from .context import SUBSCRIBER, SubscriberContext
from .inflow import Inflow
from .requests import parse_batch
from .subscriber import Subscriber
from .transport import StreamTransport, SubscriberTransport

LARGEST_REQUEST = 1 << 17
"""Longest message that a subscriber may send, in bytes: the longest filter, and as much again."""

LINGER_SECONDS = 5.0
"""How long a client may take, from a close frame on, to take what is under way to it and close."""

_LONGEST_REASON = 123


class SubscriberProtocol(WebSocketServerProtocol):
    """Speaks WebSocket for a :class:`Subscriber`.

    ``client`` is who that is, as limits and logs see it.
    """

    client = ""
    factory: SubscriberFactory
    # Below this level it tells of each thing that a client gets wrong.
    log = txaio.make_logger("critical")  # type: ignore[attr-defined]
    _subscriber: Subscriber | None = None

    def makeConnection(self, transport: StreamTransport) -> None:
        clock = self.factory.context.clock
        self._front = SubscriberTransport(transport, clock, self._flows)
        self._linger = Deadline(clock, self._front.abortConnection)
        self._inflow = Inflow(
            self.factory.context.turns, self._look_at, self._attentive, self._front.hold
        )
        super().makeConnection(self._front)

    def _flows(self) -> None:
        if self._subscriber is not None:
            self._subscriber.wake()
        self._inflow.go_on()

    def _attentive(self) -> bool:
        """Whether what the client sends is looked at: it has been answered, or is leaving.

        A client that is slow is read, for it may ping, and has to be answered in time.
        """
        subscriber = self._subscriber
        if subscriber is None or self.state != self.STATE_OPEN:
            return True
        return not subscriber.busy and not self._front.sender.waits_ahead

    def onConnect(self, request: Any) -> str | None:
        # A browser that has offered subprotocols expects one of them to be agreed on.
        return SUBPROTOCOL if SUBPROTOCOL in request.protocols else None

    def onOpen(self) -> None:
        context = self.factory.context
        self._subscriber = Subscriber(
            context,
            self.client or self.peer or "unknown",
            self._front.sender,
            self._say_goodbye,
            self._front.abortConnection,
            self.sendPing,
            parse_batch(self.http_request_params.get("batch", ()), context.ring.batch),
            self._inflow.go_on,
        )
        self._subscriber.start()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self._subscriber is not None:
            self._subscriber.asked(payload, isBinary)

    def dataReceived(self, data: bytes) -> None:
        if self.state == self.STATE_CONNECTING:
            super().dataReceived(data)
        elif self.state != self.STATE_CLOSED:  # what comes after the end Autobahn would keep
            self._inflow.received(data)

    def _look_at(self, data: bytes) -> None:
        """Read a part of what the client has sent; it is not to wait for ever if that fails."""
        try:
            super().dataReceived(data)
        except Exception:
            self.factory.context.errors.note(SUBSCRIBER, Failure())
            self._front.abortConnection()

    def _say_goodbye(self, code: int, reason: bytes) -> None:
        # sendClose would refuse the code, which is a server's to send, not an application's.
        self.sendCloseFrame(code, reason)
        self._await_end()

    def _fail_connection(self, code: int = 1001, reason: str = "going away") -> None:
        """Say what the client did wrong and read no more of it (RFC 6455, 7.1.7).

        Autobahn by itself either says nothing or goes on parsing what is beyond repair.
        """
        self.sendCloseFrame(code, encode_truncate(reason, _LONGEST_REASON))
        self.failedByMe = True
        self.wasNotCleanReason = reason
        self.dropConnection()

    def _closeConnection(self, abort: bool = False) -> None:
        self._inflow.stop()
        if not abort:
            self._await_end()
        if abort or not self.failedByMe:
            super()._closeConnection(abort)
            return
        # To close a socket from which not all was read resets the connection, and the client may
        # never see why. It is read until the client closes as well.
        self._front.loseWriteConnection()

    def _await_end(self) -> None:
        if not self._linger.is_set:
            self._linger.set(LINGER_SECONDS)

    def sendHttpErrorResponse(
        self, code: int, reason: str, responseHeaders: list[tuple[str, str]] | None = None
    ) -> None:
        """Refuse a handshake that only Autobahn finds fault with."""
        self.sendData(error_answer(code, reason, dict(responseHeaders or ())))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._linger.set(None)
        self._inflow.stop()
        if self._subscriber is not None:
            self._subscriber.gone()
            self._subscriber = None


class SubscriberFactory(WebSocketServerFactory):
    """Makes a protocol for each subscriber."""

    noisy = False

    def __init__(self, context: SubscriberContext) -> None:
        WebSocketServerFactory.__init__(self, reactor=context.clock, server=SERVER.decode())
        self.protocol: Any = SubscriberProtocol
        self.context = context
        WebSocketServerFactory.setProtocolOptions(
            self,
            maxFramePayloadSize=LARGEST_REQUEST,
            maxMessagePayloadSize=LARGEST_REQUEST,
            # The handshake is there as a whole when the protocol is; the end has its own deadline.
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            echoCloseCodeReason=True,
            tcpNoDelay=True,
        )
