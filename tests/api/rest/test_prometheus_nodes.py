"""What Prometheus is told by node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as older
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from telemetry_twisted.api.rest.prometheus.nodes import FAMILIES, node_families
from telemetry_twisted.hub.node_totals import NodeTotals
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.turns import STEP_SECONDS, TURN_SECONDS, Turns

A, B = "aa" * 32, "bb" * 32
NOW = 1_795_506_120.0


def node(node_id: str, **told: Any) -> NodeTotals:
    """A node that is connected and has told what is given."""
    connection = Node(node_id, 0, cast(Any, None), 0, "x:1", NOW, {}, **told)
    return NodeTotals(node_id, connection)


def text_of(nodes: Iterable[NodeTotals], om: bool, clock: Clock | None = None) -> str:
    """What is told of nodes."""
    clock = clock or Clock()
    turns = Turns(clock)
    told: list[bytes] = []

    async def tell() -> None:
        told.extend([part async for part in node_families(nodes, NOW, turns, om)])

    done = Deferred.fromCoroutine(tell())
    while not done.called:
        assert clock.getDelayedCalls()
        clock.advance(0)
    done.addErrback(lambda failure: failure.raiseException())
    return b"".join(told).decode()


def parsed(text: str, om: bool) -> dict[str, Metric]:
    families = openmetrics(f"{text}# EOF\n") if om else older(text)
    return {family.name: family for family in families}


def samples(families: dict[str, Metric]) -> dict[tuple[str, str], float]:
    return {
        (sample.name.removeprefix("telemetry_node_"), sample.labels["node"]): sample.value
        for family in families.values()
        for sample in family.samples
    }


@pytest.mark.parametrize("om", [True, False])
def test_figures_are_those_of_the_node(om: bool) -> None:
    here = node(A, best={"slot": 2**32 - 1}, finalized={"slot": 7}, synced=False, peers=341)
    here.events, here.failures, here.dropped, here.rate_limited = 2**60, 3, 4, 5
    here.imports, here.import_microseconds = 2, 1_500_001
    here.clock_told(int(NOW) // 150, -2_000_000)
    silent = node(B)
    families = parsed(text_of([here, silent], om), om)
    assert {name: family.type for name, family in families.items()} == {
        family.name: family.type for family in FAMILIES
    }
    assert all("--max-nodes" in family.documentation for family in families.values())
    assert all(family.documentation.endswith(".") for family in families.values())
    told = samples(families)
    assert {name: value for (name, of), value in told.items() if of == A} == {
        "connected": 1,
        "best_slot": 2**32 - 1,
        "finalized_slot": 7,
        "synced": 0,
        "peers": 341,
        "clock_offset_seconds": -2,
        "events_total": 2**60,
        "failures_total": 3,
        "dropped_total": 4,
        "rate_limited_total": 5,
        "import_seconds_count": 2,
        "import_seconds_sum": 1.500001,
    }
    unknown = {"best_slot", "finalized_slot", "synced", "peers", "clock_offset_seconds"}
    assert not unknown & {name for name, of in told if of == B}
    assert told["connected", B] == 1


def test_of_a_node_that_left_totals_stay_and_states_do_not() -> None:
    gone = node(A, best={"slot": 9}, synced=True, peers=3)
    gone.clock_told(int(NOW) // 150, 1)
    gone.connection = None
    gone.events = 12
    assert {name for name, _ in samples(parsed(text_of([gone], True), True))} == {
        "connected",
        "events_total",
        "failures_total",
        "dropped_total",
        "rate_limited_total",
        "import_seconds_count",
        "import_seconds_sum",
    }


class Ticking(Clock):
    """A clock in which every look takes a while."""

    def seconds(self) -> float:
        self.rightNow += TURN_SECONDS / 10
        return self.rightNow


def test_very_many_nodes_are_told_of_in_turns() -> None:
    clock = Ticking()
    turns = 0
    later = clock.callLater

    def count(*call: Any) -> IDelayedCall:
        nonlocal turns
        turns += 1
        return later(*call)

    clock.callLater = count  # type: ignore[assignment]
    nodes = [node(f"{number:064x}", peers=number) for number in range(1024)]
    text = text_of(nodes, True, clock)
    looks = 4 * len(FAMILIES)
    assert turns >= looks * (TURN_SECONDS / 10) / STEP_SECONDS / 2
    told = samples(parsed(text, True))
    assert [told["peers", each.node_id] for each in nodes] == list(range(1024))
    assert len(told) == len(text.splitlines()) - 2 * len(FAMILIES)


def test_no_nodes_are_no_series() -> None:
    assert not samples(parsed(text_of([], True), True))
