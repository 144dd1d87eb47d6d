"""How much of what goes to a subscriber is out of the sender's hands before it is sent."""

from __future__ import annotations

import socket
from typing import Any
from unittest import skipUnless

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.protocol import SubscriberFactory
from telemetry_twisted.api.websocket.transport import UNSENT_BYTES, SubscriberTransport
from telemetry_twisted.testing import MemoryTransport
from telemetry_twisted.transport.sender import State
from tests.api.websocket.stage import Stage
from tests.api.websocket.test_protocol import UPGRADE
from tests.api.websocket.tls import TlsTransport

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


class BrokenTlsTests(SynchronousTestCase):
    """A client whose TLS breaks."""

    def test_it_fills_no_log(self) -> None:
        stage = Stage()
        factory: Any = SubscriberFactory(stage)
        wire = TlsTransport(factory.buildProtocol(None), stage.time)
        wire.connect()
        wire.deliver(UPGRADE)
        with capturedLogs() as events:
            MemoryTransport.deliver(wire, b"\x17\x03\x03\x00\x20" + bytes(32))
            if wire.ended is None:
                wire.lose(ConnectionDone())
        self.assertEqual(len(stage.gone), 1)
        self.assertEqual([e for e in events if e["log_level"] >= LogLevel.warn], [])
