"""Where Autobahn ends and a subscriber begins: the handshakes, in memory."""

from __future__ import annotations

import json
import struct
from typing import Any, ClassVar

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.protocol import (
    LARGEST_REQUEST,
    LINGER_SECONDS,
    SubscriberFactory,
)
from telemetry_twisted.testing import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    MemoryTransport,
    ReceivedFrame,
    StreamTransport,
    client_frame,
)
from telemetry_twisted.transport.sender import State
from tests.api.websocket.stage import Stage, messages_in

UPGRADE = (
    b"GET /api/ws HTTP/1.1\r\nHost: telemetry\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
)
ASK_PING = client_frame(TEXT, b'{"type":"Ping"}')


def close(code: int, reason: bytes = b"") -> ReceivedFrame:
    return ReceivedFrame(CLOSE, struct.pack("!H", code) + reason)


class Client:
    """A client that has been let in and greeted."""

    def __init__(self, stage: Stage, transport: type[MemoryTransport]) -> None:
        factory: Any = SubscriberFactory(stage)
        self.protocol = factory.buildProtocol(None)
        self.wire = transport(self.protocol, stage.time)
        self.protocol.makeConnection(self.wire)
        self.wire.deliver(UPGRADE)
        assert self.wire.head().startswith(b"HTTP/1.1 101 ")
        assert [message["type"] for message in messages_in(self.wire)] == ["connected"]


class ProtocolTests(SynchronousTestCase):
    """Over a plain socket."""

    transport: ClassVar[type[MemoryTransport]] = MemoryTransport

    def setUp(self) -> None:
        self.stage = Stage()
        self.client = Client(self.stage, self.transport)
        self.wire = self.client.wire
        self.addCleanup(self.hang_up)

    def hang_up(self) -> None:
        if self.wire.ended is None:
            self.wire.lose(ConnectionDone())

    def assert_ended(self, reason: type[BaseException]) -> None:
        self.assertIsInstance(self.wire.ended, reason)
        self.assertEqual(self.stage.gone, self.stage.members)
        self.assertEqual(self.stage.time.getDelayedCalls(), [])

    def test_no_frame_overtakes_the_answer_to_the_handshake(self) -> None:
        for early, answer in (
            (client_frame(PING, b"x"), ReceivedFrame(PONG, b"x")),
            (client_frame(CLOSE, struct.pack("!H", 1000)), close(1000)),
            (b"\xff\xff", None),
        ):
            factory: Any = SubscriberFactory(self.stage)
            wire = self.transport(factory.buildProtocol(None), self.stage.time)
            wire.protocol.makeConnection(wire)
            wire.deliver(UPGRADE + early)
            self.assertTrue(wire.head().startswith(b"HTTP/1.1 101 "))
            frames = wire.frames()
            if answer is None:
                self.assertEqual(frames[-1].close_code, 1002)
            else:
                self.assertIn(answer, frames)
            if wire.ended is None:
                wire.lose(ConnectionDone())

    def test_events_and_replies_are_frames_of_the_stream(self) -> None:
        self.stage.publish(1)
        self.wire.deliver(ASK_PING)
        self.stage.publish(2)
        self.wire.pump()
        told = [message["type"] for message in messages_in(self.wire)]
        self.assertEqual(told, ["event", "pong", "batch"])

    def test_a_mistake_in_reading_what_a_client_sends_ends_its_connection(self) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(self.client.protocol, "onMessage", fail)
        self.patch(self.client.protocol, "consumeData", fail)
        self.wire.deliver(ASK_PING)
        self.assertIsNotNone(self.wire.ended)
        self.assertEqual(self.stage.errors.counts["subscriber"], 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_ping_is_answered_between_frames(self) -> None:
        self.wire.fill(1000)
        self.stage.publish(200)
        self.client.protocol.sendPing(b"still there?")
        self.stage.publish(1)
        self.wire.drain()
        self.wire.deliver(client_frame(PING, b"and you?"))
        frames = self.wire.frames()
        self.assertEqual(frames[-1], ReceivedFrame(PONG, b"and you?"))
        self.assertEqual([frame.opcode for frame in frames], [TEXT, PING, TEXT, TEXT, PONG])

    def test_a_client_that_pings_without_end_and_reads_nothing_is_not_read(self) -> None:
        self.wire.fill()
        self.stage.publish(1)
        for number in range(10_000):
            self.wire.deliver(client_frame(PING, b"%d" % number))
        self.assertFalse(self.wire.reading)
        self.assertGreater(len(self.wire.wire.incoming), 50_000)
        self.wire.drain()
        self.assertEqual(self.wire.wire.incoming, b"")
        pongs = [frame.payload for frame in self.wire.frames() if frame.opcode == PONG]
        self.assertEqual(pongs[-1], b"9999")

    def test_a_client_that_is_always_behind_gets_its_pongs(self) -> None:
        """It reads a little at a time, and there is always more: it must be read all the same."""
        pongs: list[bytes] = []
        self.wire.fill()
        for number in range(50):
            self.stage.publish(100)
            self.wire.deliver(client_frame(PING, b"%d" % number))
            self.wire.drain(20_000)
            pongs += [frame.payload for frame in self.wire.frames() if frame.opcode == PONG]
            self.assertIs(self.client.protocol.transport.sender.state, State.BLOCKED)
        self.assertGreater(len(pongs), 20)

    def test_of_many_pings_while_it_takes_nothing_the_last_is_answered(self) -> None:
        self.wire.fill()
        for number in range(100):
            self.client.protocol.sendPong(b"%d" % number)
        self.wire.drain()
        self.assertEqual(self.wire.frames(), [ReceivedFrame(PONG, b"99")])

    def test_nothing_follows_the_answer_to_a_close(self) -> None:
        self.stage.publish(1)
        self.wire.pump()
        self.wire.frames()
        self.wire.deliver(client_frame(CLOSE, struct.pack("!H", 1000)))
        self.stage.publish(100)
        self.assertEqual(self.wire.frames(), [close(1000)])
        self.assert_ended(ConnectionDone)

    def test_a_client_that_closes_and_takes_nothing_has_nothing_held_for_it(self) -> None:
        self.wire.deliver(client_frame(CLOSE, struct.pack("!H", 1000))[:4])
        self.wire.fill(100)
        self.stage.publish(100)
        self.stage.publish(100)
        self.wire.drain(100)
        self.wire.deliver(client_frame(CLOSE, struct.pack("!H", 1000))[4:])
        self.stage.publish(100)
        self.wire.drain()
        *events, last = self.wire.frames()
        self.assertLessEqual(len(events), 2)
        self.assertEqual(last, close(1000))
        self.assert_ended(ConnectionDone)

    def test_a_client_that_closes_and_takes_nothing_is_let_go_soon(self) -> None:
        self.wire.fill()
        for event in range(1, 400):
            self.stage.publish(event)
        self.wire.pump()
        self.wire.deliver(client_frame(CLOSE, struct.pack("!H", 1000)))
        self.stage.time.advance(LINGER_SECONDS - 0.1)
        self.wire.pump()
        self.assertIsNone(self.wire.ended)
        self.stage.time.advance(0.2)
        self.wire.pump()
        self.assert_ended(ConnectionAborted)

    def test_a_server_that_shuts_down_says_so_and_waits_for_the_answer(self) -> None:
        self.stage.publish(1)
        (subscriber,) = self.stage.members
        subscriber.finish()
        self.stage.publish(1)
        self.wire.pump()
        event, goodbye = self.wire.frames()
        self.assertEqual(event.opcode, TEXT)
        self.assertEqual(goodbye, close(1001, b"the server shuts down"))
        self.assertIsNone(self.wire.ended)
        self.wire.deliver(client_frame(CLOSE, struct.pack("!H", 1001)))
        self.assert_ended(ConnectionAborted)

    def test_a_server_that_shuts_down_leaves_out_what_a_slow_client_has_no_time_for(self) -> None:
        self.wire.fill(10)
        for _ in range(10):
            self.stage.publish(100)
        (subscriber,) = self.stage.members
        subscriber.finish()
        self.wire.drain(10)
        subscriber.hurry()
        self.wire.drain()
        *events, goodbye = self.wire.frames()
        self.assertLessEqual(len(events), 2)
        self.assertEqual(goodbye, close(1001, b"the server shuts down"))
        self.wire.deliver(client_frame(CLOSE, struct.pack("!H", 1001)))
        self.assert_ended(ConnectionAborted)

    def test_a_mistake_of_the_servers_own_is_said_and_not_waited_for_without_end(self) -> None:
        self.patch(self.stage.ring, "newest", lambda _: 1 / 0)
        self.wire.deliver(client_frame(TEXT, b'{"type":"GetRecentEvents"}') + ASK_PING)
        self.assertEqual(self.wire.frames(), [close(1011, b"the server made a mistake")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.stage.time.advance(LINGER_SECONDS)
        self.wire.pump()
        self.assertIsInstance(self.wire.ended, ConnectionAborted)
        self.assertEqual(self.stage.gone, self.stage.members)

    def test_a_connection_that_is_lost_takes_its_subscriber_along(self) -> None:
        self.wire.lose(ConnectionLost())
        self.assert_ended(ConnectionLost)
        self.stage.publish(1)
        self.assertEqual(self.wire.frames(), [])

    def test_a_client_that_breaks_the_protocol_is_told_why(self) -> None:
        """It is told once, is read on without effect until it closes, and has time for that."""
        cases = [
            (client_frame(TEXT, b"\xff"), 1007),
            (client_frame(3, b""), 1002),
            (client_frame(CLOSE, struct.pack("!H", 1005)), 1002),
            (client_frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
            (struct.pack("!BBQ4x", 0x81, 0x80 | 127, LARGEST_REQUEST + 1), 1009),
        ]
        for data, code in cases:
            client = Client(self.stage, self.transport)
            wire = client.wire
            wire.deliver(data + ASK_PING * 3)
            wire.deliver(client_frame(CLOSE, struct.pack("!H", 1000)) + b"\xff" * 100_000)
            self.stage.publish(1)
            (told,) = wire.frames()
            self.assertEqual((told.opcode, told.close_code), (CLOSE, code))
            self.assertGreater(len(told.payload[2:].decode()), 10)
            self.assert_lingers(wire)
            self.assertLess(len(client.protocol.data), 1000)
            wire.lose(ConnectionLost())
            self.assertIn(self.stage.members[-1], self.stage.gone)
            self.stage.time.advance(LINGER_SECONDS * 2)

    def assert_lingers(self, wire: MemoryTransport) -> None:
        self.assertTrue(wire.half_closed)
        self.assertTrue(wire.reading)
        self.assertEqual(wire.wire.incoming, b"")
        self.stage.time.advance(LINGER_SECONDS - 0.1)
        wire.pump()
        self.assertIsNone(wire.ended)
        self.stage.time.advance(0.2)
        wire.pump()
        self.assertIsInstance(wire.ended, ConnectionAborted)

    def test_a_client_that_closes_when_told_is_not_waited_for(self) -> None:
        self.wire.deliver(client_frame(3, b""))
        self.wire.lose(ConnectionDone())
        self.assert_ended(ConnectionDone)

    def test_a_socket_that_breaks_while_it_is_written_to(self) -> None:
        self.wire.wire.broken = True
        self.stage.publish(1)
        self.stage.publish(1)
        self.wire.pump()
        self.assertEqual(self.stage.gone, self.stage.members)
        self.assertIsNotNone(self.wire.ended)

    def test_a_socket_that_breaks_while_it_is_full(self) -> None:
        self.wire.fill()
        self.stage.publish(1)
        self.stage.publish(1)
        self.wire.wire.broken = True
        self.wire.drain()
        self.assertEqual(self.stage.gone, self.stage.members)
        self.assertIsNotNone(self.wire.ended)

    def test_one_client_does_not_keep_the_others_waiting(self) -> None:
        event = json.dumps({"type": "GetRecentEvents", "limit": 999}).encode()
        self.stage.publish(1000)
        self.wire.pump()
        self.wire.received()
        self.client.protocol.dataReceived(client_frame(TEXT, event) * 20)
        self.assertLess(len(self.wire.wire.sent), 2 << 20)
        self.wire.pump()
        self.assertGreater(len(self.wire.wire.sent), 4 << 20)
        self.wire.frames()


class StreamProtocolTests(ProtocolTests):
    """Over a transport that has to see all that is written, as TLS does."""

    transport = StreamTransport

    def assert_lingers(self, wire: MemoryTransport) -> None:
        """TLS says that it closes, and waits for the client to do so; here it is closed."""
        self.assertIsNotNone(wire.ended)

    def test_of_many_pings_while_it_takes_nothing_the_last_is_answered(self) -> None:
        """It reads little at a time, so most of them are read when there is room again."""
        self.wire.fill()
        self.wire.deliver(b"".join(client_frame(PING, b"%d" % n) for n in range(5000)))
        self.assertFalse(self.wire.reading)
        self.assertGreater(len(self.wire.wire.incoming), 40_000)
        self.wire.drain()
        self.assertEqual(self.wire.frames()[-1], ReceivedFrame(PONG, b"4999"))

    def test_a_ping_is_answered_between_frames(self) -> None:
        self.wire.fill(1000)
        self.stage.publish(200)
        self.client.protocol.sendPing(b"still there?")
        self.stage.publish(1)
        self.wire.drain()
        frames = self.wire.frames()
        self.assertEqual([frame.opcode for frame in frames].count(PING), 1)
        self.assertEqual(len(frames), 4)
