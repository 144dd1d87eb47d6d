"""What a benchmark returns: rows of repeated measurements, and what they must reach."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from statistics import median

from attrs import field, frozen

from .processes import BenchError
from .systems import OURS

Measure = Callable[[], "Sample"]

MANY_ROWS = 40
"""A report with more rows is shown with a line for each case, not for each row."""


@frozen
class Sample:
    """One measurement: the figure, and what else was seen beside it."""

    figure: float
    details: Mapping[str, float] = field(factory=dict)


@frozen
class Row:
    """A system measured several times in one case; ``unit`` is that of its figure."""

    case: str
    system: str
    unit: str
    samples: tuple[Sample, ...]

    @property
    def figure(self) -> float:
        """The median of the figures."""
        return median(sample.figure for sample in self.samples)

    @property
    def spread(self) -> float:
        """How far the greatest figure is from the least, as a share of the median."""
        figures = [sample.figure for sample in self.samples]
        return (max(figures) - min(figures)) / self.figure if self.figure else 0.0

    @property
    def details(self) -> Mapping[str, float]:
        """The medians of what else was seen."""
        names = dict.fromkeys(name for sample in self.samples for name in sample.details)
        return {
            name: median(sample.details[name] for sample in self.samples if name in sample.details)
            for name in names
        }


@frozen
class Target:
    """What a row must reach: at least (or at most) ``bound``.

    ``against`` names the row that the figure is divided by, as (case, system); without it the
    figure itself is meant.
    """

    case: str
    system: str
    bound: float
    at_most: bool = False
    against: tuple[str, str] | None = None


@frozen
class Report:
    """The outcome of a benchmark: ``name`` is that of its files, ``title`` what was asked.

    Where ``axis`` is given, cases are numbers of what it names, and are drawn along it.
    ``about`` says in a sentence what a figure of it measures; ``cases`` does so for a case in which
    it is something else.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()
    less_is_better: bool = False
    notes: tuple[str, ...] = ()
    about: str = field(default="", kw_only=True)
    cases: Mapping[str, str] = field(factory=dict, kw_only=True)
    axis: str = field(default="", kw_only=True)

    def measures(self, case: str) -> str:
        """What the figures of a case measure, in a sentence."""
        return self.cases.get(case, self.about)

    def row(self, case: str, system: str) -> Row | None:
        """The row of ``system`` in ``case``, if it was measured."""
        return next((row for row in self.rows if (row.case, row.system) == (case, system)), None)

    def ratio(self, row: Row, baseline: str) -> float | None:
        """How many times better ``row`` is than the baseline in the same case."""
        other = self.row(row.case, baseline)
        if other is None or other is row or not other.figure or not row.figure:
            return None
        ratio = row.figure / other.figure
        return 1 / ratio if self.less_is_better else ratio

    def reached(self, target: Target) -> tuple[float, bool] | None:
        """(the figure or ratio that a target is about, whether it was reached)."""
        row = self.row(target.case, target.system)
        if row is None:
            return None
        value = row.figure
        if target.against is not None:
            other = self.row(*target.against)
            if other is None or not other.figure:
                return None
            value /= other.figure
        return value, value <= target.bound if target.at_most else value >= target.bound


def interleave(
    repeats: int, unit: str, measures: Mapping[tuple[str, str], Measure]
) -> tuple[Row, ...]:
    """Measure each (case, system) ``repeats`` times, in turn, so that all see the same machine.

    A case that a system does not manage which is not ours is left out, and said.
    """
    samples: dict[tuple[str, str], list[Sample]] = {key: [] for key in measures}
    for _ in range(repeats):
        for key in list(samples):
            sample = _sample(*key, measures[key])
            if sample is None:
                del samples[key]
            else:
                samples[key].append(sample)
    return tuple(Row(case, system, unit, tuple(taken)) for (case, system), taken in samples.items())


def _sample(case: str, system: str, measure: Measure) -> Sample | None:
    """What ``measure`` gives, or None where one that is not ours does not manage."""
    try:
        return measure()
    except BenchError as error:
        if system in OURS:
            raise
        print(f"{case} is left out for {system}: {error}", file=sys.stderr)
        return None


def number(value: float) -> str:
    """``value`` with three digits that count, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
