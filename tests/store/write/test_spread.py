"""How blocks spread: slots, percentiles, histograms."""

from __future__ import annotations

from collections import Counter

import ujson
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.store.histogram import Histogram
from telemetry_twisted.store.reports import nearest_rank
from telemetry_twisted.store.write.spread import (
    CLOCK_TOLERANCE,
    MOST_NEW_SLOTS,
    MOST_SLOTS,
    Spreads,
)

BEST = 11
NOW = 1_795_506_120_000_000


def report(spreads: Spreads, slot: int, node: str, delay: int, block: str = "0xaa") -> None:
    spreads.report(BEST, slot, block, node, NOW + delay, NOW)


def test_spread_of_a_slot_over_its_nodes() -> None:
    spreads = Spreads(Counter())
    for node in range(100):
        report(spreads, 7, str(node), 10_000 * (99 - node), "0xaa" if node else "0xbb")
    report(spreads, 7, "5", 5_000_000, "0xcc")
    ((kind, number, slot),) = spreads.take()
    nodes, first, p50, p95, p99, last, off_clock, blocks, histogram, _ = slot.row()
    assert (kind, number, nodes, first, off_clock) == (BEST, 7, 100, NOW, 0)
    assert (p50, p95, p99, last) == (490_000, 940_000, 980_000, 990_000)
    assert ujson.loads(str(blocks)) == [["0xaa", 99], ["0xbb", 1]]
    assert isinstance(histogram, bytes)
    assert Histogram.decode(histogram).total == 100


def test_wrong_clock_is_told_apart() -> None:
    spreads = Spreads(Counter())
    report(spreads, 7, "right", 1000)
    report(spreads, 7, "ahead", CLOCK_TOLERANCE + 1)
    report(spreads, 7, "behind", -CLOCK_TOLERANCE - 1)
    ((_, _, slot),) = spreads.take()
    assert slot.row()[:7] == (3, NOW + 1000, 0, 0, 0, 0, 2)


def test_slot_that_only_wrong_clocks_report_has_no_times() -> None:
    spreads = Spreads(Counter())
    report(spreads, 7, "ahead", CLOCK_TOLERANCE + 1)
    ((_, _, slot),) = spreads.take()
    assert slot.row()[:7] == (1, NOW, None, None, None, None, 1)


def test_a_node_that_syncs_opens_few_slots() -> None:
    spreads = Spreads(Counter())
    for slot in range(10 * MOST_NEW_SLOTS):
        report(spreads, slot, "syncing", 0)
    assert len(spreads.take()) == MOST_NEW_SLOTS
    spreads.settle(0)
    report(spreads, 5000, "syncing", 0)
    assert len(spreads.take()) == 1


def test_slots_that_few_report_go_first() -> None:
    spreads = Spreads(Counter())
    for node in range(3):
        report(spreads, 1, str(node), node)
    for slot in range(2, MOST_SLOTS + 100):
        report(spreads, slot, f"node {slot}", 0)
    spreads.take()
    spreads.settle(0)
    report(spreads, 1, "3", 3)
    ((_, _, spread),) = spreads.take()
    assert len(spread.reports) == 4


def test_what_is_put_back_is_taken_again() -> None:
    spreads = Spreads(Counter())
    report(spreads, 7, "a", 0)
    taken = spreads.take()
    assert spreads.take() == []
    spreads.put_back(taken)
    assert spreads.take() == taken


delays = st.lists(st.integers(0, 100_000_000), min_size=1)


@given(delays, delays)
def test_histograms_add_up(first: list[int], second: list[int]) -> None:
    merged, whole = Histogram(), Histogram()
    for part in (first, second):
        histogram = Histogram()
        histogram.add(part)
        merged.update(Histogram.decode(histogram.encode()))
        whole.add(part)
    assert merged.encode() == whole.encode()
    assert merged.total == len(first) + len(second)


@given(delays, st.floats(0.01, 1))
def test_percentile_is_nearly_right(values: list[int], share: float) -> None:
    histogram = Histogram()
    histogram.add(values)
    exact = nearest_rank(sorted(values), share)
    approximate = histogram.percentile(share)
    assert approximate is not None
    assert exact <= approximate <= max(1.2 * exact, 250)


def test_nothing_has_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None
