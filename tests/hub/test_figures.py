"""What the server says of itself: ok only if all is well, and lately."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.admission import AdmissionRules
from telemetry_twisted.hub.alerts import AlertBook
from telemetry_twisted.hub.child import ChildState
from telemetry_twisted.hub.figures import HubFigures, HubGauges
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.hub.situation import Thresholds
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.store.tally import Tally
from telemetry_twisted.transport import records


class ProblemTests(SynchronousTestCase):
    """A server whose only child is a store process."""

    def setUp(self) -> None:
        self.clock = Clock()
        now = self.clock.seconds
        errors = InternalErrors(self.clock)
        ring = Ring(1000, 1 << 20, lambda parts, _count: parts, 100)
        self.client = StoreClient(b"{}", True, self.clock, now, errors)
        self.condition = self.client.condition
        hub = Hub(ring, AdmissionRules(1024), self.clock, now, errors)
        figures = HubFigures(hub, [], self.condition, lambda: 0, lambda: 0)
        self.errors = errors
        self.receivers: list[dict[str, Any]] = []
        self.gauges = HubGauges(
            figures,
            lambda: Histogram("", (1,)),
            self.client,
            AlertBook(Thresholds()),
            lambda: self.receivers,
            self.clock,
            now,
        )

    def enter(self, state: ChildState) -> None:
        self.condition.state, self.condition.since = state, 0.0
        self.client.state_changed()

    def told(self, state: str, **more: Any) -> None:
        status = {"state": state, "raw_room": 0, "last_commit": None, "last_error": None, **more}
        body = records.encode_json(records.STORE_STATUS, status)[records.PREFIX.size :]
        self.client.record_received(records.STORE_STATUS, body)
        self.gauges.tick()

    def problem(self) -> str:
        (problem,) = self.gauges.own_problems()
        return problem

    @property
    def store_problem(self) -> str | None:
        problem: str | None = self.gauges.metrics()["store"]["problem"]
        return problem

    def test_it_is_ok_only_if_it_has_been_heard_so_lately(self) -> None:
        self.assertIn("store process is stopped", self.problem())
        self.enter(ChildState.STARTING)
        self.assertIn("store process is starting since", self.problem())
        self.enter(ChildState.RUNNING)
        self.assertIn("the store is starting", self.problem())
        self.told("ok")
        self.assertEqual(self.gauges.own_problems(), [])
        self.enter(ChildState.LATE)
        self.assertIn("store process is late since", self.problem())
        self.assertEqual(self.store_problem, self.problem())
        self.enter(ChildState.RUNNING)
        self.told("full", last_error="no space left on device", since="then")
        self.assertIn(
            "there is no room for it, since then (no space left on device)", self.problem()
        )

    def test_a_store_that_is_busy_and_silent_is_not_ok_for_ever(self) -> None:
        self.enter(ChildState.RUNNING)
        self.told("ok")
        self.clock.advance(10)
        self.assertEqual(self.gauges.own_problems(), [])
        self.assertEqual(self.client.status["state"], "late")
        self.assertIs(self.store_problem, None)
        self.clock.advance(10)
        self.assertIn("has said nothing for a while", self.problem())
        self.assertEqual(self.store_problem, self.problem())

    def test_what_history_lost_is_told(self) -> None:
        self.enter(ChildState.RUNNING)
        self.told("ok")
        self.client.losses.add(Tally(records=2, events=1234), "it had to be")
        self.gauges.tick()
        self.assertIn("history lacks 2 records, 1,234 events, lost from 1970-", self.problem())

    def test_what_nodes_send_beyond_what_history_has_room_for_is_no_problem(self) -> None:
        self.enter(ChildState.RUNNING)
        self.told("ok", lost={"slot_reports": 1_000_000})
        self.assertEqual(self.client.status["lost"]["slot_reports"], 1_000_000)
        self.assertEqual(self.gauges.own_problems(), [])

    def test_mistakes_are_told_to_those_who_ask_for_all(self) -> None:
        self.enter(ChildState.RUNNING)
        self.told("ok")
        self.errors.add({"a place": 3}, {})
        self.assertEqual(self.gauges.own_problems(), [])
        (problem,) = self.gauges.problems()
        self.assertIn("(a place) within the last minute, 3 so far", problem)
        self.clock.advance(61)
        self.told("ok")
        self.assertEqual(self.gauges.problems(), [])
