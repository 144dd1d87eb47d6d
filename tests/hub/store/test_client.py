"""The hub's side of the store process: what waits, what is told again, what is sampled."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.child import ChildState
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.store.pending import Pending
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

    def resume(self) -> dict[str, Any]:
        """What was sent is SETTINGS and this RESUME, and perhaps more, which is yet to be said."""
        (settings, _), (resume, body), *self.sent = self.sent
        assert (settings, resume) == (records.SETTINGS, records.RESUME)
        told: dict[str, Any] = records.decode_json(body)
        return told

    def status(self, state: str = "ok", **more: Any) -> None:
        """The process tells of itself; the database has told if it says ``position``."""
        raw = {"raw_room": 0, "raw_written": None, "raw_dropped": None}
        record = records.encode_json(records.STORE_STATUS, {**raw, "state": state, **more})
        hand_over(memoryview(record), self._client)


BEGIN = [records.SETTINGS, records.RESUME]


def node(handle: int) -> Node:
    info: dict[str, Any] = {"params": {"core_count": 2}, "version": 0}
    return Node(f"{handle:064}", handle, None, handle, "127.0.0.1:1", 1.5, info)  # type: ignore[arg-type]


def chunk(count: int, handle: int = 0) -> records.Chunk:
    run_table = records.encode_runs([(handle, count)])
    events = b",".join([b"x"] * count)
    return records.Chunk(1, count, run_table, b"\x0b" * count, b"\1\0\0\0" * count, events)


def counts(events: int, size: int = 0) -> bytes:
    return records.json_body({"received": 1, "counts": {"0": {"11": events}}, "x": "x" * size})


class ClientTestCase(SynchronousTestCase):
    """A client whose store process is a link without a socket."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.errors = InternalErrors(self.clock)
        self.client = self.make_client()

    def make_client(self, raw_events: bool = True) -> StoreClient:
        return StoreClient(
            b'{"settings":1}', raw_events, self.clock, self.clock.seconds, self.errors
        )

    def bound(self, most_bytes: int) -> None:
        """Have the client keep no more than that."""
        client = self.client
        client.pending = Pending(
            self.clock.seconds, client.losses.add, client.raw.put_back, most_bytes
        )

    def end(self, reason: str = "killed by SIGKILL") -> None:
        self.client.link_lost(Failure(ConnectionError()))
        self.client.process_ended(reason)

    def lost(self) -> dict[str, int]:
        """What is told as lost, without what is nought."""
        return {what: count for what, count in self.client.status["lost"].items() if count}


class OrderTests(ClientTestCase):
    """What a store process is sent, and when."""

    def test_the_settings_come_first_then_where_it_is_and_then_what_waited(self) -> None:
        self.client.record(records.COUNTS, counts(1))
        self.client.node_connected(node(7))
        life = Life(self.client)
        (settings, body) = life.sent[0]
        self.assertEqual(settings, records.SETTINGS)
        self.assertEqual(records.decode_json(body), {"settings": 1, "server": self.client.server})
        self.assertEqual(life.resume(), {"first": 1, "nodes": [], "gap": None})
        (first, second) = life.said()
        self.assertEqual(first, (records.COUNTS, counts(1)))
        self.assertEqual(second[0], records.NODE_CONNECTED)
        self.assertEqual(records.decode_json(second[1])["connected"], 1_500_000)

    def test_all_but_raw_events_waits_while_the_link_is_full(self) -> None:
        life = Life(self.client)
        life.kinds()
        self.client.pauseProducing()
        self.client.record(records.COUNTS, counts(1))
        self.client.record(records.STATE, b"{}")
        self.assertEqual(life.kinds(), [])
        self.client.resumeProducing()
        self.assertEqual(life.kinds(), [records.COUNTS, records.STATE])

    def test_draining_waits_for_what_waits(self) -> None:
        life = Life(self.client)
        self.client.pauseProducing()
        self.client.record(records.COUNTS, counts(1))
        self.client.drain()
        self.assertEqual(life.kinds(), BEGIN)
        self.client.resumeProducing()
        self.assertEqual(life.kinds(), [records.COUNTS, records.DRAIN])

    def test_draining_waits_for_where_the_process_before_came_to(self) -> None:
        life = Life(self.client)
        self.client.record(records.COUNTS, counts(1))
        life.status(taken=1, attempting=1, position=0)
        self.end()
        self.client.record(records.COUNTS, counts(2))
        life = Life(self.client)
        self.client.drain()
        self.assertEqual(life.kinds(), [records.SETTINGS])
        life.status(position=1)
        self.assertEqual(life.kinds(), [records.RESUME, records.COUNTS, records.DRAIN])
        life.status(taken=2, position=2)
        self.end("exit code 0")
        self.assertEqual(self.lost(), {})

    def test_what_was_not_committed_in_time_is_told_at_the_end(self) -> None:
        life = Life(self.client)
        for number in range(1, 4):
            self.client.record(records.COUNTS, counts(number))
        self.client.drain()
        life.status(taken=3, position=1)
        self.end()
        self.assertEqual(self.lost(), {"records": 2, "events": 5})

    def test_what_no_process_is_there_for_is_told_at_the_end(self) -> None:
        Life(self.client)
        self.client.record(records.COUNTS, counts(3))
        self.end()
        self.client.record(records.COUNTS, counts(4))
        self.client.drain()
        self.assertEqual(self.lost(), {"records": 2, "events": 7})

    def test_raw_events_that_wait_go_at_the_end_and_what_became_of_them_is_told(self) -> None:
        self.client.process_started()
        life = Life(self.client)
        life.status(raw_room=10)
        self.client.chunk(chunk(25))
        self.client.drain()
        (given, sampled, drain) = life.said()[2:]
        self.assertEqual(records.Chunk.decode(given[1]).count, 10)
        told = records.decode_json(sampled[1])
        self.assertEqual((told["seen"], told["kept"]), (25, 10))
        self.assertEqual(drain[0], records.DRAIN)


class NextProcessTests(ClientTestCase):
    """What a store process is told that follows another."""

    def test_what_is_committed_is_not_sent_again_and_all_else_is(self) -> None:
        life = Life(self.client)
        for number in range(1, 11):
            self.client.record(records.COUNTS, counts(number))
        life.status(taken=9, position=4)
        self.end()
        self.client.record(records.COUNTS, counts(11))
        life = Life(self.client)
        self.assertEqual(life.resume()["first"], 5)
        self.assertEqual([body for _, body in life.said()], [counts(n) for n in range(5, 12)])
        self.assertEqual(self.lost(), {})

    def test_a_commit_whose_outcome_is_not_known_is_waited_for(self) -> None:
        for position in (0, 3):
            self.client = self.make_client()
            life = Life(self.client)
            for number in range(1, 4):
                self.client.record(records.COUNTS, counts(number))
            life.status(taken=3, attempting=3, position=0)
            self.end()
            for _ in range(2):  # one of them ends as well before it can tell
                life = Life(self.client)
                life.status(state="starting", taken=None, attempting=None, position=None)
                self.assertEqual(life.kinds(), [records.SETTINGS])
                self.end()
            life = Life(self.client)
            life.status(taken=None, attempting=None, position=position)
            self.assertEqual(life.resume()["first"], position + 1)
            self.assertEqual(life.kinds(), [records.COUNTS] * (3 - position))
            self.assertEqual(self.lost(), {})

    def test_it_is_told_who_is_connected_where_it_goes_on(self) -> None:
        life = Life(self.client)
        self.client.node_connected(node(7))
        self.client.node_connected(node(8))
        life.status(taken=2, position=2)
        self.client.record(records.COUNTS, counts(1))
        self.client.node_gone(node(7), "left", "it left")
        self.client.node_connected(node(9))
        self.end()
        life = Life(self.client)
        told = life.resume()
        self.assertEqual(told["first"], 3)
        self.assertEqual([each["handle"] for each in told["nodes"]], [7, 8])
        self.assertEqual(life.kinds(), [records.COUNTS, records.NODE_GONE, records.NODE_CONNECTED])
        life.status(taken=5, position=5)
        self.end()
        told = Life(self.client).resume()
        self.assertEqual([each["handle"] for each in told["nodes"]], [8, 9])

    def test_what_no_process_survives_is_not_given_to_another(self) -> None:
        life = Life(self.client)
        self.client.record(records.COUNTS, counts(1))
        life.status(taken=1, position=1)
        self.client.record(records.COUNTS, counts(2))
        self.client.record(records.COUNTS, counts(3))
        self.end("killed by SIGSEGV")
        for reason in ["killed by SIGSEGV"] * 10:  # these never begin
            self.assertEqual(Life(self.client).kinds(), [*BEGIN, *[records.COUNTS] * 2])
            self.end(reason)
        for reason in ["killed by SIGSEGV", "killed by SIGKILL: nothing was heard of it", "x"]:
            self.assertEqual(self.lost(), {})
            life = Life(self.client)
            self.assertEqual(life.kinds(), [*BEGIN, *[records.COUNTS] * 2])
            life.status(state="starting", taken=1)
            self.end(reason)
        self.assertEqual(self.lost(), {"records": 2, "events": 5})
        self.client.record(records.COUNTS, counts(4))
        life = Life(self.client)
        told = life.resume()
        self.assertEqual(told["first"], 4)
        self.assertEqual(told["gap"]["lost"]["events"], 5)
        self.assertEqual(life.kinds(), [records.COUNTS])

    def test_a_process_that_somebody_kills_is_no_sign_that_none_survives(self) -> None:
        self.client.record(records.COUNTS, counts(1))
        for _ in range(10):
            life = Life(self.client)
            self.assertEqual(life.kinds(), [*BEGIN, records.COUNTS])
            life.status(state="starting", taken=0)
            self.end("killed by SIGKILL")
        self.assertEqual(self.lost(), {})


class OverflowTests(ClientTestCase):
    """What happens when there is more to keep than there is room for."""

    def test_what_nobody_takes_is_a_gap_that_the_next_process_is_told_of(self) -> None:
        self.bound(4000)
        for _ in range(10):
            self.client.record(records.COUNTS, counts(7, size=1000))
        self.assertEqual(self.lost(), {"records": 7, "events": 49})
        self.clock.advance(5)
        life = Life(self.client)
        self.assertIsNone(life.resume()["gap"])
        self.assertEqual(life.kinds(), [records.COUNTS] * 3)
        life.status(taken=3, position=2)
        ((kind, body),) = life.said()
        self.assertEqual(kind, records.RESUME)
        told = records.decode_json(body)
        self.assertEqual(told["first"], 5)
        gap = told["gap"]
        self.assertEqual((gap["began"], gap["ended"]), (0, 5_000_000))
        self.assertEqual((gap["lost"]["records"], gap["lost"]["events"]), (7, 49))
        self.client.record(records.COUNTS, counts(1))
        self.assertEqual(life.kinds(), [records.COUNTS])
        self.assertEqual(self.lost(), {"records": 7, "events": 49})

    def test_a_node_whose_coming_was_lost_may_leave(self) -> None:
        """The end of one node once took the links of all ingestion processes with it."""
        self.bound(500)
        self.client.record(records.COUNTS, counts(1, size=200))
        for handle in range(1024):
            self.client.node_connected(node(handle))
        for handle in range(1000):
            self.client.node_gone(node(handle), "left", "it left")
        self.assertEqual(self.lost(), {"records": 2024, "connections": 1000})
        life = Life(self.client)
        life.status(taken=1, position=1)
        told = [records.decode_json(body) for kind, body in life.said() if kind == records.RESUME]
        self.assertEqual([len(each["nodes"]) for each in told], [0, 24])
        self.assertEqual(told[1]["gap"]["lost"]["connections"], 1000)

    def test_what_a_process_has_taken_is_lost_only_with_that_process(self) -> None:
        self.bound(4000)
        life = Life(self.client)
        for number in range(1, 21):
            self.client.record(records.COUNTS, counts(1, size=1000))
            life.status(state="unavailable", taken=number, position=0)
        self.assertEqual(self.lost(), {})
        self.assertEqual(self.client.status["pending"]["records"], 3)
        self.assertEqual(self.client.status["at_risk"]["events"], 17)
        self.end()
        self.assertEqual(self.client.status["at_risk"]["events"], 0)
        self.assertEqual(self.lost(), {"records": 17, "events": 17})
        told = Life(self.client).resume()
        self.assertEqual((told["first"], told["gap"]["lost"]["events"]), (18, 17))

    def test_of_what_a_process_has_taken_that_it_tried_to_commit_may_be_there(self) -> None:
        self.bound(4000)
        life = Life(self.client)
        for number in range(1, 11):
            self.client.record(records.COUNTS, counts(1, size=1000))
            life.status(taken=number, attempting=min(number, 5), position=0)
        self.end()
        self.assertEqual(self.client.status["at_risk"]["events"], 7)
        life = Life(self.client)
        life.status(position=5)
        self.assertEqual(self.lost(), {"records": 2, "events": 2})
        self.assertEqual(life.resume()["first"], 8)

    def test_facts_leave_room_for_what_is_counted(self) -> None:
        self.bound(4000)
        facts = records.Facts(1, ((0, (b"\x0a\0\0\0" + b"x" * 10) * 50),))
        body = facts.encode()[records.PREFIX.size :]
        for _ in range(10):
            self.client.record(records.FACTS, body)
        self.client.record(records.COUNTS, counts(1))
        self.assertEqual(self.lost(), {"records": 8, "facts": 400})
        life = Life(self.client)
        self.assertEqual(life.kinds(), [*BEGIN, records.FACTS, records.FACTS, records.COUNTS])
        life.status(taken=3, position=3)
        self.assertEqual(life.kinds(), [records.RESUME])
        self.client.record(records.FACTS, body)
        self.assertEqual(life.kinds(), [records.FACTS])


class RawEventsTests(ClientTestCase):
    """Raw events, of which there may be too many."""

    def sampled(self, life: Life) -> dict[str, float]:
        self.clock.advance(1)
        ((kind, body),) = life.said()
        self.assertEqual(kind, records.SAMPLED)
        told: dict[str, float] = records.decode_json(body)
        del told["received"]
        return told

    def opened(self, room: int, written: int = 0, dropped: int = 0) -> Life:
        life = Life(self.client)
        life.status(position=0, raw_room=room, raw_written=written, raw_dropped=dropped)
        return life

    def test_those_of_the_seconds_in_which_the_store_starts_wait(self) -> None:
        for _ in range(50):
            self.client.chunk(chunk(100))
        self.client.process_started()
        life = Life(self.client)
        self.assertEqual(life.kinds(), BEGIN)
        self.assertEqual(self.client.status["raw_events_waiting"], 5000)
        life.status(state="starting", raw_room=10_000, raw_taken=0)
        self.assertEqual(life.kinds(), [records.CHUNK] * 50)
        self.client.chunk(chunk(100))
        self.assertEqual(life.kinds(), [records.CHUNK])
        self.assertEqual(self.sampled(life), {"seen": 5100, "kept": 5100, "lost": 0})

    def test_those_that_there_is_no_room_for_are_withheld_and_told(self) -> None:
        self.client.process_started()
        life = self.opened(room=250)
        life.kinds()
        for _ in range(5):
            self.client.chunk(chunk(100))
        self.assertEqual(life.kinds(), [records.CHUNK] * 2)
        life.status(raw_room=130, raw_taken=200, raw_written=70, raw_dropped=0)
        given = [records.Chunk.decode(body).count for _, body in life.said()]
        self.assertEqual(given, [30, 100])
        self.assertEqual(self.sampled(life), {"seen": 500, "kept": 330, "lost": 0})
        self.assertEqual(self.client.status["raw_events_withheld"], 170)

    def test_what_is_on_its_way_takes_of_the_room(self) -> None:
        life = self.opened(room=300)
        self.client.chunk(chunk(100))
        self.client.chunk(chunk(100))
        life.kinds()
        life.status(raw_room=200, raw_taken=100, raw_written=0, raw_dropped=0)
        self.client.chunk(chunk(100))
        self.client.chunk(chunk(100))
        self.assertEqual(life.kinds(), [records.CHUNK])

    def test_those_that_went_with_a_process_are_known_to_the_event(self) -> None:
        self.client.process_started()
        life = self.opened(room=1000)
        for _ in range(5):
            self.client.chunk(chunk(100))
        life.status(raw_room=1000, raw_taken=300, raw_written=100, raw_dropped=50)
        self.end()
        self.client.chunk(chunk(100))
        life = self.opened(room=1000, written=200, dropped=50)  # it had written more
        self.assertEqual(life.kinds()[-1], records.CHUNK)
        self.assertEqual(self.client.status["raw_events_lost"], 250)
        self.assertEqual(self.sampled(life), {"seen": 600, "kept": 600, "lost": 250})

    def test_one_node_that_floods_takes_nothing_from_another(self) -> None:
        life = self.opened(room=0)
        life.kinds()
        for _ in range(100):
            self.client.chunk(chunk(100, handle=1))
            self.client.chunk(chunk(3, handle=2))
        life.status(raw_room=1000, raw_taken=0, raw_written=0, raw_dropped=0)
        kept: Counter[int] = Counter()
        for _, body in life.said():
            for handle, count in records.Chunk.decode(body).runs:
                kept[handle] += count
        self.assertEqual(kept, {1: 700, 2: 300})

    def test_they_go_before_their_handles_do_to_others(self) -> None:
        for number in range(100):
            one = node(1)
            one.node_id = f"node {number}"
            self.client.node_connected(one)
            self.client.chunk(chunk(3, handle=1))
            self.client.node_gone(one, "left", "it left")
        life = Life(self.client)
        self.assertEqual(life.kinds(), BEGIN)
        life.status(state="starting", raw_room=1000)
        each = [records.NODE_CONNECTED, records.CHUNK, records.NODE_GONE]
        self.assertEqual(life.kinds(), each * 100)
        self.assertEqual(self.client.status["raw_events_withheld"], 0)

    def test_those_of_a_node_whose_handle_has_gone_to_another_are_withheld(self) -> None:
        self.client.node_connected(node(1))
        self.client.chunk(chunk(3, handle=1))
        self.client.node_gone(node(1), "left", "it left")
        other = node(1)
        other.node_id = "another"
        self.client.node_connected(other)
        self.client.chunk(chunk(5, handle=1))
        life = Life(self.client)
        life.status(raw_room=0, raw_taken=0, raw_written=0, raw_dropped=0)
        life.status(raw_room=100, raw_taken=0, raw_written=0, raw_dropped=0)
        given = [body for kind, body in life.said() if kind == records.CHUNK]
        self.assertEqual([records.Chunk.decode(body).count for body in given], [5])
        self.assertEqual(self.client.status["raw_events_withheld"], 3)

    def test_a_handle_may_have_gone_to_another_in_a_gap(self) -> None:
        self.bound(1500)
        self.client.node_connected(node(1))
        self.client.chunk(chunk(3, handle=1))
        life = self.opened(room=0)
        life.status(position=0, taken=1, raw_room=0, raw_taken=0, raw_written=0, raw_dropped=0)
        self.client.pauseProducing()
        for _ in range(3):
            self.client.record(records.COUNTS, counts(1, size=600))
        self.client.node_gone(node(1), "left", "it left")
        other = node(1)
        other.node_id = "another"
        self.client.node_connected(other)
        self.client.resumeProducing()
        life.status(position=2, taken=2, raw_room=0, raw_taken=0, raw_written=0, raw_dropped=0)
        life.status(position=2, taken=2, raw_room=99, raw_taken=0, raw_written=0, raw_dropped=0)
        kinds = life.kinds()
        self.assertEqual(kinds.count(records.RESUME), 2)
        self.assertNotIn(records.CHUNK, kinds)
        self.assertEqual(self.client.status["raw_events_withheld"], 3)

    def test_what_a_sample_says_that_is_lost_the_next_one_says(self) -> None:
        self.client.process_started()
        life = self.opened(room=1000)
        self.bound(600)
        self.client.pauseProducing()
        self.client.record(records.COUNTS, counts(1, size=150))
        self.client.chunk(chunk(100))
        self.client.raw.withhold(10)
        self.clock.advance(1)
        self.assertEqual(self.lost()["records"], 1)
        self.client.raw.withhold(1)
        self.client.resumeProducing()
        life.status(position=1, taken=1, raw_room=900, raw_written=0, raw_dropped=0)
        life.kinds()
        self.assertEqual(self.sampled(life), {"seen": 111, "kept": 100, "lost": 0})

    def test_none_wait_or_are_sent_where_they_are_not_wanted(self) -> None:
        self.client = self.make_client(raw_events=False)
        self.client.process_started()
        self.client.chunk(chunk(100))
        life = self.opened(room=250)
        self.client.chunk(chunk(100))
        self.clock.advance(1)
        self.assertEqual(life.kinds(), BEGIN)
        self.assertEqual(self.client.status["raw_events_waiting"], 0)


class StatusTests(ClientTestCase):
    """How the store fares, as the hub knows it."""

    def test_trouble_is_timed_from_when_it_began(self) -> None:
        life = Life(self.client)
        self.clock.advance(5)
        self.assertEqual(self.client.trouble(), 5)
        life.status()
        self.assertEqual(self.client.trouble(), 0)
        life.status(state="unavailable")
        self.clock.advance(7)
        life.status(state="unavailable")
        self.assertEqual(self.client.trouble(), 7)
        self.client.process_ended("killed by SIGKILL")
        self.assertEqual(self.client.status["state"], "restarting")
        self.assertIn("SIGKILL", self.client.status["last_error"])

    def test_one_that_is_not_heard_of_is_not_well(self) -> None:
        life = Life(self.client)
        self.assertEqual(self.client.status["state"], "starting")
        life.status(database="x")
        self.clock.advance(2.9)
        self.assertEqual(self.client.status["state"], "ok")
        self.clock.advance(0.2)
        self.assertEqual(self.client.status["state"], "late")
        self.assertEqual(self.client.status["database"], "x")
        self.assertGreater(self.client.trouble(), 3)
        life.status()
        self.assertEqual((self.client.status["state"], self.client.trouble()), ("ok", 0))

    def test_one_that_is_late_is_in_trouble(self) -> None:
        life = Life(self.client)
        life.status(database="x")
        self.client.condition.state = ChildState.LATE
        self.client.state_changed()
        self.assertEqual(self.client.status["state"], "late")
        self.assertEqual(self.client.status["database"], "x")
        self.clock.advance(4)
        self.assertEqual(self.client.trouble(), 4)

    def test_its_own_mistakes_and_losses_are_added_up_over_its_runs(self) -> None:
        for total in (2, 4):
            life = Life(self.client)
            for count in (1, 1, 2):
                life.status(internal_errors={"a record": count}, lost={"faults": count})
            self.client.process_ended("killed by SIGKILL")
            self.assertEqual(self.errors.counts, {"a record": total})
            self.assertEqual(self.lost(), {"faults": total})
        self.assertNotIn("internal_errors", self.client.status)

    def test_losses_are_logged_with_their_number_at_once_and_then_now_and_then(self) -> None:
        self.bound(1000)
        with capturedLogs() as captured:
            for _ in range(1000):
                self.client.record(records.COUNTS, counts(7, size=500))
            self.clock.pump([1.0] * 30)
        lines = [
            text
            for event in captured
            if (text := formatEvent(event)).startswith("history has lost")
        ]
        self.assertEqual(len(lines), 2)
        self.assertIn("1 records (7 events", lines[0])
        self.assertIn("998 records (6986 events", lines[1].replace(",", ""))
