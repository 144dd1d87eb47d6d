"""The hub's side of the store process: what waits, what is told again, what is sampled."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub import archive as archive_module
from telemetry_twisted.hub.archive import Archive
from telemetry_twisted.hub.child import ChildState
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.testing import MemoryLink
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import hand_over


class Life(MemoryLink):
    """One life of the store process: the link that the archive writes to, without a socket."""

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        self._archive = archive
        archive.link_made(self)
        assert IPushProducer.providedBy(self.producer)

    def said(self) -> list[tuple[int, bytes]]:
        """What the archive has sent since the last call."""
        said, self.sent = self.sent, []
        return said

    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.said()]

    def status(self, room: int, state: str = "ok", taken: int = 0, **more: Any) -> None:
        status = {"raw_room": room, "state": state, "taken": taken, **more}
        record = records.encode_json(records.STORE_STATUS, status)
        hand_over(memoryview(record), self._archive)


def node(slot: int) -> Node:
    info: dict[str, Any] = {"params": {"core_count": 2}, "version": 0}
    return Node(f"{slot:064}", slot, None, slot, "127.0.0.1:1", 1.5, info)  # type: ignore[arg-type]


def chunk(count: int) -> records.Chunk:
    run_table = records.encode_runs([(0, count)])
    return records.Chunk(1, count, run_table, b"\x0b" * count, b"\1\0\0\0" * count, b"x")


class ArchiveTestCase(SynchronousTestCase):
    """An archive whose store process is a link without a socket."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.errors = InternalErrors(self.clock)
        self.archive = self.make_archive()

    def make_archive(self, raw_events: bool = True) -> Archive:
        return Archive(b'{"settings":1}', raw_events, self.clock, self.clock.seconds, self.errors)

    def lose_link(self) -> None:
        self.archive.link_lost(Failure(ConnectionError()))


class WaitingTests(ArchiveTestCase):
    """What waits for the store process."""

    def test_the_settings_come_first_and_then_what_waited(self) -> None:
        self.archive.record(records.COUNTS, b"1")
        self.archive.node_connected(node(7))
        said = Life(self.archive).said()
        self.assertEqual(said[0], (records.SETTINGS, b'{"settings":1}'))
        self.assertEqual(said[1], (records.COUNTS, b"1"))
        self.assertEqual(said[2][0], records.NODE_CONNECTED)
        self.assertEqual(records.decode_json(said[2][1])["connected"], 1_500_000)

    def test_nothing_but_raw_events_is_passed_over_while_the_link_is_full(self) -> None:
        life = Life(self.archive)
        life.status(room=1000)
        life.kinds()
        self.archive.pauseProducing()
        self.archive.chunk(chunk(100))
        self.archive.record(records.COUNTS, b"1")
        self.archive.record(records.FACTS, b"2")
        self.assertEqual(life.kinds(), [])
        self.archive.resumeProducing()
        self.assertEqual(life.kinds(), [records.COUNTS, records.FACTS])

    def test_what_waits_is_bounded_and_what_goes_beyond_is_counted(self) -> None:
        self.patch(archive_module, "WAITING_BYTES", 100)
        for _ in range(3):
            self.archive.record(records.COUNTS, b"x" * 40)
        self.assertEqual(self.archive.records_lost, 1)
        self.assertEqual(
            Life(self.archive).kinds(), [records.SETTINGS, records.COUNTS, records.COUNTS]
        )

    def test_nodes_come_and_go_where_there_is_no_room_for_anything_else(self) -> None:
        self.patch(archive_module, "WAITING_BYTES", 100)
        for _ in range(3):
            self.archive.record(records.COUNTS, b"x" * 40)
        self.archive.node_connected(node(7))
        self.assertEqual(self.archive.records_lost, 1)
        self.assertEqual(Life(self.archive).kinds()[-1], records.NODE_CONNECTED)

    def test_a_node_whose_coming_was_lost_may_leave(self) -> None:
        """The end of one node once took the links of all ingestion processes with it."""
        self.patch(archive_module, "WAITING_BYTES", 100)
        self.patch(archive_module, "COMINGS_AND_GOINGS_BYTES", 0)
        self.archive.record(records.COUNTS, b"x" * 90)
        for slot in range(1024):
            self.archive.node_connected(node(slot))
        self.assertEqual(self.archive.records_lost, 1024)
        life = Life(self.archive)
        for slot in range(1024):
            self.archive.node_gone(node(slot), "left", "it left")
        self.assertEqual(life.kinds()[2:], [records.NODE_GONE] * 1024)
        life.status(room=1, taken=1025)
        self.lose_link()
        self.assertEqual(Life(self.archive).kinds(), [records.SETTINGS])

    def test_draining_waits_for_what_waits(self) -> None:
        life = Life(self.archive)
        self.archive.pauseProducing()
        self.archive.record(records.COUNTS, b"1")
        self.archive.drain()
        self.assertEqual(life.kinds(), [records.SETTINGS])
        self.archive.resumeProducing()
        self.assertEqual(life.kinds(), [records.COUNTS, records.DRAIN])


class NextProcessTests(ArchiveTestCase):
    """What a store process is told that follows another."""

    def test_it_reads_what_waits_as_the_one_before_would_have(self) -> None:
        first = Life(self.archive)
        self.archive.node_connected(node(7))
        self.archive.node_connected(node(8))
        first.status(room=1, taken=2)
        self.lose_link()
        self.archive.record(records.COUNTS, b"of the old node at 7")
        self.archive.node_gone(node(7), "left", "it left")
        self.archive.node_connected(node(7))
        second = Life(self.archive)
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
            Life(self.archive).kinds(), [records.SETTINGS, *[records.NODE_CONNECTED] * 2]
        )

    def test_what_the_one_before_has_not_taken_is_sent_again(self) -> None:
        first = Life(self.archive)
        for number in range(10):
            self.archive.record(records.COUNTS, b"%d" % number)
        first.status(room=1, taken=4)
        self.archive.pauseProducing()
        self.archive.record(records.COUNTS, b"10")
        self.lose_link()
        second = Life(self.archive)
        self.assertEqual([body for _, body in second.said()[1:]], [b"%d" % n for n in range(4, 11)])
        second.status(room=1, taken=7)
        self.lose_link()
        self.assertEqual(Life(self.archive).kinds(), [records.SETTINGS])

    def test_nodes_that_it_was_told_again_count_as_taken_once(self) -> None:
        first = Life(self.archive)
        self.archive.node_connected(node(7))
        self.archive.node_connected(node(8))
        first.status(room=1, taken=2)
        for _ in range(3):  # none of these takes anything
            self.lose_link()
            life = Life(self.archive)
            self.assertEqual(life.kinds(), [records.SETTINGS, *[records.NODE_CONNECTED] * 2])
        self.archive.node_gone(node(7), "left", "it left")
        life.status(room=1, taken=2)
        self.lose_link()
        life = Life(self.archive)
        self.assertEqual(
            life.kinds(), [records.SETTINGS, *[records.NODE_CONNECTED] * 2, records.NODE_GONE]
        )
        life.status(room=1, taken=3)
        self.lose_link()
        self.assertEqual(Life(self.archive).kinds(), [records.SETTINGS, records.NODE_CONNECTED])

    def test_what_no_process_survives_is_not_given_to_another(self) -> None:
        life = Life(self.archive)
        self.archive.record(records.COUNTS, b"0")
        life.status(room=1, taken=1)
        self.archive.record(records.COUNTS, b"1")
        self.archive.record(records.COUNTS, b"2")
        self.lose_link()
        for _ in range(10):  # these never begin
            self.assertEqual(Life(self.archive).kinds()[1:], [records.COUNTS] * 2)
            self.lose_link()
        for _ in range(archive_module.MOST_IN_VAIN):
            self.assertEqual(self.archive.records_lost, 0)
            life = Life(self.archive)
            self.assertEqual(life.kinds()[1:], [records.COUNTS] * 2)
            life.status(room=1, state="starting")
            self.lose_link()
        self.assertEqual(self.archive.records_lost, 2)
        self.assertEqual(Life(self.archive).kinds(), [records.SETTINGS])


class RawEventsTests(ArchiveTestCase):
    """Raw events, of which there may be too many."""

    def test_they_go_as_far_as_there_is_room_and_the_share_is_told(self) -> None:
        self.archive.process_started()
        life = Life(self.archive)
        self.archive.chunk(chunk(100))
        life.status(room=250)
        for _ in range(3):
            self.archive.chunk(chunk(100))
        self.assertEqual(life.kinds(), [records.SETTINGS, records.CHUNK, records.CHUNK])
        self.clock.advance(1)
        ((kind, body),) = life.said()
        self.assertEqual(kind, records.SAMPLED)
        self.assertEqual(records.decode_json(body), {"received": 1.0, "seen": 400, "kept": 200})

    def test_none_are_sent_where_they_are_not_wanted(self) -> None:
        self.archive = self.make_archive(raw_events=False)
        self.archive.process_started()
        life = Life(self.archive)
        life.status(room=250)
        self.archive.chunk(chunk(100))
        self.clock.advance(1)
        self.assertEqual(life.kinds(), [records.SETTINGS])


class StatusTests(ArchiveTestCase):
    """How the store fares, as the hub knows it."""

    def test_trouble_is_timed_from_when_it_began(self) -> None:
        life = Life(self.archive)
        self.clock.advance(5)
        self.assertEqual(self.archive.trouble(), 5)
        life.status(room=1)
        self.assertEqual(self.archive.trouble(), 0)
        life.status(room=1, state="unavailable")
        self.clock.advance(7)
        life.status(room=1, state="unavailable")
        self.assertEqual(self.archive.trouble(), 7)
        self.archive.process_ended("killed by SIGKILL")
        self.assertEqual(self.archive.status["state"], "restarting")
        self.assertIn("SIGKILL", self.archive.status["last_error"])

    def test_one_that_is_late_is_in_trouble(self) -> None:
        life = Life(self.archive)
        life.status(room=1, database="x")
        self.archive.condition.state = ChildState.LATE
        self.archive.state_changed()
        self.assertEqual(self.archive.status["state"], "late")
        self.assertEqual(self.archive.status["database"], "x")
        self.clock.advance(4)
        self.assertEqual(self.archive.trouble(), 4)
        life.status(room=1)
        self.assertEqual((self.archive.status["state"], self.archive.trouble()), ("ok", 0))

    def test_its_own_mistakes_are_added_up_over_its_runs(self) -> None:
        for total in (2, 4):
            life = Life(self.archive)
            for count in (1, 1, 2):
                life.status(room=1, internal_errors={"a record": count})
            self.archive.process_ended("killed by SIGKILL")
            self.assertEqual(self.errors.counts, {"a record": total})
        self.assertNotIn("internal_errors", self.archive.status)
