from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.output import as_json
from bench.processes import BenchError
from bench.rows import Measure, Report, Row, Sample, Target, interleave
from bench.systems import SYSTEMS, Ours


def row(system: str, *figures: float, case: str = "case") -> Row:
    return Row(case, system, "events/s", tuple(map(Sample, figures)))


def test_a_figure_is_the_median_and_a_ratio_is_of_medians() -> None:
    report = Report("name", "title", (row("A", 1, 3, 100), row("compiled", 30, 31, 0)))
    fastest = report.rows[1]
    assert fastest.figure == 30
    assert report.ratio(fastest, "A") == 10
    assert report.ratio(fastest, "B") is None
    assert report.ratio(report.rows[0], "A") is None


def test_a_ratio_above_one_is_better_also_where_less_is() -> None:
    rows = row("A", 10), row("compiled", 2)
    assert Report("name", "title", rows, less_is_better=True).ratio(rows[1], "A") == 5


def test_targets_are_of_figures_or_of_ratios_and_not_reached_when_missed() -> None:
    report = Report("name", "title", (row("A", 10), row("compiled", 20)))
    assert report.reached(Target("case", "compiled", 20)) == (20, True)
    assert report.reached(Target("case", "compiled", 21)) == (20, False)
    assert report.reached(Target("case", "compiled", 19, at_most=True)) == (20, False)
    assert report.reached(Target("case", "compiled", 2, against=("case", "A"))) == (2, True)
    assert report.reached(Target("case", "compiled", 3, against=("case", "A"))) == (2, False)
    assert report.reached(Target("case", "python", 1)) is None
    assert report.reached(Target("case", "compiled", 3, against=("case", "B"))) is None


def test_measures_take_turns() -> None:
    order: list[str] = []

    def measure(name: str) -> Callable[[], Sample]:
        def take() -> Sample:
            order.append(name)
            return Sample(float(len(order)))

        return take

    rows = interleave(2, "ms", {("case", name): measure(name) for name in "AB"})
    assert order == ["A", "B", "A", "B"]
    assert [[sample.figure for sample in row.samples] for row in rows] == [[1, 3], [2, 4]]


def test_the_spread_is_from_least_to_greatest_as_a_share_of_the_median() -> None:
    assert row("A", 9, 10, 12).spread == 0.3
    assert row("A", 0).spread == 0


def test_rows_are_saved_with_what_they_measure_and_their_ratios_to_all_others() -> None:
    rows = row("B", 10), row("compiled", 20, 30, 40), row("abc", 15)
    other = row("compiled", 1, case="other")
    report = Report("name", "title", (*rows, other), about="All.", cases={"other": "Only this."})
    saved = as_json(report, {}, (*SYSTEMS, Ours("abc", "abc", "compiled")))["rows"]
    assert [each["measures"] for each in saved] == ["All.", "All.", "All.", "Only this."]
    assert saved[1]["ratios"] == {"A": None, "B": 3, "abc": 2}
    assert saved[1]["spread"] == 0.6667


def test_what_others_do_not_manage_is_left_out_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> Sample:
        raise BenchError("it lost events")

    measures: dict[tuple[str, str], Measure] = {
        ("many", "other"): fail,
        ("few", "other"): lambda: Sample(1),
        ("many", "compiled"): lambda: Sample(2),
    }
    rows = interleave(2, "ms", measures)
    assert [(row.case, row.system) for row in rows] == [("few", "other"), ("many", "compiled")]
    assert capsys.readouterr().err == "many is left out for other: it lost events\n"
    with pytest.raises(BenchError, match="lost"):
        interleave(1, "ms", {("many", "compiled"): fail})
