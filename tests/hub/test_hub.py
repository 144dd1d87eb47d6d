"""The hub: what comes from the ingestion processes, and where it goes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.child import ChildState
from telemetry_twisted.hub.figures import HubFigures
from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.permits import Permits
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.ingestion.process import LISTEN_FD, Settings
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link
from telemetry_twisted.transport.records import Chunk, decode_json, encode_runs

A, B = "aa" * 32, "bb" * 32
SETTINGS = Settings(
    first_id=1,
    id_step=4,
    codec="auto",
    byte_arrays=False,
    max_message_size=1 << 20,
    rate_limit=0,
    most_silent=10,
    history=True,
)


@define
class Wire:
    """The link to a process: notes what is sent."""

    sent: list[bytes] = field(factory=list)

    def send(self, *pieces: bytes) -> None:
        self.sent.append(b"".join(pieces))

    def messages(self) -> list[tuple[int, Any]]:
        """Kind and content of what was sent since the last call."""
        sent, self.sent = self.sent, []
        return [
            (record[4], decode_json(record[5:]) if len(record) > 5 else None) for record in sent
        ]


@define
class History:
    """Notes what goes on to the store."""

    news: list[tuple[str, Any]] = field(factory=list)

    def node_connected(self, node: Node) -> None:
        self.news.append(("connected", node.node_id))

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        self.news.append(("gone", (node.node_id, kind, reason)))

    def chunk(self, chunk: Chunk) -> None:
        self.news.append(("chunk", chunk.first_id))

    def record(self, kind: int, body: bytes) -> None:
        self.news.append(("record", (kind, decode_json(body))))


class Scene:
    """A hub and two of four ingestion processes, with links to nothing real."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.history = History()
        ring = Ring(1000, 1 << 20, lambda parts, _count: parts, 100)
        self.errors = InternalErrors(self.clock)
        now = self.clock.seconds
        self.hub = Hub(ring, 2, self.clock, now, self.errors, self.history)
        self.permits = Permits(100)
        self.servers = [self.server(number) for number in (0, 1)]
        self.wires = [Wire(), Wire()]
        for server, wire in zip(self.servers, self.wires, strict=True):
            server.link_made(cast(Link, wire))

    def server(self, number: int) -> IngestionServer:
        return IngestionServer(number, SETTINGS, self.hub, self.permits, self.errors)

    def start(self, server: int) -> None:
        """What its supervisor does when it is heard from."""
        self.servers[server].condition.state = ChildState.RUNNING
        self.servers[server].state_changed()

    def accept(self, server: int, connection: int, host: str = "10.0.0.7") -> None:
        self.receive(server, records.ACCEPTED, {"connection": connection, "host": host})

    def receive(self, server: int, kind: int, value: Any) -> None:
        body = records.encode_json(kind, value)[records.PREFIX.size :]
        self.servers[server].record_received(kind, memoryview(body))

    def introduce(self, server: int, connection: int, node_id: str) -> None:
        self.accept(server, connection)
        hello = {"connection": connection, "node_id": node_id, "address": "x:1", "info": {}}
        self.receive(server, records.HELLO, hello)

    def end(self, server: int, connection: int, kind: str = "left", reason: str = "so") -> None:
        gone = {"connection": connection, "kind": kind, "reason": reason}
        self.receive(server, records.GONE, gone)

    def events(self, server: int, first_id: int, slot: int, count: int = 1) -> None:
        chunk = Chunk(
            first_id,
            count,
            encode_runs([(slot, count)]),
            b"\x0b" * count,
            b"\2\0\0\0" * count,
            b",".join([b"{}"] * count),
            1_000_000,
            1_000_000,
        )
        body = b"".join(chunk.encode())[records.PREFIX.size :]
        self.servers[server].record_received(records.CHUNK, memoryview(body))
        self.servers[server].records_done()


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    texts: list[str] = []

    def observe(event: LogEvent) -> None:
        texts.append(formatEvent(event))

    observer = cast(ILogObserver, observe)
    globalLogPublisher.addObserver(observer)
    yield texts
    globalLogPublisher.removeObserver(observer)


def next_settings(server: IngestionServer) -> Settings:
    """What the next life of a process is given; it ends at once."""
    with socket.socket() as listening:
        server.listen(listening)
        launch = server.launch()
    assert list(launch.descriptors) == [LISTEN_FD]
    for descriptor in launch.descriptors.values():
        os.close(descriptor)
    server.process_ended("over")
    return Settings.decode(launch.arguments[2])


def test_each_process_begins_with_an_id_of_its_own(scene: Scene) -> None:
    settings = [next_settings(scene.server(number)) for number in range(4)]
    assert [each.first_id for each in settings] == [1, 2, 3, 4]
    assert {each.id_step for each in settings} == {4}


def test_its_next_life_goes_on_above_the_ids_that_were_given(scene: Scene) -> None:
    scene.introduce(1, 1, A)
    scene.events(1, first_id=42, slot=0, count=3)
    scene.servers[1].process_ended("killed")
    assert next_settings(scene.servers[1]).first_id == 42 + 3 * 4
    assert scene.hub.last_id == 42 + 2 * 4


def test_a_node_is_admitted_above_all_ids_so_far(scene: Scene) -> None:
    scene.introduce(0, 1, A)
    assert scene.wires[0].messages() == [
        (records.ADMIT, {"connection": 1, "slot": 0, "after_id": 0})
    ]
    scene.events(0, first_id=1, slot=0, count=5)
    scene.introduce(1, 1, B)
    assert scene.wires[1].messages() == [
        (records.ADMIT, {"connection": 1, "slot": 1, "after_id": 17})
    ]
    assert scene.history.news == [("connected", A), ("chunk", 1), ("connected", B)]


def test_events_reach_the_ring_and_wake_those_who_wait(scene: Scene) -> None:
    woken = []

    class Reader:
        def wake(self) -> None:
            woken.append(True)

    scene.introduce(0, 1, A)
    channel = scene.hub.ring.open(Filter(node_ids=frozenset({A})))
    channel.wait(Reader())
    scene.events(0, first_id=1, slot=0)
    assert woken == [True]
    assert channel.total == 1


def test_a_slot_that_is_used_again_belongs_to_the_new_node(scene: Scene) -> None:
    of_a, of_b = (scene.hub.ring.open(Filter(node_ids=frozenset({each}))) for each in (A, B))
    scene.introduce(0, 1, A)
    scene.events(0, first_id=1, slot=0)
    scene.end(0, 1)
    scene.introduce(0, 2, B)
    scene.events(0, first_id=5, slot=0)
    assert (of_a.total, of_b.total) == (1, 1)


def test_a_process_that_dies_takes_its_nodes_along(scene: Scene) -> None:
    scene.introduce(0, 1, A)
    scene.introduce(1, 1, B)
    for connection in (2, 3):
        scene.accept(0, connection)
    assert scene.servers[0].connections == 3
    scene.receive(0, records.PULSE, {"events": 10, "rate_limited": 4})
    scene.servers[0].link_lost(cast(Any, None))
    scene.servers[0].process_ended("killed by SIGKILL")
    assert [node.node_id for node in scene.hub.nodes] == [B]
    assert scene.servers[0].connections == 0
    assert scene.servers[0].pulse == {}
    assert scene.servers[0].counter("rate_limited") == 4
    assert ("gone", (A, "lost", "its ingestion process ended")) in scene.history.news


def test_counters_are_added_up_over_lives_and_processes(scene: Scene) -> None:
    figures = HubFigures(scene.hub, scene.servers, None, lambda: 7, lambda: 9)
    scene.introduce(0, 1, A)
    scene.receive(0, records.PULSE, {"events": 1, "rate_limited": 4})
    scene.servers[0].process_ended("killed")
    scene.receive(0, records.PULSE, {"events": 1, "rate_limited": 2})
    scene.receive(1, records.PULSE, {"events": 1, "rate_limited": 1})
    scene.introduce(1, 1, B)
    scene.events(1, first_id=2, slot=0, count=5)
    scene.hub.ring.open(Filter(node_ids=frozenset({A, B})))
    scene.hub.ring.open(ALL)
    assert figures.greeting() == {
        "recent_events": 5,
        "total_nodes": 1,
        "broadcaster_stats": {
            "total_events_broadcast": 5,
            "active_subscribers": 7,
            "node_channels": 2,
            "events_in_buffer": 5,
            "dropped_events": 7,
            "undelivered_events": 9,
        },
    }


def test_endings_are_counted_and_the_unusual_logged(scene: Scene, log: list[str]) -> None:
    for kind in ("left", "left", "replaced", "too_long", "no_information"):
        scene.accept(0, 5)
        scene.end(0, 5, kind, f"because of {kind}")
    assert scene.hub.endings == {
        "left": 2,
        "replaced": 1,
        "too_long": 1,
        "no_information": 1,
    }
    assert log == [
        "a connection was closed: because of too_long",
        "a connection was closed: because of no_information",
    ]


def test_one_too_many_is_refused_and_logged(scene: Scene, log: list[str]) -> None:
    for connection, node_id in enumerate([A, B, "cc" * 32]):
        scene.introduce(0, connection, node_id)
    kind, message = scene.wires[0].messages()[-1]
    assert kind == records.DISMISS
    assert message["connection"] == 2
    assert message["kind"] == "refused"
    scene.end(0, 2, message["kind"], message["reason"])
    assert scene.hub.endings == {"refused": 1}
    (line,) = log
    assert line.startswith(f"node {'cc' * 32} was refused: 2 nodes are connected")


def test_faults_are_counted_logged_and_handed_on(scene: Scene, log: list[str]) -> None:
    fault = {
        "node_id": A,
        "kind": "decode_error",
        "discriminator": 11,
        "reason": "cut short",
        "count": 3,
        "offset": 9,
        "excerpt": "0b00",
    }
    faults = [fault, {**fault, "kind": "violation", "count": 2}]
    scene.receive(0, records.FAULTS, faults)
    assert scene.hub.faults == {"decode_error": 3, "violation": 2}
    assert log[0] == (
        f"node {A}: 3 x decode_error in events of type 11: cut short at offset 9, last in 0b00"
    )
    assert scene.history.news == [("record", (records.FAULTS, faults))]


def test_what_nodes_say_of_their_state_is_kept_and_handed_on(scene: Scene) -> None:
    scene.introduce(0, 1, A)
    best, final = {"slot": 9, "hash": "0x09"}, {"slot": 7, "hash": "0x07"}
    scene.receive(0, records.STATE, {"0": {"best": best, "finalized": final, "synced": False}})
    scene.receive(0, records.STATE, {"0": {"synced": True}, "5": {"synced": True}})
    node = scene.hub.nodes.get(A)
    assert node is not None
    assert (node.best, node.finalized, node.synced) == (best, final, True)
    assert [kind for _, (kind, _) in scene.history.news[1:]] == [records.STATE] * 2


def test_nodes_that_come_and_go_are_summed_up_in_the_log(scene: Scene, log: list[str]) -> None:
    scene.introduce(0, 1, A)
    scene.introduce(0, 2, B)
    scene.end(0, 1)
    assert log == []
    scene.clock.advance(2)
    assert log == ["nodes: 2 connected, 1 gone, 1 of at most 2 now"]
    scene.clock.advance(60)
    assert len(log) == 1


def test_a_process_is_told_to_drain(scene: Scene) -> None:
    scene.servers[0].drain()
    assert scene.wires[0].messages() == [(records.DRAIN, None)]
    scene.servers[1].link_lost(cast(Any, None))
    scene.servers[1].drain()
    assert scene.wires[1].messages() == []


def permits(wire: Wire) -> int:
    """How many permits were sent over ``wire`` since the last call."""
    return sum(body["count"] for kind, body in wire.messages() if kind == records.PERMIT)


def test_a_process_that_runs_gets_permits_and_more_when_it_has_spent_them(scene: Scene) -> None:
    assert [permits(wire) for wire in scene.wires] == [0, 0]
    scene.start(0)
    scene.start(1)
    assert permits(scene.wires[0]) > 1
    assert permits(scene.wires[1]) == 1
    scene.accept(1, 1)
    scene.servers[1].records_done()
    assert permits(scene.wires[1]) == 0
    scene.accept(0, 1)
    scene.servers[0].records_done()
    assert permits(scene.wires[1]) == 1
    assert [server.connections for server in scene.servers] == [1, 1]


@pytest.mark.parametrize("state", [ChildState.LATE, ChildState.STOPPED])
def test_one_that_does_not_run_gets_none_and_its_connections_still_count(
    scene: Scene, state: ChildState
) -> None:
    scene.start(0)
    permits(scene.wires[0])
    scene.servers[0].condition.state = state
    scene.servers[0].state_changed()
    scene.accept(0, 1)
    scene.servers[0].records_done()
    assert permits(scene.wires[0]) == 0
    assert scene.servers[0].connections == 1
    scene.start(0)
    assert permits(scene.wires[0]) == 1


def test_one_that_gave_permits_back_gets_more_when_it_asks(scene: Scene) -> None:
    scene.start(0)
    given = permits(scene.wires[0])
    scene.receive(0, records.RETURNED, {"count": given, "more": False})
    scene.servers[0].records_done()
    assert permits(scene.wires[0]) == 0
    scene.receive(0, records.RETURNED, {"count": 0, "more": True})
    scene.servers[0].records_done()
    assert permits(scene.wires[0]) == given


def test_one_that_drains_gets_none(scene: Scene) -> None:
    scene.start(0)
    scene.servers[0].drain()
    scene.wires[0].messages()
    scene.accept(0, 1)
    scene.servers[0].records_done()
    assert scene.wires[0].messages() == []


def test_whether_a_connection_is_live_is_asked_of_its_process(scene: Scene) -> None:
    scene.introduce(0, 1, A)
    hello = {"connection": 7, "node_id": A, "address": "10.0.0.9:1", "info": {}}
    scene.receive(1, records.HELLO, hello)
    assert scene.wires[0].messages()[-1] == (records.CHALLENGE, {"connection": 1})
    scene.receive(0, records.ACTIVITY, {"connection": 1, "silent": 0.5})
    ((kind, told),) = scene.wires[1].messages()
    assert (kind, told["connection"], told["kind"]) == (records.DISMISS, 7, "id_taken")


def test_a_record_that_is_not_known_is_logged(scene: Scene, log: list[str]) -> None:
    scene.servers[0].record_received(records.SETTINGS, memoryview(b""))
    assert log == [f"ingestion process sent a record of kind {records.SETTINGS}"]
