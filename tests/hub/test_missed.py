"""Nodes that are gone, and node IDs that somebody invents: what is remembered has bounds."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, cast

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.admission import AdmissionRules
from telemetry_twisted.hub.alerts import AlertBook
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.missed import MISSED_SECONDS, MOST_MISSED, MissedNodes
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.hub.situation import Situation, Thresholds
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.jip3.moment import ANY_SLOT
from telemetry_twisted.transport import records
from tests.hub.test_nodes import Process


def node_id(number: int) -> str:
    return f"{number:064x}"


class MissedNodesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.missed = MissedNodes()

    def look(self, present: Iterable[str], now: float) -> None:
        for _ in self.missed.look(set(present), now):
            pass

    def gone(self, now: float) -> dict[str, float]:
        return dict(self.missed.gone(now))

    def test_a_node_is_missed_from_when_it_is_gone_until_it_is_back(self) -> None:
        self.look(["a", "b"], 0)
        self.look(["b"], 5)
        self.look(["b"], 6)
        self.assertEqual(self.gone(9), {"a": 4})
        self.look(["a", "b"], 10)
        self.assertEqual(self.gone(10), {})
        self.look(["b"], 11)
        self.assertEqual(self.gone(11), {"a": 0})

    def test_after_a_day_it_is_missed_no_more(self) -> None:
        self.look(["a"], 0)
        self.look([], 1)
        self.look([], 1 + MISSED_SECONDS)
        self.assertEqual(len(self.missed), 1)
        self.look([], 2 + MISSED_SECONDS)
        self.assertEqual(len(self.missed), 0)

    def test_of_too_many_those_that_were_there_longest_are_missed(self) -> None:
        real = [f"real {number}" for number in range(1000)]
        self.look(real, 0)
        self.look(real, 100)
        self.look(real[:900], 101)
        for second in range(100):
            invented = [node_id(second * 1000 + number) for number in range(1000)]
            self.look(real[:900] + invented, 200 + second)
        self.look(real[:900], 300)
        gone = self.gone(300)
        self.assertEqual(len(gone), MOST_MISSED)
        self.assertTrue(gone.keys() >= set(real[900:]))

    def test_too_many_may_go_at_once(self) -> None:
        self.look(["a"], 0)
        for second in range(1, 5):
            self.look({"a", *(node_id(second * 10_000 + number) for number in range(5000))}, second)
        self.look([], 5)
        self.assertEqual(len(self.missed), MOST_MISSED)
        self.assertIn("a", self.gone(5))

    def test_a_node_that_comes_and_goes_is_still_one_that_was_there_long(self) -> None:
        self.look(["a"], 0)
        self.look([], 100)
        self.look(["a"], 101)
        self.look([], 102)
        invented = [node_id(number) for number in range(MOST_MISSED + 5)]
        self.look(invented, 103)
        self.look([], 150)
        self.assertIn("a", self.gone(150))


def reachable(*roots: object) -> int:
    """How many objects are held by ``roots``, but for code."""
    code = (type, ModuleType, FunctionType, BuiltinFunctionType)
    seen = {id(root) for root in roots}
    queue = deque(roots)
    while queue:
        for each in gc.get_referents(queue.popleft()):
            if id(each) not in seen and not isinstance(each, code):
                seen.add(id(each))
                queue.append(each)
    return len(seen)


class Reader:
    """The link of a store process that takes all it is sent: ``taken`` records so far."""

    def __init__(self) -> None:
        self.taken = -2  # what it is to do, and where it is to go on, is not counted

    def register_producer(self, producer: object) -> None:
        pass

    def queue(self, *pieces: bytes) -> None:
        self.taken += len(pieces)

    def flush(self) -> None:
        pass


class InventedNodesTests(SynchronousTestCase):
    """A stranger comes with one node ID after another."""

    def setUp(self) -> None:
        self.clock = Clock()
        errors = InternalErrors(self.clock)
        now = self.clock.seconds
        self.client = StoreClient(b"{}", True, self.clock, now, errors)
        self.reader = Reader()
        self.client.link_made(cast(Any, self.reader))
        ring = Ring(1000, 1 << 20, lambda parts, _count: parts, 100)
        rules = AdmissionRules(1024, introductions=1000)
        self.hub = Hub(ring, rules, self.clock, now, errors, self.client)
        self.book = AlertBook(Thresholds())
        self.process = Process()
        self.last = 0

    def come_and_go(self, rounds: int) -> None:
        """A thousand a second, each of which stays for a second."""
        admission = self.hub.admission
        for _ in range(rounds):
            numbers = range(self.last, self.last + 1000)
            self.last += 1000
            info = {"params": {"core_count": 2}, "version": 0}
            for number in numbers:
                admission.connection_accepted(cast(Any, self.process), number, "10.0.0.7")
                address = f"10.0.0.7:{number % 60_000}"
                admission.introduced(
                    cast(Any, self.process), number, node_id(number), address, info
                )
            self.look()
            self.assertEqual(len(self.hub.nodes), 1000)
            for number in numbers:
                admission.ended(cast(Any, self.process), number, "left", "so")
                self.hub.connection_ended("left", "so")
            self.process.admitted.clear()
            self.look()

    def look(self) -> None:
        self.clock.advance(0.5)
        taken = self.reader.taken
        status = {"state": "ok", "raw_room": 0, "taken": taken, "position": taken}
        body = records.encode_json(records.STORE_STATUS, status)[records.PREFIX.size :]
        self.client.record_received(records.STORE_STATUS, body)
        situation = Situation(
            now=self.clock.seconds(),
            time="",
            newest_slot=ANY_SLOT,
            nodes=list(self.hub.nodes),
            decode_errors=0,
            lagged={},
            store_trouble=0.0,
            store_state="ok",
        )
        for _ in self.book.look(situation):
            pass

    @pytest.mark.end_to_end
    def test_a_hundred_thousand_of_them_take_no_more_room_than_a_few_thousand(self) -> None:
        self.come_and_go(40)
        few = reachable(self.hub, self.book, self.client)
        self.come_and_go(60)
        self.assertLess(reachable(self.hub, self.book, self.client), few + 1000)
        told = sum(alert["count"] for alert in self.book.current)
        self.assertLessEqual(told, MOST_MISSED)
        self.assertEqual(len(self.hub.nodes), 0)
        self.assertEqual(self.process.dismissed, {})
