"""A subscriber with everything around it in memory."""

from __future__ import annotations

import json
import struct
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.web.http import HTTPChannel

from telemetry_twisted.api.websocket.context import Figures, Gauges
from telemetry_twisted.api.websocket.frames import event_renderer
from telemetry_twisted.api.websocket.metrics import Metrics
from telemetry_twisted.api.websocket.network import NetworkNews
from telemetry_twisted.api.websocket.subscriber import Subscriber
from telemetry_twisted.api.websocket.tail import Tails
from telemetry_twisted.api.websocket.transport import TURN_BYTES, SubscriberTransport
from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.testing import TEXT, MemorySocket, MemoryTransport
from telemetry_twisted.transport.records import Chunk, encode_runs
from telemetry_twisted.turns import Turns

NODES = ("aa" * 32, "bb" * 32)
NETWORKS = ("0x" + "e1" * 32, "0x" + "e2" * 32)
"""The networks of the first node, and of the second."""

RECEIVED = "2026-11-24T07:42:00.123456Z"

PING_FRAME = b"\x89\x00"

Message = dict[str, Any]


def event_message(number: int, node: int, kind: int) -> bytes:
    """An ``event`` message with id ``number``."""
    return (
        f'{{"type":"event","data":{{"id":{number},"node_id":"{NODES[node]}","event_id":{number},'
        f'"event_type":{kind},"event":{{"Any":{{"timestamp":1,"reason":"\\",\\"event\\":"}}}}}},'
        f'"timestamp":"{RECEIVED}"}}'
    ).encode()


def make_chunk(first: int, count: int, node: int = 0, kind: int = 11) -> Chunk:
    """``count`` events of a node, with ids from ``first`` on."""
    messages = [event_message(number, node, kind) for number in range(first, first + count)]
    return Chunk(
        first,
        count,
        encode_runs([(node, count)]),
        bytes([kind]) * count,
        b"".join(struct.pack("<I", len(message)) for message in messages),
        b",".join(messages),
    )


def messages_in(wire: MemoryTransport) -> list[Message]:
    """What a client has received as text since the last call."""
    return [json.loads(frame.payload) for frame in wire.frames() if frame.opcode == TEXT]


@define(slots=False)
class FakeGauges:
    """Figures of a server that keeps history."""

    current: list[str] = field(factory=list)
    networks: dict[str, Any] = field(factory=dict)

    def stats(self) -> dict[str, Any]:
        return {"database": {}, "broadcaster": {}, "connections": {"total": 0, "nodes": []}}

    def metrics(self) -> dict[str, Any]:
        return {"nodes": 3}

    def network(self) -> dict[str, Any]:
        return {"networks": self.networks}

    def problems(self) -> list[str]:
        return []

    def alerts(self) -> dict[str, Any]:
        return {"alerts": self.current, "count": len(self.current)}


class Stage:
    """A ring and the context of the subscribers that look at it, in a time of their own.

    ``gone`` are those that have left, ``events_missed`` what all of them missed.
    """

    def __init__(
        self, max_events: int = 1000, batch: int = 100, turn_bytes: int = TURN_BYTES
    ) -> None:
        self.time = MemoryReactorClock()
        self.time.advance(1_000_000_000)
        self.clock: IReactorTime = self.time
        self.now: Now = self.time.seconds
        self.turns = Turns(self.clock)
        self.ring = Ring(max_events, 1 << 30, event_renderer(self.time.seconds), batch)
        for handle, (node, network) in enumerate(zip(NODES, NETWORKS, strict=True)):
            self.ring.node_connected(node, handle, network)
        self.figures: Figures = self
        self.gauges: Gauges | None = None
        self.metrics: Metrics | None = None
        self.network: NetworkNews | None = None
        self.members: list[Subscriber] = []
        self.gone: list[Subscriber] = []
        self.events_missed = 0
        self.errors = InternalErrors(self.time)
        self.frames = Histogram("Events in a frame.", (1, 100))
        self.errors = InternalErrors(self.clock)
        self.tails = Tails(self.frames, self.clock, MemorySocket.send_to_all, turn_bytes)
        self.goodbyes: list[tuple[int, bytes]] = []
        self.published = 0

    def keep_history(self) -> FakeGauges:
        """Have those who enter be told metrics and alerts: of what is returned."""
        self.gauges = gauges = FakeGauges()
        self.metrics = Metrics(gauges, self.clock, self.errors)
        self.network = NetworkNews(gauges, self.clock, self.errors)
        return gauges

    def greeting(self) -> dict[str, Any]:
        return {"recent_events": self.ring.events, "total_nodes": 2, "broadcaster_stats": {}}

    def opened(self, subscriber: Subscriber) -> None:
        self.members.append(subscriber)

    def closed(self, subscriber: Subscriber) -> None:
        self.gone.append(subscriber)

    def missed(self, events: int) -> None:
        self.events_missed += events

    def enter(
        self, transport: type[MemoryTransport] = MemoryTransport, batch: int | None = None
    ) -> tuple[Subscriber, MemoryTransport]:
        """A subscriber that has been greeted, and its transport."""
        wire = transport(Protocol(), self.time)
        # As with a real one, the HTTP channel that served the upgrade is still registered.
        wire.registerProducer(HTTPChannel(), True)
        front = SubscriberTransport(wire, self.clock, lambda: subscriber.wake())
        subscriber = Subscriber(
            self,
            "test",
            front.sender,
            lambda *words: self.goodbyes.append(words),
            front.abortConnection,
            lambda: front.write(PING_FRAME),
            batch or self.ring.batch,
            lambda: None,
        )
        subscriber.start()
        wire.pump()
        return subscriber, wire

    def publish(self, count: int, node: int = 0, kind: int = 11) -> None:
        """The next ``count`` events, of one node and type."""
        self.ring.publish(make_chunk(self.published, count, node, kind))
        self.published += count
        self.ring.wake()
