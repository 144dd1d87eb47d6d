"""Totals of nodes never become less, and are kept of no more nodes than there is room for."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.hub.node_totals import (
    CLOCK_SECONDS,
    REMEMBERED_SECONDS,
    AllTotals,
    NodeTotals,
)
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import NO_CORE, LatencyCount
from telemetry_twisted.jip3.observed import Clock as ClockRow
from telemetry_twisted.transport.totals import NodeCount
from tests.examples import examples

MOST = 3
IMPORT, EXECUTE = (
    next(n for n, each in enumerate(CHAINS.latencies) if each.name == name)
    for name in ("import", "execute")
)


class TotalsTestCase(SynchronousTestCase):
    """Has room for a few nodes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_795_506_120)
        self.totals = AllTotals(MOST, self.clock.seconds)
        self.nodes: dict[int, Node] = {}

    def connect(self, handle: int, name: str) -> None:
        nobody = cast(Any, None)
        node = Node(name, handle, nobody, handle, "x:1", self.clock.seconds(), {})
        self.nodes[handle] = node
        self.totals.node_connected(node)

    def leave(self, handle: int) -> None:
        self.totals.node_gone(self.nodes.pop(handle))

    def known(self) -> dict[str, NodeTotals]:
        return {each.node_id: each for each in self.totals}

    def test_a_node_that_comes_again_goes_on(self) -> None:
        self.connect(0, "a")
        self.totals.add([NodeCount(0, 5, 2, 7, 1), NodeCount(9, 1, 1)])
        self.leave(0)
        self.totals.add([NodeCount(0, 100, 0)])
        assert self.known()["a"].connection is None
        self.connect(0, "b")
        self.connect(1, "a")
        self.totals.add([NodeCount(0, 1, 0), NodeCount(1, 5, 2, 7, 1)])
        known = self.known()
        a = known["a"]
        assert (a.events, a.failures, a.dropped, a.rate_limited) == (10, 4, 14, 2)
        assert (known["b"].events, known["b"].failures) == (1, 0)

    def test_those_that_left_first_are_forgotten_first(self) -> None:
        for handle, name in enumerate("abc"):
            self.connect(handle, name)
        for handle in (1, 0):
            self.leave(handle)
        assert [each.node_id for each in self.totals] == ["c", "a", "b"]
        self.connect(0, "d")
        assert [each.node_id for each in self.totals] == ["c", "d", "a"]

    def test_those_that_left_long_ago_are_forgotten(self) -> None:
        self.connect(0, "a")
        self.leave(0)
        self.clock.advance(REMEMBERED_SECONDS - 1)
        assert self.known().keys() == {"a"}
        self.clock.advance(1)
        assert not self.known()

    def test_imports_are_those_of_all_observations(self) -> None:
        self.connect(0, "a")
        self.connect(1, "b")
        for _ in range(2):
            rows = (
                LatencyCount(0, IMPORT, NO_CORE, 40, 2, 90),
                LatencyCount(1, EXECUTE, NO_CORE, 40, 1, 45),
                LatencyCount(0, EXECUTE, IMPORT, IMPORT, IMPORT, IMPORT),
                LatencyCount(0, IMPORT, NO_CORE, 50, 1, 110),
                LatencyCount(8, IMPORT, NO_CORE, 50, 1, 110),
            )
            self.totals.observe(Observations(1, 2, latencies=rows).encode())
        known = self.known()
        assert (known["a"].imports, known["a"].import_microseconds) == (6, 400)
        assert (known["b"].imports, known["b"].import_microseconds) == (0, 0)

    def test_the_clock_is_that_of_the_last_minutes(self) -> None:
        self.connect(0, "a")
        (node,) = self.totals

        def told(least: int) -> int | None:
            clocks = (ClockRow(0, least, least + 9), ClockRow(7, -99, 0))
            self.totals.observe(Observations(1, 2, clocks=clocks).encode())
            return node.clock_offset(self.clock.seconds())

        assert node.clock_offset(self.clock.seconds()) is None
        assert [told(500), told(-20), told(300)] == [500, -20, -20]
        self.clock.advance(CLOCK_SECONDS)
        assert told(100) == -20
        self.clock.advance(CLOCK_SECONDS)
        assert told(200) == 100
        self.clock.advance(2 * CLOCK_SECONDS)
        assert node.clock_offset(self.clock.seconds()) is None
        assert told(700) == 700

    def test_what_clocks_told_is_of_no_use_once_the_servers_clock_was_set(self) -> None:
        self.connect(0, "a")
        self.connect(1, "b")
        first, second = (ClockRow(handle, 500, 509) for handle in (0, 1))
        spanning = Observations(1, 2, clocks=(first,), clock_set=(3_600_000_000,))
        after = ClockRow(0, 3_600_000_500, 3_600_000_600)
        offsets = []
        for body in (Observations(1, 2, clocks=(first, second)), spanning,
                     Observations(2, 3, clocks=(after,))):  # fmt: skip
            self.totals.observe(body.encode())
            offsets.append([node.clock_offset(self.clock.seconds()) for node in self.totals])
        assert offsets == [[500, 500], [None, None], [after.least, None]]


@examples(100)
@given(st.lists(st.tuples(st.integers(0, MOST - 1), st.sampled_from("abcde"))))
def test_totals_never_become_less_and_are_bounded(steps: list[tuple[int, str]]) -> None:
    case = TotalsTestCase()
    case.setUp()
    events: Counter[str] = Counter()
    for handle, name in steps:
        holder = case.nodes.get(handle)
        if holder is not None:
            case.leave(handle)
        elif all(node.node_id != name for node in case.nodes.values()):
            case.connect(handle, name)
            case.totals.add([NodeCount(handle, 1, 0)])
            events[name] += 1
        known = case.known()
        for forgotten in events.keys() - known.keys():
            del events[forgotten]
        assert len(known) <= MOST
        assert known.keys() >= {node.node_id for node in case.nodes.values()}
        assert {name: each.events for name, each in known.items()} == events
