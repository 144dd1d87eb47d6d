"""A ring that is fed inside the hub's process, to 1, 10, 100 and 500 subscribers to all."""

from __future__ import annotations

import time
from contextlib import ExitStack

from . import harness
from .harness import BenchError, Server
from .progress import Progress, new_progress
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings
from .systems import COMPILED, System

COUNTS = (1, 10, 100, 500)
ONE_BY_ONE = "compiled, --ws-batch 1"
COMPARED = {"A": (1,), "B": (1, 100), ONE_BY_ONE: (1,)}
"""The numbers of subscribers for which these systems are measured; the others are for all."""

SETTLE_SECONDS = 0.3


def run(settings: Settings) -> Report:
    """Events per second that all subscribers together read; none may be missed."""
    with ExitStack() as stack:

        def fed(system: System, **options: int) -> tuple[Server, Progress]:
            progress = stack.enter_context(new_progress())
            return stack.enter_context(harness.feed(system, progress, **options)), progress

        feeds = {system.name: fed(system) for system in settings.fastest if system.feed_command()}
        if "compiled" in feeds:
            feeds[ONE_BY_ONE] = fed(COMPILED, ws_batch=1)
        measures: dict[tuple[str, str], Measure] = {
            (_case(count), system): _measure_of(*feed, count, settings.seconds)
            for count in COUNTS
            for system, feed in feeds.items()
            if count in COMPARED.get(system, COUNTS)
        }
        rows = interleave(settings.repeats, "events/s", measures)
    one, *more = map(_case, COUNTS)
    fewer = [one, *more]
    return Report(
        "ring_to_subscribers",
        "Ring to subscribers, fed inside the hub's process",
        rows,
        (
            Target(one, "compiled", 2_000_000),
            Target(one, "compiled", 10, against=(one, ONE_BY_ONE)),
            *(
                Target(case, "compiled", 0.9, against=(before, "compiled"))
                for before, case in zip(fewer, more, strict=False)
            ),
        ),
        notes=("the figure is what all subscribers together read; they share two cores with it",),
    )


def _case(count: int) -> str:
    return f"{count} subscriber{'s' if count > 1 else ''}"


def _measure_of(server: Server, progress: Progress, count: int, seconds: float) -> Measure:
    def measure() -> Sample:
        with harness.subscribers(
            server.ws_port,
            connections=count,
            progress=progress.path,
            seconds=SETTLE_SECONDS + seconds + 30,
        ) as readers:
            time.sleep(SETTLE_SECONDS)
            watch = harness.Watch.of(server, subscribers=readers)
            start = time.monotonic()
            time.sleep(seconds)
            shares, end = watch.shares(), time.monotonic()
            result = readers.stop()
            progress.value = 0
        if any(result["skipped"]) or result["closed"]:
            raise BenchError(f"{server.system}: subscribers missed events or were closed")
        details = {
            "events a frame": sum(result["events"]) / max(1, result["frames"]),
            **shares,
        }
        return Sample(harness.rate(result["samples"], start, end), details)

    return measure
