"""Tables for people, JSON for programs, and plots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .rows import MANY_ROWS, Report, Row, Target, number
from .systems import SYSTEMS, System, labels, references


def show_machine(console: Console, machine: dict[str, Any]) -> None:
    """Print what the figures are taken on."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    load = " ".join(f"{value:.2f}" for value in machine["load_average"])
    others = ", ".join(f"{name} {share:.2f}" for name, share in machine["others"].items())
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores{' (virtual)' if machine['virtual'] else ''}, "
        f"{machine['memory']}, {machine['kernel']}, {machine['python']}\n{packages}\n"
        f"commit {machine['commit']}{'' if machine['clean'] else ', changed'}, "
        f"load average {load}, "
        f"other processes (cores): {others or 'none'}\n",
        highlight=False,
    )


def show(console: Console, report: Report, systems: Sequence[System] = SYSTEMS) -> None:
    """Print a report as a table; ``systems`` are those that were measured."""
    table = Table(title=report.title, title_justify="left", title_style="bold")
    if len(report.rows) > MANY_ROWS:
        _fill_by_case(table, report, systems)
    else:
        _fill_by_row(table, report, systems)
    console.print(table)
    for sentence in _sentences(report):
        console.print(f"  {sentence}", highlight=False)
    for note in report.notes:
        console.print(f"  {note}", highlight=False)
    if len(report.targets) < MANY_ROWS:
        for target in report.targets:
            console.print(f"  {target_line(report, target, systems)}", highlight=False)
    console.print()


def _sentences(report: Report) -> list[str]:
    """What the rows measure, each sentence once, with the cases if it is not that of all."""
    cases: dict[str, list[str]] = {}
    for case in dict.fromkeys(row.case for row in report.rows):
        cases.setdefault(report.measures(case), []).append(case)
    if len(cases) == 1:
        return [sentence for sentence in cases if sentence]
    return [f"{'; '.join(which)}: {sentence}" for sentence, which in cases.items() if sentence]


def _fill_by_row(table: Table, report: Report, systems: Sequence[System]) -> None:
    names, compared = labels(systems), _compared(report, systems)
    table.add_column("case")
    table.add_column("system")
    table.add_column("median", justify="right")
    table.add_column("least .. most", justify="right")
    for reference in compared:
        table.add_column(f"x {reference}", justify="right")
    table.add_column("beside it")
    for row in report.rows:
        figures = [sample.figure for sample in row.samples]
        table.add_row(
            row.case,
            names.get(row.system, row.system),
            f"{number(row.figure)} {row.unit}",
            f"{number(min(figures))} .. {number(max(figures))}",
            *(_times(report.ratio(row, reference)) for reference in compared),
            ", ".join(f"{name} {number(value)}" for name, value in row.details.items()),
        )


def _compared(report: Report, systems: Sequence[System]) -> list[str]:
    """The names of the systems to compare with that are in a report."""
    measured = {row.system for row in report.rows}
    return [name for name in references(systems) if name in measured]


def _fill_by_case(table: Table, report: Report, systems: Sequence[System]) -> None:
    names = labels(systems)
    measured = list(dict.fromkeys(row.system for row in report.rows))
    table.add_column("case")
    for system in measured:
        table.add_column(f"{names.get(system, system)}, {report.rows[0].unit}", justify="right")
    compared = [system for system in measured if system not in references(systems)]
    for system in compared:
        table.add_column(f"{system} x A", justify="right")
    for case in dict.fromkeys(row.case for row in report.rows):
        rows = {system: report.row(case, system) for system in measured}
        figures = (number(row.figure) if row else "" for row in rows.values())
        ratios = (_ratio(report, rows[system]) for system in compared)
        table.add_row(case, *figures, *map(_times, ratios))


def _ratio(report: Report, row: Row | None) -> float | None:
    return None if row is None else report.ratio(row, "A")


def target_line(report: Report, target: Target, systems: Sequence[System] = SYSTEMS) -> str:
    """What a target asks for and whether it was reached."""
    names = labels(systems)
    outcome = report.reached(target)
    of = ""
    if target.against is not None:
        case, system = target.against
        of = f" x {names.get(system, system)}" + ("" if case == target.case else f" at {case}")
    unit = "" if target.against or not report.rows else f" {report.rows[0].unit}"
    wanted = f"{'≤' if target.at_most else '≥'} {number(target.bound)}{of}{unit}"
    who = f"{target.case}, {names.get(target.system, target.system)}"
    if outcome is None:
        return f"[dim]-[/] {who}: {wanted}: not measured"
    value, reached = outcome
    mark = "[green]reached[/]" if reached else "[red]missed[/]"
    return f"{mark} {who}: {wanted}: {number(value)}"


def save(
    directory: Path, report: Report, machine: dict[str, Any], systems: Sequence[System] = SYSTEMS
) -> None:
    """Write ``NAME.json`` and ``NAME.svg``."""
    # It needs matplotlib, which is there where benchmarks are run, not where they are tested.
    from .plots import plot

    save_figures(directory, report, machine, systems)
    plot(directory / f"{report.name}.svg", report, labels(systems))


def save_figures(
    directory: Path, report: Report, machine: dict[str, Any], systems: Sequence[System] = SYSTEMS
) -> None:
    """Write ``NAME.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    content = json.dumps(as_json(report, machine, systems), indent=1, ensure_ascii=False)
    (directory / f"{report.name}.json").write_text(content + "\n")


def as_json(
    report: Report, machine: dict[str, Any], systems: Sequence[System] = SYSTEMS
) -> dict[str, Any]:
    """A report with all its samples."""
    return {
        "name": report.name,
        "title": report.title,
        "less_is_better": report.less_is_better,
        "notes": report.notes,
        "machine": machine,
        "rows": [_row_as_json(report, row, references(systems)) for row in report.rows],
        "targets": [_target_as_json(report, target) for target in report.targets],
    }


def _row_as_json(report: Report, row: Row, compared: Sequence[str]) -> dict[str, Any]:
    return {
        "case": row.case,
        "measures": report.measures(row.case),
        "system": row.system,
        "unit": row.unit,
        "median": row.figure,
        "samples": [sample.figure for sample in row.samples],
        "spread": round(row.spread, 4),
        "ratios": {name: report.ratio(row, name) for name in compared},
        "details": row.details,
    }


def _target_as_json(report: Report, target: Target) -> dict[str, Any]:
    value, reached = report.reached(target) or (None, None)
    return {
        "case": target.case,
        "system": target.system,
        "at_most" if target.at_most else "at_least": target.bound,
        "against": target.against,
        "value": value,
        "reached": reached,
    }


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.{1 if ratio >= 10 else 2}f}"
