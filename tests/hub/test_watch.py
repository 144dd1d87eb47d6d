"""What the server says when it looks at itself."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.admission import AdmissionRules
from telemetry_twisted.hub.alerts import AlertBook
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.hub.situation import Thresholds
from telemetry_twisted.hub.store.networks import ToldNetworks
from telemetry_twisted.hub.watch import LOOK_SECONDS, Watch
from telemetry_twisted.turns import Turns
from tests.hub.test_nodes import Process

NODES = 1024


class Store:
    """The client of a store that is well."""

    def __init__(self) -> None:
        self.status = {"state": "ok"}
        self.networks = ToldNetworks(Clock())

    def trouble(self) -> float:
        return 0.0


class Gauges:
    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> None:
        self.ticks += 1

    def silent(self) -> dict[str, float]:
        return {}


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        now = self.clock.seconds
        self.errors = InternalErrors(self.clock)
        ring = Ring(1000, 1 << 20, lambda parts, _count: parts, 100)
        self.hub = Hub(ring, AdmissionRules(NODES), self.clock, now, self.errors)
        self.book = AlertBook(Thresholds(node_gone=5))
        self.gauges = Gauges()
        self.changes = 0
        self.watch = Watch(
            self.book,
            self.hub,
            cast(Any, self.gauges),
            cast(Any, Store()),
            dict,
            self.changed,
            self.clock,
            now,
            now,
            Turns(self.clock),
        )
        self.process = cast(Any, Process())

    def changed(self) -> None:
        self.changes += 1

    def wait(self, looks: int) -> list[str]:
        """What is logged meanwhile, but for comings and goings."""
        with capturedLogs() as captured:
            for _ in range(looks):
                self.clock.advance(LOOK_SECONDS)
                self.clock.pump([0.0] * 20)
        return [text for text in map(formatEvent, captured) if "alert" in text]

    def connect(self) -> None:
        info = {"params": {"core_count": 2}, "version": 0}
        for number in range(NODES):
            self.hub.nodes.apply(self.process, number, f"{number:064x}", "10.0.0.7:1", info)

    def test_nodes_that_go_at_once_are_one_line_and_one_change(self) -> None:
        self.watch.startService()
        self.connect()
        self.assertEqual(self.wait(2), [])
        for number in range(NODES):
            self.hub.nodes.ended(self.process, number, "left", "so")
        (line,) = self.wait(7)
        names = ", ".join(f"{number:064x}" for number in range(3))
        gone = f"1024 nodes have been gone for up to 5 s: {names} and 1021 more"
        self.assertIn(f"node_gone alert: {gone}; see whether ", line)
        self.assertEqual(self.changes, 1)
        self.process.admitted.clear()
        self.connect()
        (line,) = self.wait(2)
        self.assertTrue(line.startswith("node_gone alert ended: 1024 nodes have been gone for "))
        self.assertEqual(self.changes, 2)
        self.watch.stopService()
        self.assertEqual(self.gauges.ticks, 11)
        self.assertEqual(self.errors.counts, {})

    def test_no_look_goes_on_when_it_is_stopped(self) -> None:
        self.watch.startService()
        self.connect()
        self.clock.advance(LOOK_SECONDS)
        self.watch.stopService()
        self.wait(3)
        self.assertEqual(self.gauges.ticks, 1)
        self.assertEqual(self.errors.counts, {})
