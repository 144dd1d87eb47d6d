"""What nodes reported of a slot, packed and merged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.store.histogram import Histogram
from telemetry_twisted.store.reports import (
    OFF_CLOCK,
    Report,
    Spread,
    merge,
    pack_reports,
    spread_of,
    unpack_reports,
)

Told = dict[int, tuple[int, str | None]]
"""The time and the block of each node's report."""

BEGIN = 1_000_000_000

told = st.dictionaries(
    st.integers(1, 12),
    st.tuples(
        st.one_of(st.just(OFF_CLOCK), st.integers(BEGIN, BEGIN + 10_000_000)),
        st.sampled_from(["a", "b", "c"]),
    ),
    min_size=1,
)


def row(reports: Told) -> tuple[Spread, bytes]:
    """The row of a run that was told so."""
    spread = spread_of(reports.values(), BEGIN)
    order = [block for block, _ in spread.blocks]
    packed = pack_reports(
        Report(
            node,
            OFF_CLOCK if time == OFF_CLOCK else time - spread.first,
            len(order) if block is None else order.index(block),
        )
        for node, (time, block) in reports.items()
    )
    return spread, packed


class ReportsTests(SynchronousTestCase):
    """A slot in rows of one or several runs."""

    def test_packed_and_unpacked(self) -> None:
        reports = [Report(1, 0, 0), Report(2**32 - 1, OFF_CLOCK, 8), Report(3, 2**40, 1)]
        self.assertEqual(list(unpack_reports(pack_reports(reports))), reports)

    def test_what_is_told_of_a_slot(self) -> None:
        spread = spread_of([(BEGIN + 5, "a"), (BEGIN, "a"), (OFF_CLOCK, "b"), (BEGIN + 1, None)], 7)
        self.assertEqual((spread.first, spread.nodes, spread.off_clock), (BEGIN, 4, 1))
        self.assertEqual(spread.delays, [1, 5, 5, 5])
        self.assertEqual(spread.blocks, [("a", 2), ("b", 1)])
        self.assertEqual(Histogram.decode(spread.histogram).total, 3)

    def test_without_a_usable_clock_it_began_when_it_was_read(self) -> None:
        spread = spread_of([(OFF_CLOCK, "a")], 7)
        self.assertEqual((spread.first, spread.delays), (7, [None] * 4))

    def test_a_node_that_two_runs_saw_counts_once_with_its_earliest_report(self) -> None:
        before = row({1: (BEGIN, "a"), 2: (BEGIN + 9, "a"), 3: (OFF_CLOCK, "a")})
        after = row({2: (BEGIN + 20, "b"), 3: (BEGIN + 30, "b"), 4: (BEGIN + 40, "b")})
        spread = merge([before, after])
        self.assertEqual((spread.first, spread.nodes, spread.off_clock), (BEGIN, 4, 0))
        self.assertEqual(sorted(spread.blocks), [("a", 2), ("b", 2)])
        self.assertEqual(spread.delays[-1], 40)

    def test_the_fullest_row_stands_for_all_where_reports_are_gone(self) -> None:
        few, many = row({1: (BEGIN, "a")}), row({2: (BEGIN, "b"), 3: (BEGIN + 1, "b")})
        self.assertEqual(merge([few, (many[0], None)]), many[0])
        self.assertEqual(merge([(many[0], None), few]), many[0])

    @given(st.lists(told, min_size=1, max_size=4))
    def test_each_node_counts_once_however_many_rows_it_is_in(self, runs: list[Told]) -> None:
        spread = merge([row(reports) for reports in runs])
        every = [(node, time) for told in runs for node, (time, _) in told.items()]
        times = [
            min((at for each, at in every if each == node and at >= 0), default=OFF_CLOCK)
            for node in {node for node, _ in every}
        ]
        usable = sorted(time for time in times if time >= 0)
        self.assertEqual((spread.nodes, spread.off_clock), (len(times), times.count(-1)))
        self.assertEqual(sum(count for _, count in spread.blocks), len(times))
        if usable:
            self.assertEqual((spread.first, spread.delays[-1]), (usable[0], usable[-1] - usable[0]))
