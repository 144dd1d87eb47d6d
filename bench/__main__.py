"""``python -m bench``: measure everything, print tables, keep the results."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from . import machine, output
from .processes import BenchError, raise_file_limit
from .revision import revision
from .rows import Report
from .settings import Settings
from .systems import EXAMPLE, SYSTEMS, System, other
from .traffic import simulate

BENCHMARKS = (
    "codec_mix",
    "codec_each",
    "nodes_to_ring",
    "nodes_to_subscriber",
    "nodes_to_subscribers",
    "ring_to_subscribers",
    "latency",
    "most_in_time",
    "node_channels",
    "with_history",
    "memory",
    "idle",
    "cost_by_nodes",
)
TOLD = ("store_rows", "accept", "reads", "link")
"""Benchmarks of what was decided by them; they are run only by name."""

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the benchmarks that the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures the server against two collectors written with today's libraries. "
        "All of it takes less than ten minutes; nothing else should run meanwhile.",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=(*BENCHMARKS, *TOLD),
        help="run this one; may be repeated",
    )
    parser.add_argument(
        "--quick", action="store_true", help="measure once and shortly, to see that all works"
    )
    parser.add_argument(
        "--results", type=Path, help="where to write; bench/results, or nowhere with --quick"
    )
    parser.add_argument(
        "--against",
        metavar="REVISION",
        help="measure ours as it was at this revision too; it is installed into the user's cache",
    )
    parser.add_argument(
        "--other",
        metavar="COMMAND",
        type=_other,
        help=f"measure a rival too, started as {EXAMPLE!r}; bench/README.md says what it must do",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console(width=None if sys.stdout.isatty() else 160)
    directory = options.results or (None if options.quick else RESULTS)
    here = machine.describe()
    output.show_machine(console, here)
    systems = SYSTEMS
    try:
        if options.against:
            systems += (revision(options.against, console.print),)
    except BenchError as error:
        parser.error(f"--against {options.against}: {error}")
    if options.other:
        systems += (options.other,)
    raise_file_limit()
    start = time.monotonic()
    with TemporaryDirectory(prefix="bench-") as temporary:
        traffic = Path(temporary, "traffic")
        simulate().save(traffic)
        settings = (
            Settings(1, 0.5, 2.0, systems, traffic)
            if options.quick
            else Settings(5, 1.0, 30.0, systems, traffic)
        )
        reports = []
        failed = []
        for name in options.only or BENCHMARKS:
            began = time.monotonic()
            try:
                made: Report | tuple[Report, ...] = import_module(f"bench.{name}").run(settings)
            except BenchError as error:
                console.print(f"[red]{name} failed:[/] {error}\n", highlight=False)
                failed.append(name)
                continue
            for report in made if isinstance(made, tuple) else (made,):
                output.show(console, report, systems)
                if directory:
                    output.save(directory, report, here, systems)
                reports.append(report)
            console.print(f"  {name} took {time.monotonic() - began:.0f} s\n", highlight=False)
    _summarize(console, reports, systems)
    console.print(f"all took {time.monotonic() - start:.0f} s", highlight=False)
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/]")
    return 1 if failed else 0


def _other(command: str) -> System:
    try:
        return other(command)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _summarize(console: Console, reports: list[Report], systems: Sequence[System]) -> None:
    console.print("[bold]What had to be reached[/]")
    for report in reports:
        outcomes = [(target, report.reached(target)) for target in report.targets]
        missed = [target for target, outcome in outcomes if outcome and not outcome[1]]
        measured = sum(outcome is not None for _, outcome in outcomes)
        console.print(
            f"  {report.title}: {measured - len(missed)} of {measured} reached", highlight=False
        )
        for target in missed:
            console.print(f"    {output.target_line(report, target, systems)}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
