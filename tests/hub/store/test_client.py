"""The hub's side of the store process: what waits, what is told again, what is sampled."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.child import ChildState
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.store import client as client_module
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.testing import MemoryLink
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import hand_over


class Life(MemoryLink):
    """One life of the store process: the link that the client writes to, without a socket."""

    def __init__(self, client: StoreClient) -> None:
        super().__init__()
        self._client = client
        client.link_made(self)
        assert IPushProducer.providedBy(self.producer)

    def said(self) -> list[tuple[int, bytes]]:
        """What the client has sent since the last call."""
        said, self.sent = self.sent, []
        return said

    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.said()]

    def status(self, room: int, state: str = "ok", taken: int = 0, **more: Any) -> None:
        status = {"raw_room": room, "state": state, "taken": taken, **more}
        record = records.encode_json(records.STORE_STATUS, status)
        hand_over(memoryview(record), self._client)


def node(handle: int) -> Node:
    info: dict[str, Any] = {"params": {"core_count": 2}, "version": 0}
    return Node(f"{handle:064}", handle, None, handle, "127.0.0.1:1", 1.5, info)  # type: ignore[arg-type]


def chunk(count: int) -> records.Chunk:
    run_table = records.encode_runs([(0, count)])
    return records.Chunk(1, count, run_table, b"\x0b" * count, b"\1\0\0\0" * count, b"x")


class ClientTestCase(SynchronousTestCase):
    """An client whose store process is a link without a socket."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.errors = InternalErrors(self.clock)
        self.client = self.make_client()

    def make_client(self, raw_events: bool = True) -> StoreClient:
        return StoreClient(
            b'{"settings":1}', raw_events, self.clock, self.clock.seconds, self.errors
        )

    def lose_link(self) -> None:
        self.client.link_lost(Failure(ConnectionError()))


class WaitingTests(ClientTestCase):
    """What waits for the store process."""

    def test_the_settings_come_first_and_then_what_waited(self) -> None:
        self.client.record(records.COUNTS, b"1")
        self.client.node_connected(node(7))
        said = Life(self.client).said()
        self.assertEqual(said[0], (records.SETTINGS, b'{"settings":1}'))
        self.assertEqual(said[1], (records.COUNTS, b"1"))
        self.assertEqual(said[2][0], records.NODE_CONNECTED)
        self.assertEqual(records.decode_json(said[2][1])["connected"], 1_500_000)

    def test_nothing_but_raw_events_is_passed_over_while_the_link_is_full(self) -> None:
        life = Life(self.client)
        life.status(room=1000)
        life.kinds()
        self.client.pauseProducing()
        self.client.chunk(chunk(100))
        self.client.record(records.COUNTS, b"1")
        self.client.record(records.FACTS, b"2")
        self.assertEqual(life.kinds(), [])
        self.client.resumeProducing()
        self.assertEqual(life.kinds(), [records.COUNTS, records.FACTS])

    def test_what_waits_is_bounded_and_what_goes_beyond_is_counted(self) -> None:
        self.patch(client_module, "WAITING_BYTES", 100)
        for _ in range(3):
            self.client.record(records.COUNTS, b"x" * 40)
        self.assertEqual(self.client.records_lost, 1)
        self.assertEqual(
            Life(self.client).kinds(), [records.SETTINGS, records.COUNTS, records.COUNTS]
        )

    def test_nodes_come_and_go_where_there_is_no_room_for_anything_else(self) -> None:
        self.patch(client_module, "WAITING_BYTES", 100)
        for _ in range(3):
            self.client.record(records.COUNTS, b"x" * 40)
        self.client.node_connected(node(7))
        self.assertEqual(self.client.records_lost, 1)
        self.assertEqual(Life(self.client).kinds()[-1], records.NODE_CONNECTED)

    def test_a_node_whose_coming_was_lost_may_leave(self) -> None:
        """The end of one node once took the links of all ingestion processes with it."""
        self.patch(client_module, "WAITING_BYTES", 100)
        self.patch(client_module, "COMINGS_AND_GOINGS_BYTES", 0)
        self.client.record(records.COUNTS, b"x" * 90)
        for handle in range(1024):
            self.client.node_connected(node(handle))
        self.assertEqual(self.client.records_lost, 1024)
        life = Life(self.client)
        for handle in range(1024):
            self.client.node_gone(node(handle), "left", "it left")
        self.assertEqual(life.kinds()[2:], [records.NODE_GONE] * 1024)
        life.status(room=1, taken=1025)
        self.lose_link()
        self.assertEqual(Life(self.client).kinds(), [records.SETTINGS])

    def test_draining_waits_for_what_waits(self) -> None:
        life = Life(self.client)
        self.client.pauseProducing()
        self.client.record(records.COUNTS, b"1")
        self.client.drain()
        self.assertEqual(life.kinds(), [records.SETTINGS])
        self.client.resumeProducing()
        self.assertEqual(life.kinds(), [records.COUNTS, records.DRAIN])


class NextProcessTests(ClientTestCase):
    """What a store process is told that follows another."""

    def test_it_reads_what_waits_as_the_one_before_would_have(self) -> None:
        first = Life(self.client)
        self.client.node_connected(node(7))
        self.client.node_connected(node(8))
        first.status(room=1, taken=2)
        self.lose_link()
        self.client.record(records.COUNTS, b"of the old node at 7")
        self.client.node_gone(node(7), "left", "it left")
        self.client.node_connected(node(7))
        second = Life(self.client)
        self.assertEqual(
            second.kinds(),
            [
                records.SETTINGS,
                records.NODE_CONNECTED,
                records.NODE_CONNECTED,
                records.COUNTS,
                records.NODE_GONE,
                records.NODE_CONNECTED,
            ],
        )
        second.status(room=1, taken=5)
        self.lose_link()
        self.assertEqual(
            Life(self.client).kinds(), [records.SETTINGS, *[records.NODE_CONNECTED] * 2]
        )

    def test_what_the_one_before_has_not_taken_is_sent_again(self) -> None:
        first = Life(self.client)
        for number in range(10):
            self.client.record(records.COUNTS, b"%d" % number)
        first.status(room=1, taken=4)
        self.client.pauseProducing()
        self.client.record(records.COUNTS, b"10")
        self.lose_link()
        second = Life(self.client)
        self.assertEqual([body for _, body in second.said()[1:]], [b"%d" % n for n in range(4, 11)])
        second.status(room=1, taken=7)
        self.lose_link()
        self.assertEqual(Life(self.client).kinds(), [records.SETTINGS])

    def test_nodes_that_it_was_told_again_count_as_taken_once(self) -> None:
        first = Life(self.client)
        self.client.node_connected(node(7))
        self.client.node_connected(node(8))
        first.status(room=1, taken=2)
        for _ in range(3):  # none of these takes anything
            self.lose_link()
            life = Life(self.client)
            self.assertEqual(life.kinds(), [records.SETTINGS, *[records.NODE_CONNECTED] * 2])
        self.client.node_gone(node(7), "left", "it left")
        life.status(room=1, taken=2)
        self.lose_link()
        life = Life(self.client)
        self.assertEqual(
            life.kinds(), [records.SETTINGS, *[records.NODE_CONNECTED] * 2, records.NODE_GONE]
        )
        life.status(room=1, taken=3)
        self.lose_link()
        self.assertEqual(Life(self.client).kinds(), [records.SETTINGS, records.NODE_CONNECTED])

    def test_what_no_process_survives_is_not_given_to_another(self) -> None:
        life = Life(self.client)
        self.client.record(records.COUNTS, b"0")
        life.status(room=1, taken=1)
        self.client.record(records.COUNTS, b"1")
        self.client.record(records.COUNTS, b"2")
        self.lose_link()
        for _ in range(10):  # these never begin
            self.assertEqual(Life(self.client).kinds()[1:], [records.COUNTS] * 2)
            self.lose_link()
        for _ in range(client_module.MOST_IN_VAIN):
            self.assertEqual(self.client.records_lost, 0)
            life = Life(self.client)
            self.assertEqual(life.kinds()[1:], [records.COUNTS] * 2)
            life.status(room=1, state="starting")
            self.lose_link()
        self.assertEqual(self.client.records_lost, 2)
        self.assertEqual(Life(self.client).kinds(), [records.SETTINGS])


class RawEventsTests(ClientTestCase):
    """Raw events, of which there may be too many."""

    def test_they_go_as_far_as_there_is_room_and_the_share_is_told(self) -> None:
        self.client.process_started()
        life = Life(self.client)
        self.client.chunk(chunk(100))
        life.status(room=250)
        for _ in range(3):
            self.client.chunk(chunk(100))
        self.assertEqual(life.kinds(), [records.SETTINGS, records.CHUNK, records.CHUNK])
        self.clock.advance(1)
        ((kind, body),) = life.said()
        self.assertEqual(kind, records.SAMPLED)
        self.assertEqual(records.decode_json(body), {"received": 1.0, "seen": 400, "kept": 200})

    def test_none_are_sent_where_they_are_not_wanted(self) -> None:
        self.client = self.make_client(raw_events=False)
        self.client.process_started()
        life = Life(self.client)
        life.status(room=250)
        self.client.chunk(chunk(100))
        self.clock.advance(1)
        self.assertEqual(life.kinds(), [records.SETTINGS])


class StatusTests(ClientTestCase):
    """How the store fares, as the hub knows it."""

    def test_trouble_is_timed_from_when_it_began(self) -> None:
        life = Life(self.client)
        self.clock.advance(5)
        self.assertEqual(self.client.trouble(), 5)
        life.status(room=1)
        self.assertEqual(self.client.trouble(), 0)
        life.status(room=1, state="unavailable")
        self.clock.advance(7)
        life.status(room=1, state="unavailable")
        self.assertEqual(self.client.trouble(), 7)
        self.client.process_ended("killed by SIGKILL")
        self.assertEqual(self.client.status["state"], "restarting")
        self.assertIn("SIGKILL", self.client.status["last_error"])

    def test_one_that_is_late_is_in_trouble(self) -> None:
        life = Life(self.client)
        life.status(room=1, database="x")
        self.client.condition.state = ChildState.LATE
        self.client.state_changed()
        self.assertEqual(self.client.status["state"], "late")
        self.assertEqual(self.client.status["database"], "x")
        self.clock.advance(4)
        self.assertEqual(self.client.trouble(), 4)
        life.status(room=1)
        self.assertEqual((self.client.status["state"], self.client.trouble()), ("ok", 0))

    def test_its_own_mistakes_are_added_up_over_its_runs(self) -> None:
        for total in (2, 4):
            life = Life(self.client)
            for count in (1, 1, 2):
                life.status(room=1, internal_errors={"a record": count})
            self.client.process_ended("killed by SIGKILL")
            self.assertEqual(self.errors.counts, {"a record": total})
        self.assertNotIn("internal_errors", self.client.status)
