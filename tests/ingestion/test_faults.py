"""Faults are told soon after they were found, and in no more than the hub can take."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.ingestion.faults import (
    MOST_OF_ENDED,
    SOON_MOST,
    SOON_SECONDS,
    FaultLedger,
    FaultReports,
)
from telemetry_twisted.jip3.codec import DECODE_ERROR, Fault
from telemetry_twisted.testing import MemoryLink
from telemetry_twisted.transport import records


class Scene:
    """Reports with a link in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.link = MemoryLink()
        self.errors = InternalErrors(self.clock)
        self.reports = FaultReports(self.link, self.clock, self.errors)

    def ledger(self, number: int = 0) -> FaultLedger:
        return FaultLedger(f"{number:064x}", self.reports)

    def told(self) -> list[list[Any]]:
        """The items of each record since the last call."""
        sent, self.link.sent = self.link.sent, []
        assert all(kind == records.FAULTS for kind, _ in sent)
        return [records.decode_json(body) for _, body in sent]


def faults(number: int, times: int = 1) -> list[Fault]:
    """So many that differ."""
    return [Fault(DECODE_ERROR, kind, 8, "cut short", b"\xff", times) for kind in range(number)]


def test_a_fault_is_told_soon() -> None:
    scene = Scene()
    ledger = scene.ledger()
    for _ in range(3):
        ledger.enter(faults(1))
        scene.clock.advance(SOON_SECONDS / 4)
    assert scene.told() == []
    scene.clock.advance(SOON_SECONDS / 4)
    ((fault,),) = scene.told()
    assert (fault["count"], fault["kind"], fault["excerpt"]) == (3, DECODE_ERROR, "ff")
    scene.clock.advance(60)
    assert scene.told() == []
    ledger.enter([])
    assert scene.clock.getDelayedCalls() == []


def test_a_flood_is_told_in_parts_and_a_report_tells_all() -> None:
    scene = Scene()
    ledgers = [scene.ledger(number) for number in range(20)]
    for ledger in ledgers:
        ledger.enter(faults(100))
    scene.clock.advance(SOON_SECONDS)
    (some,) = scene.told()
    assert len(some) <= SOON_MOST
    scene.clock.advance(SOON_SECONDS)
    (more,) = scene.told()
    assert len(more) <= SOON_MOST
    scene.reports.send()
    (rest,) = scene.told()
    nodes = [fault["node_id"] for fault in some + more + rest]
    assert nodes == sorted(nodes)
    assert len(nodes) == 20 * 100
    assert scene.clock.getDelayedCalls() == []


def test_one_node_with_more_than_are_told_at_once_is_told_all_the_same() -> None:
    scene = Scene()
    scene.ledger().enter(faults(SOON_MOST + 1))
    scene.clock.advance(SOON_SECONDS)
    (told,) = scene.told()
    assert len(told) == SOON_MOST + 1


def test_faults_of_nodes_that_are_gone_do_not_pile_up() -> None:
    scene = Scene()
    for number in range(MOST_OF_ENDED // 10):
        ledger = scene.ledger(number)
        ledger.enter(faults(10))
        scene.reports.node_ended(ledger)
    assert scene.told() == []
    ledger.enter(faults(1))
    scene.reports.node_ended(ledger)
    (told,) = scene.told()
    assert len(told) == MOST_OF_ENDED
    scene.ledger().enter(faults(1))
    scene.reports.node_ended(ledger)
    assert scene.told() == []


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 4), st.integers(0, 200), st.integers(1, 3)),
            st.sampled_from([0.05, 0.1, 1.0]),
            st.just("report"),
        ),
        max_size=30,
    )
)
def test_every_fault_is_told_once(steps: list[Any]) -> None:
    scene = Scene()
    ledgers = [scene.ledger(number) for number in range(5)]
    right = told = 0
    for step in [*steps, "report"]:
        if step == "report":
            scene.reports.send()
        elif isinstance(step, float):
            scene.clock.advance(step)
        else:
            number, different, times = step
            ledgers[number].enter(faults(different, times))
            right += different * times
        told += sum(fault["count"] for record in scene.told() for fault in record)
    assert told == right
    assert not scene.errors.counts
