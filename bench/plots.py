"""Pictures of reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.figure import Figure

from .rows import MANY_ROWS, Report, number

_COLOURS = {"A": "#9aa5b1", "B": "#52606d", "python": "#7db8e8", "compiled": "#1f6fb2"}
_OTHER_COLOURS = ("#d08c2f", "#7a9e4f", "#8a6bb1", "#4f8aa8")


def plot(path: Path, report: Report, labels: Mapping[str, str]) -> None:
    """Draw a report; ``labels`` says how systems are called, by name."""
    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = report.name
    figure = _curves(report, labels) if report.axis else _bars(report, labels)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _curves(report: Report, labels: Mapping[str, str]) -> Figure:
    """A line for each system along the axis, with the least and the most of each figure."""
    figure, axes = pyplot.subplots(figsize=(9, 4))
    colours = _colours(report)
    for system, colour in colours.items():
        rows = {int(row.case.split()[0]): row for row in report.rows if row.system == system}
        figures = [row.figure for row in rows.values()]
        spread = [
            [row.figure - min(sample.figure for sample in row.samples) for row in rows.values()],
            [max(sample.figure for sample in row.samples) - row.figure for row in rows.values()],
        ]
        label = labels.get(system, system)
        axes.errorbar(list(rows), figures, spread, label=label, color=colour, marker="o", capsize=3)
        axes.set_xscale("log")
        axes.set_xticks(list(rows), list(map(str, rows)))
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(report.axis)
    axes.set_ylabel(_unit(report.rows[0].unit, report))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    axes.set_title(report.title, loc="left", fontsize=11)
    return figure


def _bars(report: Report, labels: Mapping[str, str]) -> Figure:
    """A bar for each row; of many rows, only for those of the compiled codec, against A."""
    groups = _bars_by_unit(report, labels)
    heights = [0.28 * len(bars) + 0.9 for bars in groups.values()]
    figure, all_axes = pyplot.subplots(
        len(groups), 1, figsize=(9, sum(heights)), height_ratios=heights, squeeze=False
    )
    for axes, (unit, bars) in zip(all_axes[:, 0], groups.items(), strict=True):
        names, figures, colours = zip(*bars, strict=True)
        drawn = axes.barh(names, figures, color=colours)
        axes.bar_label(drawn, list(map(number, figures)), padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(_unit(unit, report))
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        if min(figures) > 0 and max(figures) > 30 * min(figures):
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: number(value))
        axes.margins(x=0.12, y=0.01)
    all_axes[0, 0].set_title(report.title, loc="left", fontsize=11)
    return figure


def _unit(unit: str, report: Report) -> str:
    return f"{unit} ({'less' if report.less_is_better else 'more'} is better)"


def _colours(report: Report) -> dict[str, str]:
    """A colour for each system of a report, the same in all reports for those of all runs."""
    spare = iter(_OTHER_COLOURS)
    colours: dict[str, str] = {}
    for row in report.rows:
        if row.system not in colours:
            colours[row.system] = _COLOURS.get(row.system) or next(spare)
    return colours


def _bars_by_unit(
    report: Report, labels: Mapping[str, str]
) -> dict[str, list[tuple[str, float, str]]]:
    """(label, figure, colour) by unit."""
    groups: dict[str, list[tuple[str, float, str]]] = {}
    if len(report.rows) > MANY_ROWS:
        for row in report.rows:
            if row.system == "compiled" and (ratio := report.ratio(row, "A")) is not None:
                bar = (row.case, ratio, _COLOURS["compiled"])
                groups.setdefault("times baseline A", []).append(bar)
    else:
        colours = _colours(report)
        for row in report.rows:
            label = f"{row.case}: {labels.get(row.system, row.system)}"
            groups.setdefault(row.unit, []).append((label, row.figure, colours[row.system]))
    return groups
