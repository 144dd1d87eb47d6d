"""The pool that takes turns by itself: all comes, and whoever else is due has a turn."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.clock import use_monotonic_timers
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.ingestion.assembler import Assembler, Source
from telemetry_twisted.ingestion.backends import build_pool, build_unattended, build_writer
from telemetry_twisted.ingestion.faults import FaultLedger, FaultReports
from telemetry_twisted.ingestion.intake import Intake
from telemetry_twisted.ingestion.pool_reader import PoolReader
from telemetry_twisted.ingestion.unattended import epoll_of
from telemetry_twisted.jip3.codec import FACT_TYPES, Dialect, load_codec
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.testing import RecordCollector
from telemetry_twisted.transport.link import LINK_BYTES, Link, hand_over
from telemetry_twisted.transport.records import CHUNK, FACTS, Chunk
from tests.ingestion.test_node import NODE_ID, best_block

PATIENCE = 20.0
"""Seconds after which something does not happen any more."""

PLAIN = frame(encode_event(26, 1, {"connecting_id": 7}, cores=2))


class Member:
    """A node's connection."""

    connection = 1

    def __init__(self, connected: socket.socket) -> None:
        self.ended: list[Exception | None] = []
        self._connected = connected

    def fileno(self) -> int:
        return self._connected.fileno()

    def reading_ended(self, why: Exception | None) -> None:
        self.ended.append(why)

    def failed(self, failure: Failure) -> None:
        failure.raiseException()


@implementer(IReadDescriptor)
class Bell:
    """A descriptor of the reactor's that is ready when it was rung."""

    def __init__(self) -> None:
        self.heard = 0
        self._here, self._there = socket.socketpair()

    def ring(self) -> None:
        self._there.send(b"!")

    def fileno(self) -> int:
        return self._here.fileno()

    def doRead(self) -> None:
        self.heard += len(self._here.recv(1))

    def connectionLost(self, reason: Failure) -> None:
        pass

    def logPrefix(self) -> str:
        return "bell"


class Scene:
    """A node in a pool with a reactor of its own, and the hub's end of the link."""

    def __init__(self) -> None:
        self.reactor = EPollReactor()
        use_monotonic_timers(self.reactor)
        reactor = cast(Any, self.reactor)
        self.errors = InternalErrors(reactor)
        here, self.hub = socket.socketpair()
        self.link = Link(reactor, here, RecordCollector(), self.errors)
        self.link.start()
        codec = load_codec("compiled")
        writer = build_writer(codec, 1, 1)
        pool = build_pool(writer, 1 << 20)
        assert pool is not None
        self.assembler = Assembler(self.link.send, writer, pool, self.reactor, time.time)
        unattended = build_unattended(pool, self.link, reactor, self.assembler.moments)
        assert unattended is not None
        self.turns = 0
        self.reader = PoolReader(pool, self.assembler, reactor, self.errors, unattended)
        self.node, self.server_end = socket.socketpair()
        self.server_end.setblocking(False)
        self.member = Member(self.server_end)
        stream = codec.open(Dialect(NODE_ID, 2, fact_types=FACT_TYPES))
        ledger = FaultLedger(NODE_ID, FaultReports(self.link, self.reactor, self.errors))
        intake = Intake(writer, stream, 7, 0, 0, 0.0)
        source = Source(1, 7, stream, ledger, intake)
        self.assembler.add(source)
        self.reader.join(self.member, source, b"", 0)
        self.data = bytearray()
        self.records: list[tuple[int, bytes]] = []

    def record_received(self, kind: int, body: bytes) -> None:
        self.records.append((kind, bytes(body)))

    def receive(self) -> int:
        """Take what is in the link; how many events have come in all."""
        self.data += self.hub.recv(1 << 20)
        del self.data[: hand_over(bytes(self.data), cast(Any, self))]
        return len(self.ids)

    @property
    def ids(self) -> list[int]:
        return [
            chunk.first_id + number
            for kind, body in self.records
            if kind == CHUNK
            for chunk in [Chunk.decode(body)]
            for number in range(chunk.count)
        ]

    def iterate(self) -> None:
        self.turns += 1
        self.reactor.doIteration(0.1)
        self.reactor.runUntilCurrent()

    def close(self) -> None:
        for end in (self.hub, self.node, self.server_end):
            end.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    pytest.importorskip("telemetry_twisted.ingestion._pool")
    scene = Scene()
    yield scene
    scene.close()
    assert not scene.errors.counts


def until(scene: Scene, done: Any) -> None:
    """Let the reactor go on until ``done`` says so."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        scene.iterate()


def test_turns_follow_each_other_without_the_reactor(scene: Scene) -> None:
    talk = 200

    def play() -> None:
        for number in range(1, talk + 1):
            scene.node.sendall(PLAIN)
            while scene.receive() < number:
                pass

    player = threading.Thread(target=play)
    player.start()
    until(scene, lambda: not player.is_alive())
    assert scene.ids == [*range(1, talk + 1)]
    assert scene.turns < talk / 2
    assert scene.assembler.events == talk


def test_another_descriptor_has_its_turn(scene: Scene) -> None:
    bell = Bell()
    scene.reactor.addReader(bell)
    ringer = threading.Timer(0.05, bell.ring)
    scene.node.sendall(PLAIN)
    ringer.start()
    until(scene, lambda: bell.heard)
    assert scene.receive() == 1


def test_a_timer_has_its_turn(scene: Scene) -> None:
    rung: list[bool] = []
    scene.reactor.callLater(0.05, rung.append, True)
    scene.node.sendall(PLAIN)
    scene.reactor.runUntilCurrent()
    until(scene, lambda: rung)
    assert scene.receive() == 1


def test_facts_follow_their_chunk(scene: Scene) -> None:
    scene.node.sendall(PLAIN + best_block(5))
    scene.reactor.callLater(0.05, lambda: None)
    until(scene, lambda: scene.assembler.events == 2)
    scene.receive()
    assert [kind for kind, _ in scene.records] == [CHUNK, FACTS]


def test_a_link_that_is_full_gets_the_rest_in_order(scene: Scene) -> None:
    scene.node.setblocking(False)
    sent = 0
    while not scene.link.backlog:
        with suppress(BlockingIOError):
            sent += scene.node.send(PLAIN * 100)
        scene.iterate()
    whole = -sent % len(PLAIN)
    scene.node.setblocking(True)
    scene.node.sendall(PLAIN[len(PLAIN) - whole :])
    number = (sent + whole) // len(PLAIN)
    assert not scene.link.flowing
    scene.hub.setblocking(False)

    def all_there() -> bool:
        try:
            return scene.receive() >= number
        except BlockingIOError:
            return False

    until(scene, all_there)
    assert scene.ids == [*range(1, number + 1)]
    assert scene.link.backlog < LINK_BYTES


def test_a_node_that_leaves_is_told_of_after_its_events(scene: Scene) -> None:
    scene.node.sendall(PLAIN)
    scene.node.close()
    until(scene, lambda: scene.member.ended)
    assert scene.member.ended == [None]
    assert scene.receive() == 1


def test_a_hub_that_is_gone_ends_the_link(scene: Scene) -> None:
    scene.hub.close()
    scene.node.sendall(PLAIN)
    until(scene, lambda: not scene.link.flowing)


def test_events_show_when_they_were_read(scene: Scene) -> None:
    before = time.time()
    scene.node.sendall(PLAIN)
    until(scene, lambda: scene.assembler.events)
    scene.receive()
    chunk = Chunk.decode(scene.records[0][1])
    assert before - 0.001 <= chunk.received / 1e6 <= time.time()
    assert chunk.read / 1e6 <= time.monotonic()
    micros = b"%06d" % (chunk.received % 1_000_000)
    assert chunk.events.endswith(b'.%bZ"}' % micros)


def test_only_twisteds_own_epoll_reactor_can_be_waited_for() -> None:
    assert epoll_of(MemoryReactorClock()) is None
