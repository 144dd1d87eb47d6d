"""Clients that end their side of a connection after what they ask for, and wait for the answer."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from telemetry_twisted.api.http.channel import SECONDS, Phase
from telemetry_twisted.api.http.request import PIECE_BYTES
from telemetry_twisted.testing.transports import MemoryTransport
from tests.api.http.test_channel import LARGE, ChannelTestCase, head


class HalfCloseTests(ChannelTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.channel: Any = self.site.buildProtocol(None)
        self.reactor = MemoryReactorClock()
        self.wire = MemoryTransport(self.channel, self.reactor)
        self.channel.makeConnection(self.wire)

    def deliver(self, data: bytes) -> None:
        """The client sends ``data``, and then no more."""
        self.wire.deliver(data)
        self.wire.stopReading()
        self.wire.readConnectionLost(Failure(ConnectionDone()))
        self.settle()

    def settle(self) -> None:
        """Let all that is due happen."""
        for _ in range(9):
            self.clock.advance(0)
            self.wire.pump()

    def assert_ended(self, *answers: bytes) -> None:
        """These are all that was answered, and the connection is closed."""
        received = self.wire.received().split(b"HTTP/1.1 200 OK")
        self.assertEqual(len(received), 1 + len(answers))
        for answer, found in zip(answers, received[1:], strict=True):
            self.assertTrue(answer in found, f"{found[:300]!r} does not hold {answer[:50]!r}")
        self.assertIsInstance(self.wire.ended, ConnectionDone)
        self.assertEqual(self.channel.phase, Phase.CLOSED)
        self.assertEqual(self.connections.open, 0)

    def test_the_answer_still_comes(self) -> None:
        self.deliver(head("GET", "/small/one"))
        self.assert_ended(b'"one"')

    def test_all_that_was_asked_for_is_answered(self) -> None:
        self.deliver(head("GET", "/small/one") + head("GET", "/small/two", "Connection: close"))
        self.assert_ended(b'"one"', b'"two"')

    def test_an_answer_that_takes_its_time(self) -> None:
        self.deliver(head("GET", "/wait"))
        self.assertIsNone(self.wire.ended)
        self.waiting.callback(b"late")
        self.settle()
        self.assert_ended(b"late")

    def test_an_answer_that_the_client_takes_slowly(self) -> None:
        self.wire.fill(1000)
        self.deliver(head("GET", "/small/one") + head("GET", "/large"))
        self.assertIsNone(self.wire.ended)
        self.wire.drain()
        self.settle()
        self.assert_ended(b'"one"', LARGE[-PIECE_BYTES // 2 :])

    def test_a_request_that_is_cut_short_gets_none(self) -> None:
        for cut in (b"", head("GET", "/small/one")[:-2]):
            self.setUp()
            self.deliver(cut)
            self.assert_ended()

    def test_a_client_that_takes_nothing_is_not_kept(self) -> None:
        self.wire.fill()
        self.deliver(head("GET", "/small/one", "Connection: close"))
        self.assertIsNone(self.wire.ended)
        self.clock.advance(SECONDS[Phase.LINGER])
        self.settle()
        self.assertIsNotNone(self.wire.ended)
        self.assertEqual(self.connections.open, 0)

    def test_what_it_has_become_ends(self) -> None:
        self.deliver(head("GET", "/upgrade"))
        self.assertIsNotNone(self.wire.ended)
        self.assertTrue(self.upgraded.lost)
