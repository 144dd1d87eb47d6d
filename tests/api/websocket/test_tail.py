"""Subscribers that are sent the same by one call, and what makes one of them go on by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.subscriber import Subscriber
from telemetry_twisted.api.websocket.tail import AT_ONCE_BYTES, Tails
from telemetry_twisted.testing import PING, TEXT, MemorySocket, MemoryTransport, StreamTransport
from telemetry_twisted.transport.sink import Piece
from tests.api.websocket.stage import Stage, make_chunk, messages_in
from tests.api.websocket.test_subscriber import FILTERS, ask, ids_in, matches
from tests.examples import examples


@define(eq=False)
class Client:
    """A subscriber, what is sent to it, and what it must be sent.

    ``matching``, ``received`` and ``skipped`` have an item for each filter that it has had.
    """

    subscriber: Subscriber
    wire: MemoryTransport
    filter: dict[str, Any] = field(factory=lambda: FILTERS[0])
    matching: list[list[int]] = field(factory=lambda: [[]])
    received: list[list[int]] = field(factory=lambda: [[]])
    skipped: list[int] = field(factory=lambda: [0])
    bytes: int = 0

    def look(self) -> None:
        """Read what has come: whole frames, and pongs that tell what has come before them."""
        data = self.wire.received()
        self.bytes += len(data)
        for frame in self.wire.parser.feed(data):
            if frame.opcode == TEXT:
                self.take(json.loads(frame.payload))
            else:
                assert frame.opcode == PING

    def take(self, message: dict[str, Any]) -> None:
        kind, data = message["type"], message["data"]
        if kind == "subscribed":
            self.received.append([])
            self.skipped.append(0)
        elif kind == "lagged":
            self.skipped[-1] += data["skipped"]
            assert data["lagged_total"] == sum(self.skipped)
        elif kind in ("pong", "stats"):
            told = data if kind == "pong" else data["websocket"]
            assert told["lagged_total"] == sum(self.skipped)
            assert told["events_received"] == sum(map(len, self.received))
        self.received[-1] += ids_in([message])

    def check(self) -> None:
        """Of each filter, all that matches has come once and in order, or was told as missed."""
        for matching, received, skipped in zip(
            self.matching, self.received, self.skipped, strict=True
        ):
            assert len(received) + skipped == len(matching)
            assert received == sorted(set(received))
            assert set(received) <= set(matching)


class Together(RuleBasedStateMachine):
    """Subscribers that come and go, are slow, ask, and change their filters, beside one another."""

    clients: Bundle[Client] = Bundle("clients")

    @initialize(
        target=clients,
        turn_bytes=st.sampled_from([600, 5000, 1 << 20]),
        held=st.sampled_from([20, 200]),
    )
    def open(self, turn_bytes: int, held: int) -> Any:
        self.stage = Stage(max_events=held, batch=5, turn_bytes=turn_bytes)
        self.stats = json.dumps({"database": {}}).encode()
        self.all: list[Client] = []
        return multiple(*(self.enter(MemoryTransport) for _ in range(3)))

    @rule(
        target=clients,
        transport=st.sampled_from([MemoryTransport, MemoryTransport, StreamTransport]),
        batch=st.sampled_from([None, None, 2]),
    )
    def enter(self, transport: type[MemoryTransport], batch: int | None = None) -> Client:
        subscriber, wire = self.stage.enter(transport, batch)
        client = Client(subscriber, wire)
        self.all.append(client)
        client.look()
        return client

    @rule(
        counts=st.lists(st.integers(1, 15), min_size=1, max_size=4),
        node=st.integers(0, 1),
        kind=st.integers(11, 12),
        wake=st.booleans(),
    )
    def publish(self, counts: list[int], node: int, kind: int, wake: bool) -> None:
        """Several chunks, of which readers are told then or later."""
        stage = self.stage
        for count in counts:
            for client in self.all:
                if matches(client.filter, node, kind):
                    client.matching[-1] += range(stage.published, stage.published + count)
            stage.ring.publish(make_chunk(stage.published, count, node, kind))
            stage.published += count
        if wake:
            stage.ring.wake()

    @rule()
    def wake(self) -> None:
        self.stage.ring.wake()

    @rule(client=clients, filter=st.sampled_from(FILTERS))
    def subscribe(self, client: Client, filter: dict[str, Any]) -> None:
        if client.wire.ended is None:
            self.stage.time.advance(1)  # so that there is enough to pay with
            client.filter = filter
            client.matching.append([])
            ask(client.subscriber, "Subscribe", filter=filter)

    @rule(client=clients)
    def ask_for_counters(self, client: Client) -> None:
        ask(client.subscriber, "Ping")

    @rule(client=clients)
    def ping(self, client: Client) -> None:
        client.subscriber.ping_if_quiet()

    @rule(client=clients)
    def tell_stats(self, client: Client) -> None:
        client.subscriber.send_stats(self.stats)

    @rule(client=clients, room=st.integers(0, 150) | st.integers(0, 5000))
    def block(self, client: Client, room: int) -> None:
        client.wire.fill(room)

    @rule(client=clients, room=st.integers(1, 5000))
    def drip(self, client: Client, room: int) -> None:
        client.wire.drain(room)

    @rule(client=clients)
    def drain(self, client: Client) -> None:
        client.wire.drain()

    @rule()
    def turn(self) -> None:
        self.stage.time.advance(0)

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        client.wire.lose(ConnectionLost())
        client.subscriber.gone()

    @rule(client=consumes(clients))
    def break_(self, client: Client) -> None:
        client.wire.wire.broken = True

    @invariant()
    def all_is_as_told(self) -> None:
        for client in self.all:
            client.look()
            stream = client.subscriber.stream
            if isinstance(client.wire, StreamTransport):
                continue
            assert stream.sender.sent == client.bytes
            assert stream.events_received >= sum(map(len, client.received))
        received = sum(client.subscriber.stream.events_received for client in self.all)
        assert self.stage.frames.sum == received

    def teardown(self) -> None:
        if not hasattr(self, "all"):
            return
        self.stage.ring.wake()
        for client in self.all:
            if client.wire.ended is None and not client.wire.wire.broken:
                client.wire.drain()
        for client in self.all:
            client.wire.pump()
            client.look()
            if client.wire.ended is None:
                client.check()
            if client.subscriber not in self.stage.gone:
                client.subscriber.gone()
        assert self.stage.errors.counts == {}
        assert len(self.stage.tails) == 0


class TogetherTests(SynchronousTestCase):
    def test_each_is_sent_all_that_it_wants_whatever_the_others_do(self) -> None:
        run_state_machine_as_test(Together, settings=examples(100, stateful_step_count=60))


class TailTests(SynchronousTestCase):
    """What is done for all at once."""

    def setUp(self) -> None:
        self.stage = Stage(batch=5)
        self.calls: list[int] = []

        def send_to_all(
            descriptors: Sequence[int], pieces: Sequence[Piece], /
        ) -> list[tuple[int, int]]:
            self.calls.append(len(descriptors))
            return MemorySocket.send_to_all(descriptors, pieces)

        self.send_to_all = send_to_all
        self.stage.tails = Tails(self.stage.frames, self.stage.clock, send_to_all)
        self.wires = [self.stage.enter()[1] for _ in range(10)]
        for wire in self.wires:
            wire.frames()

    def test_what_comes_is_sent_by_one_call(self) -> None:
        for _ in range(3):
            self.stage.publish(5)
        self.assertEqual(self.calls, [10, 10, 10])
        for wire in self.wires:
            self.assertEqual(ids_in(messages_in(wire)), list(range(15)))

    def test_one_that_blocks_goes_on_by_itself_and_comes_back(self) -> None:
        slow = self.wires[3]
        slow.fill(100)
        self.stage.publish(5)
        self.stage.publish(5)
        self.assertEqual(self.calls, [10, 9])
        slow.drain()
        self.assertEqual(ids_in(messages_in(slow)), list(range(10)))
        self.stage.publish(5)
        self.assertEqual(self.calls, [10, 9, 10])

    def test_one_that_asks_or_is_told_something_is_still_among_them(self) -> None:
        ask(self.stage.members[4], "Ping")
        self.stage.members[5].send_stats(b'{"database":{}}')
        self.stage.members[6].ping_if_quiet()
        self.stage.publish(5)
        self.assertEqual(self.calls, [10])

    def test_one_with_another_filter_or_batch_is_not(self) -> None:
        ask(self.stage.members[4], "Subscribe", filter={"type": "EventType", "event_type": 11})
        self.stage.enter(batch=2)
        self.stage.publish(5)
        self.assertEqual(sorted(self.calls), [1, 1, 9])

    def test_one_that_blocks_on_something_of_its_own_is_not_written_to_past_that(self) -> None:
        slow = self.wires[3]
        slow.fill(10)
        self.stage.members[3].send_stats(b'{"database":{}}')
        self.stage.publish(5)
        self.assertEqual(self.calls, [9])
        slow.drain()
        stats, events = messages_in(slow)
        self.assertEqual((stats["type"], ids_in([events])), ("stats", list(range(5))))

    def test_one_that_is_gone_is_not_written_to(self) -> None:
        self.wires[3].lose(ConnectionLost())
        self.wires[4].wire.broken = True
        self.stage.publish(5)
        self.stage.publish(5)
        self.assertEqual(self.calls, [9, 8])
        self.wires[4].pump()
        self.assertIsNotNone(self.wires[4].ended)

    def test_others_have_their_turn_when_it_has_written_its_share(self) -> None:
        stage = self.stage = Stage(2000, batch=5)
        stage.tails = Tails(stage.frames, stage.clock, MemorySocket.send_to_all, AT_ONCE_BYTES)
        (subscriber, wire), (_, other) = stage.enter(), stage.enter()
        wire.frames(), other.frames()
        for _ in range(300):
            stage.ring.publish(make_chunk(stage.published, 5))
            stage.published += 5
        stage.ring.wake()
        first = ids_in(messages_in(wire))
        self.assertLess(len(first), 1400)
        other.lose(ConnectionLost())
        ask(subscriber, "Ping")
        wire.pump()
        *rest, pong = messages_in(wire)
        self.assertEqual(first + ids_in(rest), list(range(1500)))
        self.assertEqual(pong["data"]["events_received"], 1500)
        self.assertEqual(stage.time.getDelayedCalls(), [])

    def test_one_that_was_ahead_of_the_others_comes_back(self) -> None:
        """Who has read on while the others let somebody else have a turn waits for more first."""
        stage = self.stage = Stage(2000, batch=5)
        stage.tails = Tails(stage.frames, stage.clock, self.send_to_all, AT_ONCE_BYTES)
        wires = [stage.enter()[1] for _ in range(3)]
        for _ in range(300):
            stage.ring.publish(make_chunk(stage.published, 5))
            stage.published += 5
        stage.ring.wake()
        ask(stage.members[-1], "Ping")
        for wire in reversed(wires):
            wire.pump()
        self.assertEqual(self.calls[-1], 2)
        for _ in range(2):
            stage.publish(5)
        self.assertEqual(self.calls[-1], 3)
        for wire in wires:
            self.assertEqual(ids_in(messages_in(wire)), list(range(1510)))

    def test_several_frames_go_by_one_call(self) -> None:
        for _ in range(4):
            chunk = make_chunk(self.stage.published, 5)
            self.stage.ring.publish(chunk)
            self.stage.published += 5
        self.stage.ring.wake()
        self.assertEqual(self.calls, [10])
        for wire in self.wires:
            self.assertEqual([len(message["data"]) for message in messages_in(wire)], [5] * 4)
