"""Nodes to one subscriber to all events, as fast as it goes without loss."""

from __future__ import annotations

import json
import time

from . import harness
from .harness import BenchError, Server
from .processes import await_true
from .progress import new_progress
from .rows import Measure, Report, Row, Sample, Target, interleave
from .settings import Settings

NODES = 1024
CASE = "1024 nodes"
SUSTAINED = "1024 nodes, sustained"

AHEAD = 50_000
"""Events on the way, at most: the load stops there until the subscriber has read more."""

BURST = 50
SETTLE_SECONDS = 0.7


def run(settings: Settings) -> Report:
    """Events per second that the subscriber reads; none may be missed."""
    with harness.servers(settings.fastest) as servers:
        measures: dict[tuple[str, str], Measure] = {
            (CASE, system): measure_of(server, settings, settings.seconds)
            for system, server in servers.items()
        }
        rows = interleave(settings.repeats, "events/s", measures)
        if "compiled" in servers:
            sample = measure_of(
                servers["compiled"], settings, settings.long_seconds, to_the_end=True
            )()
            rows += (Row(SUSTAINED, "compiled", "events/s", (sample,)),)
    return Report(
        "nodes_to_subscriber",
        "Nodes to one subscriber to all, without loss",
        rows,
        (
            Target(SUSTAINED, "compiled", 600_000),
            Target(CASE, "compiled", 10, against=(CASE, "A")),
            Target(CASE, "compiled", 4, against=(CASE, "B")),
        ),
    )


def measure_of(
    server: Server, settings: Settings, seconds: float, stalled: int = 0, to_the_end: bool = False
) -> Measure:
    """Measures the rate to one subscriber, beside ``stalled`` ones that never read.

    It may miss nothing meanwhile; ``to_the_end`` also waits until it has read all that was sent.
    """

    def measure() -> Sample:
        with (
            new_progress() as progress,
            harness.subscribers(
                server.ws_port, progress=progress.path, stalled=stalled, seconds=seconds + 30
            ) as subscriber,
            harness.load(
                server,
                traffic=settings.traffic,
                nodes=NODES,
                ahead=AHEAD,
                burst=BURST,
                progress=progress.path,
                seconds=SETTLE_SECONDS + seconds,
                linger=20,
            ) as load,
        ):
            time.sleep(SETTLE_SECONDS)
            watch = harness.Watch.of(server, load=load, subscriber=subscriber)
            start = time.monotonic()
            time.sleep(seconds)
            end = time.monotonic()
            shares = watch.shares()
            sent = json.loads(load.line())["sent"]
            complete = not to_the_end or await_true(lambda: progress.value > sent, 10)
            result = subscriber.stop()
            read, skipped = sum(result["events"]), sum(result["skipped"])
            if skipped or not complete:
                raise BenchError(f"{server.system}: {sent} sent, {read} read, {skipped} skipped")
            return Sample(harness.rate(result["samples"], start, end), shares)

    return measure
