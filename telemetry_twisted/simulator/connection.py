"""A simulated node's connection to a telemetry server."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from .node import Node

BURST = 1 << 16
"""Bytes that a node makes at a time, about."""


class _Transport(ITCPTransport, IConsumer):
    """A TCP connection that says when it is full."""


@implementer(IPushProducer)
class NodeConnection(Protocol):
    """The connection of ``node``, which closes it when it has finished.

    ``horizon`` says up to which simulated time the node may send, in microseconds of the JAM Common
    Era. ``closed`` fires when it is over, with whether the server has read all that was sent.
    """

    transport: _Transport

    def __init__(self, node: Node, horizon: Callable[[], int]) -> None:
        self.node = node
        self.held = False
        self.closed: Deferred[bool] = Deferred()
        self._ending = False
        self._horizon = horizon

    def connectionMade(self) -> None:
        """Introduce the node and send what is due."""
        self.transport.write(self.node.information)
        self.transport.registerProducer(self, True)
        self.emit()

    def emit(self) -> None:
        """Send what is due, as far as the transport takes it."""
        while not self.held and not self._ending:
            data = self.node.advance(self._horizon(), BURST)
            if data:
                self.transport.write(data)
            if self.node.finished:
                self.end()
            elif not data:
                break

    def end(self) -> None:
        """Make no more, and say so once everything has gone out.

        The server closes when it has read all of it, and so it is known that it has.
        """
        if not self._ending:
            self._ending = True
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def abort(self) -> None:
        """Close at once; what has not gone out is lost."""
        self.transport.abortConnection()

    def pauseProducing(self) -> None:
        """The server does not keep up: wait."""
        self.held = True

    def resumeProducing(self) -> None:
        """Everything has gone out: go on."""
        self.held = False
        self.emit()

    def stopProducing(self) -> None:
        """The transport has gone."""
        self.held = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell that it is over."""
        self.held = True
        self.node.tally.is_whole = self._ending and reason.check(ConnectionDone) is not None
        self.closed.callback(self.node.tally.is_whole)
