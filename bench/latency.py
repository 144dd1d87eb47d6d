"""From a node's write to a subscriber's read, at a steady rate that leaves room."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen
from rich.console import Console

from . import harness, hops
from .harness import BenchError, Server
from .rows import Measure, Report, Row, Sample, Target, interleave
from .settings import Settings
from .systems import RELEASED
from .traffic import simulate

NODES = 1024
SETTLE_SECONDS = 0.7

P50, P99, P999 = "p50", "p99", "p99.9"
PROCESSOR = "s per million"


@frozen
class Case:
    """``rate`` events a second over all nodes, of which each sends ``burst`` at once."""

    name: str
    rate: int
    burst: int


BURSTS = Case("bursts of 10", 100_000, 10)
SINGLES = Case("singles", 50_000, 1)
CASES = (BURSTS, SINGLES)


def run(settings: Settings) -> Report:
    """Milliseconds that events take, and processor time that they cost."""
    systems = settings.without("python", "A")  # A does not keep up, and its delays grow
    with harness.servers(systems) as servers:
        rows = interleave(
            settings.repeats,
            "ms",
            {
                (f"{case.name}, {P50}", system): _measure_of(server, settings, case)
                for case in CASES
                for system, server in servers.items()
            },
        )
    return Report(
        "latency",
        f"Latency, {NODES} nodes that say a little, one subscriber to all",
        tuple(other for row in rows for other in _rows(row)),
        (
            Target(f"{BURSTS.name}, {P50}", "compiled", 2, at_most=True),
            Target(f"{BURSTS.name}, {P99}", "compiled", 10, at_most=True),
            *(
                Target(f"{BURSTS.name}, {percent}", "compiled", 0.6, True, _released(percent))
                for percent in (P50, P99, P999)
            ),
            Target(f"{BURSTS.name}, {PROCESSOR}", "compiled", 0.5, True, _released(PROCESSOR)),
            Target(
                f"{SINGLES.name}, {PROCESSOR}", "compiled", 0.4, True, _released(PROCESSOR, SINGLES)
            ),
        ),
        less_is_better=True,
        notes=tuple(map(_note, CASES)),
        about="from the time stamped into an event when it is sent until a subscriber has read it: "
        "what half of the events take at most, 99 and 99.9 of a hundred",
        cases={
            f"{case.name}, {PROCESSOR}": "processor time that all processes of the server take for "
            "a million events delivered, by the kernel's accounts"
            for case in CASES
        },
    )


def _released(figure: str, case: Case = BURSTS) -> tuple[str, str]:
    return f"{case.name}, {figure}", RELEASED


def _note(case: Case) -> str:
    times = case.rate / NODES / case.burst
    return (
        f"{case.name}: {case.rate:,} events/s, evenly spread in time; "
        f"a node sends {case.burst} at once, {times:.1f} times a second"
    )


def _measure_of(server: Server, settings: Settings, case: Case) -> Measure:
    def measure() -> Sample:
        details = at_rate(server, settings.traffic, case, settings.seconds)
        return Sample(details[P50], details)

    return measure


def at_rate(
    server: Server, traffic: Path, case: Case, seconds: float, every: int = 0
) -> dict[str, float]:
    """What is seen when nodes send at the rate of ``case``.

    :param every: measure one event in so many bytes only, which costs the subscriber less.
    :returns: milliseconds by percent, :data:`PROCESSOR`, ``delivered events/s``, ``skipped``
        events, and what each process takes.
    :raises BenchError: if nothing was read.
    """
    duration = SETTLE_SECONDS + seconds
    with (
        harness.subscribers(
            server.ws_port, latency=True, every=every, seconds=duration + 30
        ) as subscriber,
        harness.load(
            server,
            traffic=traffic,
            nodes=NODES,
            rate=case.rate,
            burst=case.burst,
            stamp=True,
            seconds=duration,
        ) as load,
    ):
        seen = harness.observe(server, SETTLE_SECONDS, seconds, load=load, subscriber=subscriber)
        result = subscriber.stop()
    if not result["latency"]:
        raise BenchError(f"{server.system}: no event was read in time to be measured")
    delivered = seen.rate(result["samples"])
    return {
        **{f"p{percent}": value / 1000 for percent, value in result["latency"].items()},
        PROCESSOR: seen.cost(delivered),
        "delivered events/s": delivered,
        "skipped": sum(result["skipped"]),
        **seen.shares,
    }


def _rows(row: Row) -> tuple[Row, ...]:
    """``row``, and further ones of the same measurements, by their other figures."""
    name = row.case.removesuffix(P50)
    return (
        row,
        *(
            Row(
                name + figure,
                row.system,
                unit,
                tuple(Sample(sample.details[figure]) for sample in row.samples),
            )
            for figure, unit in ((P99, "ms"), (P999, "ms"), (PROCESSOR, "s"))
        ),
    )


def main() -> None:
    """Show the hops."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency",
        description="Shows where the milliseconds go between a node and a subscriber. "
        "How long the whole way takes is measured by python -m bench --only latency.",
    )
    parser.add_argument("--hops", action="store_true", required=True, help="measure each hop")
    parser.add_argument("--rate", type=int, default=BURSTS.rate, help="events/s of all nodes")
    parser.add_argument("--burst", type=int, default=BURSTS.burst, help="events a node sends")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="bench-") as temporary:
        traffic = Path(temporary, "traffic")
        simulate().save(traffic)
        hops.show(Console(), traffic, options.seconds, options.rate, options.burst)


if __name__ == "__main__":
    main()
