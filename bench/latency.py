"""From a node's write to a subscriber's read, at a steady rate that leaves room."""

from __future__ import annotations

import time

from . import harness
from .harness import BenchError, Server
from .rows import Measure, Report, Row, Sample, Target, interleave
from .settings import Settings

NODES = 1024
RATE = 100_000
BURST = 10
SETTLE_SECONDS = 0.7

P50, P99 = "p50", "p99"


def run(settings: Settings) -> Report:
    """Milliseconds from the time stamped into an event when it is sent."""
    systems = settings.fastest
    with harness.servers(systems) as servers:
        rows = interleave(
            settings.repeats,
            "ms",
            {(P50, system): _measure_of(server, settings) for system, server in servers.items()},
        )
    return Report(
        "latency",
        f"Latency, {NODES} nodes, {RATE:,} events/s, one subscriber to all",
        (*rows, *map(_p99, rows)),
        (
            Target(P50, "compiled", 2, at_most=True),
            Target(P99, "compiled", 10, at_most=True),
        ),
        less_is_better=True,
        notes=(f"a node sends {BURST} events at once, {RATE // NODES // BURST} times a second",),
    )


def _measure_of(server: Server, settings: Settings) -> Measure:
    def measure() -> Sample:
        seconds = settings.seconds
        duration = SETTLE_SECONDS + seconds
        with (
            harness.subscribers(server.ws_port, latency=True, seconds=duration + 30) as subscriber,
            harness.load(
                server,
                traffic=settings.traffic,
                nodes=NODES,
                rate=RATE,
                burst=BURST,
                stamp=True,
                seconds=duration,
            ) as load,
        ):
            time.sleep(SETTLE_SECONDS)
            watch = harness.Watch.of(server, load=load, subscriber=subscriber)
            start = time.monotonic()
            time.sleep(seconds)
            shares, end = watch.shares(), time.monotonic()
            result = subscriber.stop()
        if not result["latency"]:
            raise BenchError(f"{server.system}: no event was read in time to be measured")
        milliseconds = {f"p{percent}": value / 1000 for percent, value in result["latency"].items()}
        delivered = harness.rate(result["samples"], start, end)
        details = {**milliseconds, "delivered events/s": delivered, **shares}
        return Sample(milliseconds[P50], details)

    return measure


def _p99(row: Row) -> Row:
    samples = [Sample(sample.details[P99], sample.details) for sample in row.samples]
    return Row(P99, row.system, row.unit, tuple(samples))
