"""A subscriber with everything around it in memory."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel

from telemetry_twisted.api.websocket.frames import event_renderer
from telemetry_twisted.api.websocket.subscriber import Figures, Gauges, Subscriber
from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.transport.records import Chunk, encode_runs

NODES = ("aa" * 32, "bb" * 32)
RECEIVED = "2026-11-24T07:42:00.123456Z"

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


def frames_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The opcode and payload of each WebSocket frame of a server."""
    at = 0
    while at < len(data):
        opcode, length = data[at] & 0x0F, data[at + 1]
        at += 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        yield opcode, data[at : at + length]
        at += length


class Wire(StringTransport):
    """A transport whose other end takes frames apart; it can be full.

    The HTTP channel that served the upgrade is registered with it, as with a real one. ``aborted``
    says whether it was closed at once, ``half_closed`` whether nothing more will be sent.
    """

    bufferSize = 1 << 16
    SEND_LIMIT = 1 << 17
    family = socket.AF_UNIX

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", 5))
        self.aborted = False
        self.half_closed = False
        self.registerProducer(HTTPChannel(), True)

    def unregisterProducer(self) -> None:
        self.producer = None

    def fileno(self) -> int:
        return -1

    def getHandle(self) -> Wire:
        return self

    def setTcpNoDelay(self, _enabled: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def fill(self) -> None:
        """Take no more."""
        assert self.producer is not None
        self.producer.pauseProducing()

    def drain(self) -> None:
        """Take more again."""
        assert self.producer is not None
        self.producer.resumeProducing()

    def frames(self) -> list[tuple[int, bytes]]:
        """The opcode and payload of each frame that was sent since the last call."""
        data = self.value()
        self.clear()
        return list(frames_in(data))

    def messages(self) -> list[Message]:
        """What was sent as text since the last call."""
        return [json.loads(payload) for opcode, payload in self.frames() if opcode == 1]


@define
class FakeGauges:
    """Figures of a server that keeps history."""

    current: list[str] = field(factory=list)

    def stats(self) -> dict[str, Any]:
        return {"database": {}, "broadcaster": {}, "connections": {"total": 0, "nodes": []}}

    def metrics(self) -> dict[str, Any]:
        return {"nodes": 3}

    def problems(self) -> list[str]:
        return []

    def alerts(self) -> dict[str, Any]:
        return {"alerts": self.current, "count": len(self.current)}


class Stage:
    """A ring and the context of the subscribers that look at it, in a time of their own.

    ``gone`` are those that have left, ``events_missed`` what all of them missed.
    """

    def __init__(self, max_events: int = 1000, batch: int = 100) -> None:
        self.time = Clock()
        self.time.advance(1_000_000_000)
        self.clock: IReactorTime = self.time
        self.now: Now = self.time.seconds
        self.ring = Ring(max_events, 1 << 30, event_renderer(self.time.seconds), batch)
        for slot, node in enumerate(NODES):
            self.ring.node_connected(node, slot)
        self.figures: Figures = self
        self.gauges: Gauges | None = None
        self.members: list[Subscriber] = []
        self.gone: list[Subscriber] = []
        self.events_missed = 0
        self.frames = Histogram("Events in a frame.", (1, 100))
        self.errors = InternalErrors(self.clock)
        self.goodbyes: list[tuple[int, bytes]] = []
        self.published = 0

    def greeting(self) -> dict[str, Any]:
        return {"recent_events": self.ring.events, "total_nodes": 2, "broadcaster_stats": {}}

    def opened(self, subscriber: Subscriber) -> None:
        self.members.append(subscriber)

    def closed(self, subscriber: Subscriber) -> None:
        self.gone.append(subscriber)

    def missed(self, events: int) -> None:
        self.events_missed += events

    def enter(self) -> tuple[Subscriber, Wire]:
        """A subscriber that has been greeted, and its transport."""
        wire = Wire()
        subscriber = Subscriber(
            self, "test", lambda *words: self.goodbyes.append(words), wire, self.ring.batch
        )
        subscriber.start()
        return subscriber, wire

    def publish(self, count: int, node: int = 0, kind: int = 11) -> None:
        """The next ``count`` events, of one node and type."""
        self.ring.publish(make_chunk(self.published, count, node, kind))
        self.published += count
        self.ring.wake()


@pytest.fixture
def wire() -> Wire:
    """A transport that nobody writes to yet."""
    return Wire()


@pytest.fixture
def make_wire() -> Callable[[], Wire]:
    """Makes a transport that nobody writes to yet."""
    return Wire


@pytest.fixture
def stage() -> Stage:
    """A ring of a thousand events."""
    return Stage()


@pytest.fixture
def small_stage() -> Stage:
    """A ring of a hundred events, and ten to a frame."""
    return Stage(max_events=100, batch=10)


@pytest.fixture(scope="session")
def make_stage() -> Callable[..., Stage]:
    """Makes a stage anew for each example."""
    return Stage


@pytest.fixture
def gauges() -> FakeGauges:
    """What a server that keeps history tells."""
    return FakeGauges()
