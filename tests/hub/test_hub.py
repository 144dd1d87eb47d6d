"""The hub: what comes from the ingestion processes, and where it goes."""

from __future__ import annotations

import os
import socket
from typing import Any, cast
from unittest import mock

from attrs import define, field
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.admission import AdmissionRules
from telemetry_twisted.hub.child import ChildState, Condition
from telemetry_twisted.hub.figures import HubFigures
from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.permits import Permits
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.ingestion.settings import LISTEN_FD, Settings
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import Outcome, OutcomeCount
from telemetry_twisted.testing import MemoryLink
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


class Wire(MemoryLink):
    """The link to a process: notes what is sent."""

    def messages(self) -> list[tuple[int, Any]]:
        """Kind and content of what was sent since the last call."""
        sent, self.sent = self.sent, []
        return [(kind, decode_json(body) if body else None) for kind, body in sent]


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
        told = body if kind == records.OBSERVATIONS else decode_json(body)
        self.news.append(("record", (kind, told)))

    def chains_lost(self, number: int) -> None:
        self.news.append(("chains lost", number))


class Scene:
    """A hub and two of four ingestion processes, with links to nothing real."""

    def __init__(self, max_nodes: int = 2) -> None:
        self.clock = Clock()
        self.history = History()
        ring = Ring(1000, 1 << 20, lambda parts, _count: parts, 100)
        self.errors = InternalErrors(self.clock)
        now = self.clock.seconds
        self.hub = Hub(ring, AdmissionRules(max_nodes), self.clock, now, self.errors, self.history)
        self.permits = Permits(100 * max_nodes)
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
        self.servers[server].record_received(kind, body)

    def introduce(self, server: int, connection: int, node_id: str) -> None:
        self.accept(server, connection)
        hello = {"connection": connection, "node_id": node_id, "address": "x:1", "info": {}}
        self.receive(server, records.HELLO, hello)

    def end(self, server: int, connection: int, kind: str = "left", reason: str = "so") -> None:
        gone = {"connection": connection, "kind": kind, "reason": reason}
        self.receive(server, records.GONE, gone)

    def events(self, server: int, first_id: int, handle: int, count: int = 1) -> None:
        chunk = Chunk(
            first_id,
            count,
            encode_runs([(handle, count)]),
            b"\x0b" * count,
            b"\2\0\0\0" * count,
            b",".join([b"{}"] * count),
            1_000_000,
            1_000_000,
        )
        self.servers[server].chunk_received(chunk)
        self.servers[server].records_done()


class HubTestCase(SynchronousTestCase):
    """Has a scene, and what is logged meanwhile, in ``log``."""

    def setUp(self) -> None:
        self.scene = Scene()
        self.log: list[str] = []
        observer = cast(ILogObserver, self._observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _observe(self, event: LogEvent) -> None:
        self.log.append(formatEvent(event))


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


def permits(wire: Wire) -> int:
    """How many permits were sent over ``wire`` since the last call."""
    return sum(body["count"] for kind, body in wire.messages() if kind == records.PERMIT)


class HubTests(HubTestCase):
    """What comes from the ingestion processes, and where it goes."""

    def test_each_process_begins_with_an_id_of_its_own(self) -> None:
        scene = self.scene
        settings = [next_settings(scene.server(number)) for number in range(4)]
        self.assertEqual([each.first_id for each in settings], [1, 2, 3, 4])
        self.assertEqual({each.id_step for each in settings}, {4})

    def test_its_next_life_goes_on_above_the_ids_that_were_given(self) -> None:
        scene = self.scene
        scene.introduce(1, 1, A)
        scene.events(1, first_id=42, handle=0, count=3)
        scene.servers[1].process_ended("killed")
        self.assertEqual(next_settings(scene.servers[1]).first_id, 42 + 3 * 4)
        self.assertEqual(scene.hub.last_id, 42 + 2 * 4)

    def test_a_process_knows_whether_anybody_listens(self) -> None:
        server, wire = self.scene.servers[0], self.scene.wires[0]
        server.listened_to(True)
        self.assertEqual(wire.messages(), [])
        server.listened_to(False)
        self.assertEqual(wire.messages(), [(records.AUDIENCE, {"listening": False})])
        server.link_lost(Failure(RuntimeError()))
        server.process_ended("killed")
        server.link_made(cast(Link, wire))
        self.assertEqual(wire.messages(), [(records.AUDIENCE, {"listening": False})])
        server.listened_to(True)
        self.assertEqual(wire.messages(), [(records.AUDIENCE, {"listening": True})])

    def test_a_node_is_admitted_above_all_ids_so_far(self) -> None:
        scene = self.scene
        scene.introduce(0, 1, A)
        self.assertEqual(
            scene.wires[0].messages(),
            [(records.ADMIT, {"connection": 1, "handle": 0, "after_id": 0})],
        )
        scene.events(0, first_id=1, handle=0, count=5)
        scene.introduce(1, 1, B)
        self.assertEqual(
            scene.wires[1].messages(),
            [(records.ADMIT, {"connection": 1, "handle": 1, "after_id": 17})],
        )
        self.assertEqual(scene.history.news, [("connected", A), ("chunk", 1), ("connected", B)])

    def test_events_reach_the_ring_and_wake_those_who_wait(self) -> None:
        scene = self.scene
        woken = []

        class Reader:
            def wake(self) -> None:
                woken.append(True)

        scene.introduce(0, 1, A)
        channel = scene.hub.ring.open(Filter(node_ids=frozenset({A})))
        channel.wait(Reader())
        scene.events(0, first_id=1, handle=0)
        self.assertEqual(woken, [True])
        self.assertEqual(channel.total, 1)

    def test_a_slot_that_is_used_again_belongs_to_the_new_node(self) -> None:
        scene = self.scene
        of_a, of_b = (scene.hub.ring.open(Filter(node_ids=frozenset({each}))) for each in (A, B))
        scene.introduce(0, 1, A)
        scene.events(0, first_id=1, handle=0)
        scene.end(0, 1)
        scene.introduce(0, 2, B)
        scene.events(0, first_id=5, handle=0)
        self.assertEqual((of_a.total, of_b.total), (1, 1))

    def test_a_process_that_dies_takes_its_nodes_along(self) -> None:
        scene = self.scene
        scene.introduce(0, 1, A)
        scene.introduce(1, 1, B)
        for connection in (2, 3):
            scene.accept(0, connection)
        self.assertEqual(scene.servers[0].connections, 3)
        scene.receive(0, records.PULSE, {"events": 10, "rate_limited": 4})
        scene.servers[0].link_lost(cast(Any, None))
        scene.servers[0].process_ended("killed by SIGKILL")
        self.assertEqual([node.node_id for node in scene.hub.nodes], [B])
        self.assertEqual(scene.servers[0].connections, 0)
        self.assertEqual(scene.servers[0].pulse, {})
        self.assertEqual(scene.servers[0].counter("rate_limited"), 4)
        self.assertIn(("gone", (A, "lost", "its ingestion process ended")), scene.history.news)

    def test_counters_are_added_up_over_lives_and_processes(self) -> None:
        scene = self.scene
        figures = HubFigures(scene.hub, scene.servers, None, lambda: 7, lambda: 9)
        scene.introduce(0, 1, A)
        scene.receive(0, records.PULSE, {"events": 1, "rate_limited": 4})
        scene.servers[0].process_ended("killed")
        scene.receive(0, records.PULSE, {"events": 1, "rate_limited": 2})
        scene.receive(1, records.PULSE, {"events": 1, "rate_limited": 1})
        scene.introduce(1, 1, B)
        scene.events(1, first_id=2, handle=0, count=5)
        scene.hub.ring.open(Filter(node_ids=frozenset({A, B})))
        scene.hub.ring.open(ALL)
        self.assertEqual(
            figures.greeting(),
            {
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
            },
        )

    def test_endings_are_counted_and_the_unusual_logged(self) -> None:
        scene = self.scene
        for kind in ("left", "left", "replaced", "too_long", "no_information"):
            scene.accept(0, 5)
            scene.end(0, 5, kind, f"because of {kind}")
        self.assertEqual(
            scene.hub.endings,
            {
                "left": 2,
                "replaced": 1,
                "too_long": 1,
                "no_information": 1,
            },
        )
        self.assertEqual(
            self.log,
            [
                "a connection was closed: because of too_long",
                "a connection was closed: because of no_information",
            ],
        )

    def test_one_too_many_is_refused_and_logged(self) -> None:
        scene = self.scene
        for connection, node_id in enumerate([A, B, "cc" * 32]):
            scene.introduce(0, connection, node_id)
        kind, message = scene.wires[0].messages()[-1]
        self.assertEqual(kind, records.DISMISS)
        self.assertEqual(message["connection"], 2)
        self.assertEqual(message["kind"], "refused")
        scene.end(0, 2, message["kind"], message["reason"])
        self.assertEqual(scene.hub.endings, {"refused": 1})
        (line,) = self.log
        self.assertTrue(line.startswith(f"node {'cc' * 32} was refused: 2 nodes are connected"))

    def test_faults_are_counted_logged_and_handed_on(self) -> None:
        scene = self.scene
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
        self.assertEqual(scene.hub.faults, {"decode_error": 3, "violation": 2})
        self.assertEqual(
            self.log[0],
            f"node {A}: 3 x decode_error in events of type 11: cut short at offset 9, last in 0b00",
        )
        self.assertEqual(scene.history.news, [("record", (records.FAULTS, faults))])

    def test_what_nodes_say_of_their_state_is_kept_and_handed_on(self) -> None:
        scene = self.scene
        scene.introduce(0, 1, A)
        best, final = {"slot": 9, "hash": "0x09"}, {"slot": 7, "hash": "0x07"}
        scene.receive(0, records.STATE, {"0": {"best": best, "finalized": final, "synced": False}})
        scene.receive(0, records.STATE, {"0": {"synced": True}, "5": {"synced": True}})
        node = scene.hub.nodes.get(A)
        assert node is not None
        self.assertEqual((node.best, node.finalized, node.synced), (best, final, True))
        self.assertEqual([kind for _, (kind, _) in scene.history.news[1:]], [records.STATE] * 2)

    def test_nodes_that_come_and_go_are_summed_up_in_the_log(self) -> None:
        scene = self.scene
        scene.introduce(0, 1, A)
        scene.introduce(0, 2, B)
        scene.end(0, 1)
        self.assertEqual(self.log, [])
        scene.clock.advance(2)
        self.assertEqual(self.log, ["nodes: 2 connected, 1 gone, 1 of at most 2 now"])
        scene.clock.advance(60)
        self.assertEqual(len(self.log), 1)

    def test_a_process_is_told_to_drain(self) -> None:
        scene = self.scene
        scene.servers[0].drain()
        self.assertEqual(scene.wires[0].messages(), [(records.DRAIN, None)])
        scene.servers[1].link_lost(cast(Any, None))
        scene.servers[1].drain()
        self.assertEqual(scene.wires[1].messages(), [])

    def test_a_process_that_runs_gets_permits_and_more_when_it_has_spent_them(self) -> None:
        scene = self.scene
        self.assertEqual([permits(wire) for wire in scene.wires], [0, 0])
        scene.start(0)
        scene.start(1)
        self.assertGreater(permits(scene.wires[0]), 1)
        self.assertEqual(permits(scene.wires[1]), 1)
        scene.accept(1, 1)
        scene.servers[1].records_done()
        self.assertEqual(permits(scene.wires[1]), 0)
        scene.accept(0, 1)
        scene.servers[0].records_done()
        self.assertEqual(permits(scene.wires[1]), 1)
        self.assertEqual([server.connections for server in scene.servers], [1, 1])

    def test_one_that_does_not_run_gets_none_and_its_connections_still_count(self) -> None:
        for state in [ChildState.LATE, ChildState.STOPPED]:
            scene = Scene()
            scene.start(0)
            permits(scene.wires[0])
            scene.servers[0].condition.state = state
            scene.servers[0].state_changed()
            scene.accept(0, 1)
            scene.servers[0].records_done()
            self.assertEqual(permits(scene.wires[0]), 0)
            self.assertEqual(scene.servers[0].connections, 1)
            scene.start(0)
            self.assertEqual(permits(scene.wires[0]), 1)

    def test_one_that_gave_permits_back_gets_more_when_it_asks(self) -> None:
        scene = self.scene
        scene.start(0)
        given = permits(scene.wires[0])
        scene.receive(0, records.RETURNED, {"count": given, "more": False})
        scene.servers[0].records_done()
        self.assertEqual(permits(scene.wires[0]), 0)
        scene.receive(0, records.RETURNED, {"count": 0, "more": True})
        scene.servers[0].records_done()
        self.assertEqual(permits(scene.wires[0]), given)

    def test_one_that_drains_gets_none(self) -> None:
        scene = self.scene
        scene.start(0)
        scene.servers[0].drain()
        scene.wires[0].messages()
        scene.accept(0, 1)
        scene.servers[0].records_done()
        self.assertEqual(scene.wires[0].messages(), [])

    def test_whether_a_connection_is_live_is_asked_of_its_process(self) -> None:
        scene = self.scene
        scene.introduce(0, 1, A)
        hello = {"connection": 7, "node_id": A, "address": "10.0.0.9:1", "info": {}}
        scene.receive(1, records.HELLO, hello)
        self.assertEqual(scene.wires[0].messages()[-1], (records.CHALLENGE, {"connection": 1}))
        scene.receive(0, records.ACTIVITY, {"connection": 1, "silent": 0.5})
        ((kind, told),) = scene.wires[1].messages()
        self.assertEqual((kind, told["connection"], told["kind"]), (records.DISMISS, 7, "id_taken"))

    def test_a_record_that_is_not_known_is_logged(self) -> None:
        scene = self.scene
        scene.servers[0].record_received(records.SETTINGS, b"")
        self.assertEqual(self.log, [f"ingestion process sent a record of kind {records.SETTINGS}"])


class MistakesTests(HubTestCase):
    """Mistakes of the hub's own, which end nothing but what they were made with."""

    def setUp(self) -> None:
        super().setUp()
        self.scene = Scene(1024)
        self.addCleanup(self.flushLoggedErrors, KeyError)

    def fill(self) -> None:
        """Connect 1,024 nodes, every second to the other process."""
        for number in range(1024):
            self.scene.introduce(number % 2, number, f"{number:064x}")

    def test_what_a_mistake_was_made_with_is_over_all_the_same(self) -> None:
        self.fill()
        with mock.patch.object(History, "node_gone", side_effect=KeyError(7)):
            self.scene.end(0, 0)
        self.assertEqual(len(self.scene.hub.nodes), 1023)
        self.assertEqual(self.scene.errors.counts, {"history": 1})
        self.assertEqual(self.scene.hub.endings, {"left": 1})

    def test_a_node_that_history_cannot_take_is_admitted(self) -> None:
        with mock.patch.object(History, "node_connected", side_effect=KeyError(7)):
            self.scene.introduce(0, 1, A)
        ((kind, _),) = self.scene.wires[0].messages()
        self.assertEqual(kind, records.ADMIT)
        self.assertEqual(self.scene.errors.counts, {"history": 1})

    def test_events_that_history_cannot_take_reach_subscribers(self) -> None:
        channel = self.scene.hub.ring.open(ALL)
        with mock.patch.object(History, "chunk", side_effect=KeyError(7)):
            self.scene.events(0, first_id=1, handle=0)
        self.assertEqual(channel.total, 1)
        self.assertEqual(self.scene.errors.counts, {"history": 1})

    def test_a_process_that_ends_takes_all_its_nodes_along_whatever_goes_wrong(self) -> None:
        for victim in (Hub, Permits):
            self.scene = Scene(1024)
            self.fill()
            name = "node_gone" if victim is Hub else "leave"
            with (
                mock.patch.object(victim, name, side_effect=KeyError(7)),
                self.assertRaises(KeyError),
            ):
                self.scene.servers[0].process_ended("killed by SIGKILL")
            self.assertEqual(len(self.scene.hub.nodes), 512)
            self.assertEqual(
                {node.server for node in self.scene.hub.nodes}, {self.scene.servers[1]}
            )

    def test_connections_that_are_lost_with_a_process_are_counted_admitted_or_not(self) -> None:
        self.fill()
        for connection in range(2000, 2003):
            self.scene.accept(0, connection)
        self.scene.servers[0].process_ended("killed by SIGKILL")
        self.assertEqual(self.scene.hub.endings, {"lost": 515})
        self.scene.servers[0].process_ended("killed by SIGKILL")
        self.assertEqual(self.scene.hub.endings, {"lost": 515})

    def test_chains_are_lost_with_the_process_that_followed_them(self) -> None:
        server, history = self.scene.servers[0], self.scene.history
        types = bytes([43, 47, 43, 126, 11, 126])
        chunk = Chunk(1, 6, encode_runs([(1, 6)]), types, b"\2\0\0\0" * 6, b"", 1, 1)
        ended = (OutcomeCount(1, 43, Outcome.SUCCESS, 7, 1), OutcomeCount(2, 43, 2, 8, 256 + 2))
        server.chunk_received(chunk)
        self.scene.receive(0, records.COUNTS, {"received": 1, "counts": {}})
        server.record_received(
            records.OBSERVATIONS, Observations(1, 2, (), outcomes=ended).encode()
        )
        for _ in range(70):
            server.chunk_received(chunk)
        server.process_ended("killed by SIGKILL")
        self.assertIn(("chains lost", 4 * 71 - 259), history.news)
        history.news.clear()
        server.chunk_received(chunk)
        server.drain()
        server.process_ended("exited with 0")
        self.assertNotIn("chains lost", dict(history.news))

    def test_mistakes_of_processes_are_added_up_over_their_runs(self) -> None:
        for total in (2, 4):
            for count in (1, 1, 2):
                pulse = {"events": 0, "internal_errors": {"a node": count}}
                self.scene.receive(0, records.PULSE, pulse)
            self.scene.servers[0].process_ended("killed by SIGKILL")
            self.assertEqual(self.scene.errors.counts, {"a node": total})

    def test_processes_that_do_not_work_are_problems(self) -> None:
        store = Condition("store", "store process")
        figures = HubFigures(self.scene.hub, self.scene.servers, store, lambda: 0, lambda: 0)
        for condition in figures.children:
            condition.state, condition.since = ChildState.RUNNING, 0.0
        self.assertEqual(figures.problems(), [])
        self.scene.servers[1].condition.state = ChildState.LATE
        store.state, store.last_end = ChildState.STOPPED, "killed by SIGSEGV"
        since = "since 1970-01-01T00:00:00.000000Z"
        late, stopped = figures.problems()
        self.assertIn(f"ingestion process 1 is late {since}: nothing is heard of it; it is ", late)
        self.assertIn(f"is stopped {since}: the last one ended (killed by SIGSEGV); ", stopped)
