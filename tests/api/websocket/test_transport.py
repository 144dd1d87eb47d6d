"""How much of what goes to a subscriber is out of the sender's hands before it is sent."""

from __future__ import annotations

import socket
from unittest import skipUnless

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.transport import UNSENT_BYTES, SubscriberTransport
from telemetry_twisted.transport.sender import State

WINDOW = 1 << 16
"""What the client's system takes before the client reads it, about."""


class SlowClientTests(SynchronousTestCase):
    """A client, over TCP, that reads nothing for now."""

    @skipUnless(hasattr(socket, "TCP_NOTSENT_LOWAT"), "the system cannot be told how much to hold")
    def test_the_system_holds_little_for_a_client_that_does_not_read(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        client = socket.socket()
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        client.connect(listening.getsockname())
        server, _ = listening.accept()
        self.addCleanup(server.close)
        reactor = MemoryReactorClock()
        connection = Connection(server, Protocol(), reactor)
        connection.connected = 1
        sender = SubscriberTransport(connection, reactor, lambda: None).sender
        sender.room()  # the reactor would tell
        while sender.takes and sender.state is not State.BLOCKED:
            sender.write((bytes(1 << 15),))
            reactor.advance(0)
        # What goes ahead of what waits in the sender, a pong, is behind that much alone.
        self.assertLess(sender.sent, UNSENT_BYTES + 8 * WINDOW)
