"""All that goes to a subscriber, whatever it and the system do, by the letter of RFC 6455."""

from __future__ import annotations

import json
import struct
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket import transport as transport_module
from telemetry_twisted.api.websocket.protocol import SubscriberFactory
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
from tests.api.websocket.stage import NODES, Stage, event_message
from tests.api.websocket.test_protocol import UPGRADE
from tests.api.websocket.tls import TlsTransport
from tests.examples import examples

BATCH = 5
BOUND = 20_000
"""Bytes that may wait in a sender: a few frames, and the longest reply that is asked for."""

FILTERS: list[dict[str, Any]] = [
    {"type": "All"},
    {"type": "Nodes", "node_ids": [NODES[0]]},
    {"type": "Nodes", "node_ids": [NODES[1]], "event_types": [11]},
    {"type": "EventType", "event_type": 12},
]


class Outgoing(RuleBasedStateMachine):
    """A client, a ring, and everything that either may do.

    Each frame that arrives is checked as it arrives: the parser is strict, events are compared with
    what was published, byte for byte, and pongs with the pings that they answer.
    """

    transport: type[MemoryTransport]

    @initialize(turn_bytes=st.sampled_from([600, 5000, 1 << 20]))
    def open(self, turn_bytes: int) -> None:
        self.stage = Stage(max_events=40, batch=BATCH)
        factory: Any = SubscriberFactory(self.stage)
        self.protocol = factory.buildProtocol(None)
        with patch.object(transport_module, "TURN_BYTES", turn_bytes):
            self.wire = self.transport(self.protocol, self.stage.time)
            if isinstance(self.wire, TlsTransport):
                self.wire.connect()
            else:
                self.protocol.makeConnection(self.wire)
        self.sender = self.protocol.transport.sender
        self.wire.deliver(UPGRADE)
        assert self.wire.head().startswith(b"HTTP/1.1 101 ")
        self.published: dict[int, bytes] = {}
        self.last_id = -1
        self.events = 0
        self.pings = 0
        self.last_pong = -1
        self.last_frame: ReceivedFrame | None = None
        self.client_closed = False
        self.server_closed = False

    @property
    def is_open(self) -> bool:
        return self.wire.ended is None and not (self.client_closed or self.server_closed)

    def send(self, opcode: int, payload: bytes) -> None:
        if self.wire.ended is None and not self.client_closed:
            self.wire.deliver(client_frame(opcode, payload))

    def ask(self, **request: Any) -> None:
        self.send(TEXT, json.dumps(request).encode())

    @rule(count=st.integers(1, 15), node=st.integers(0, 1), kind=st.integers(11, 12))
    def publish(self, count: int, node: int, kind: int) -> None:
        for number in range(self.stage.published, self.stage.published + count):
            self.published[number] = event_message(number, node, kind)
        self.stage.publish(count, node, kind)

    @rule(filter=st.sampled_from(FILTERS))
    def subscribe(self, filter: dict[str, Any]) -> None:
        self.ask(type="Subscribe", filter=filter)

    @rule(request=st.sampled_from(["Unsubscribe", "Ping", "Nonsense"]))
    def request(self, request: str) -> None:
        self.ask(type=request)

    @rule(limit=st.integers(0, 20))
    def ask_for_recent_events(self, limit: int) -> None:
        self.ask(type="GetRecentEvents", limit=limit)

    @rule(count=st.integers(1, 30))
    def client_pings(self, count: int) -> None:
        for _ in range(count):
            self.send(PING, b"%d" % self.pings)
            self.pings += 1

    @rule()
    def server_pings(self) -> None:
        self.protocol.sendPing(b"still there?")

    @rule(seconds=st.sampled_from([0.1, 1, 21]))
    def time_passes(self, seconds: float) -> None:
        self.stage.time.advance(seconds)
        self.wire.pump()

    @rule()
    def fill(self) -> None:
        self.wire.fill()

    @rule(room=st.integers(1, 3000))
    def drip(self, room: int) -> None:
        self.wire.drain(room)

    @rule()
    def drain(self) -> None:
        self.wire.drain()

    @precondition(lambda self: len(self.published) > 60)
    @rule(code=st.sampled_from([1000, 1001, 4000]))
    def client_closes(self, code: int) -> None:
        self.send(CLOSE, struct.pack("!H", code))
        self.client_closed = True

    @precondition(lambda self: len(self.published) > 60)
    @rule()
    def client_breaks_the_protocol(self) -> None:
        self.send(3, b"")
        self.server_closed = True

    @precondition(lambda self: len(self.published) > 60 and self.is_open)
    @rule(hurry=st.booleans())
    def server_ends(self, hurry: bool) -> None:
        self.server_closed = True
        (subscriber,) = self.stage.members
        subscriber.finish()
        if hurry:
            subscriber.hurry()

    @precondition(lambda self: len(self.published) > 100 and self.wire.ended is None)
    @rule()
    def connection_is_lost(self) -> None:
        self.wire.lose(ConnectionLost())

    @invariant()
    def frames_are_what_they_must_be(self) -> None:
        for frame in self.wire.frames():
            self.last_frame = frame
            if frame.opcode == TEXT:
                self.take_message(frame.payload)
            elif frame.opcode == PONG:
                number = int(frame.payload)
                assert self.last_pong < number < self.pings
                self.last_pong = number
            else:
                assert frame.opcode in (PING, CLOSE)

    def take_message(self, text: bytes) -> None:
        message = json.loads(text)
        if message["type"] in ("event", "batch"):
            events = [message] if message["type"] == "event" else message["data"]
            ids = [event["data"]["id"] for event in events]
            assert [self.last_id, *ids] == sorted({self.last_id, *ids})
            assert b",".join(self.published[number] for number in ids) in text
            self.last_id = ids[-1]
            self.events += len(ids)

    @invariant()
    def little_waits(self) -> None:
        assert self.sender.backlog <= BOUND
        if self.sender.state is State.BLOCKED:
            assert self.sender.backlog

    def teardown(self) -> None:
        if not hasattr(self, "last_id"):
            return
        self.wire.drain()
        if self.is_open:
            self.client_pings(1)
            self.ask(type="Ping")
            self.frames_are_what_they_must_be()
            assert self.last_pong == self.pings - 1
            assert self.last_frame is not None
            pong = json.loads(self.last_frame.payload)
            assert pong["data"]["events_received"] == self.events
            assert not self.wire.parser.unfinished
            assert self.sender.state is State.OPEN
            assert self.wire.reading
        elif self.wire.ended is None or isinstance(self.wire.ended, ConnectionDone):
            self.frames_are_what_they_must_be()
            assert self.wire.parser.closed
        if self.wire.ended is None:
            self.wire.lose(ConnectionDone())
        assert self.sender.state is State.CLOSED
        assert self.stage.gone == self.stage.members
        assert self.stage.time.getDelayedCalls() == []


class OverPlainSocket(Outgoing):
    transport = MemoryTransport


class OverStream(Outgoing):
    transport = StreamTransport


class OverTls(Outgoing):
    transport = TlsTransport


class OutgoingTests(SynchronousTestCase):
    def run_machine(self, machine: type[Outgoing], number: int) -> None:
        run_state_machine_as_test(machine, settings=examples(number, stateful_step_count=60))

    def test_over_a_plain_socket(self) -> None:
        self.run_machine(OverPlainSocket, 60)

    def test_over_a_transport_that_has_to_see_everything(self) -> None:
        self.run_machine(OverStream, 60)

    def test_over_tls(self) -> None:
        self.run_machine(OverTls, 40)
