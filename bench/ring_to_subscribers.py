"""A ring that is fed inside the hub's process, to 1, 10, 100, 500 and 1,000 subscribers to all."""

from __future__ import annotations

from contextlib import ExitStack

from . import harness
from .harness import BenchError, Server
from .progress import Progress, new_progress
from .rows import Measure, Report, Row, Sample, Target, interleave
from .settings import Settings
from .systems import COMPILED, System

COUNTS = (1, 10, 100, 500, 1000)
ONE_BY_ONE = "compiled, --ws-batch 1"
COMPARED = {"A": (1,), "B": (1, 100), ONE_BY_ONE: (1,)}
"""The numbers of subscribers for which these systems are measured; the others are for all."""

SETTLE_SECONDS = 0.3
REPEATS = 3


COST = "cost, µs"
FLAT = 1.2
"""How much more an event may cost with many subscribers than with one."""


def run(settings: Settings) -> tuple[Report, Report]:
    """Events per second that all subscribers together read, none may be missed; and their cost."""
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
        rows = interleave(min(settings.repeats, REPEATS), "events/s", measures)
    one, *more = map(_case, COUNTS)
    fewer = [one, *more]
    costs = tuple(_cost(row) for row in rows if row.system not in ("A", "B", ONE_BY_ONE))
    speed = Report(
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
        about="events a second that all subscribers together read, as fast as they do, with "
        "nothing lost; they share the cores with the hub.",
    )
    cost = Report(
        "cost_by_subscribers",
        "What the delivery of an event costs as subscribers become more",
        costs,
        tuple(
            Target(case, "compiled", FLAT, at_most=True, against=(one, "compiled")) for case in more
        ),
        less_is_better=True,
        about="processor time that the hub takes for an event that one of the subscribers reads, "
        "as fast as all of them do.",
        axis="subscribers",
    )
    return speed, cost


def _cost(row: Row) -> Row:
    samples = tuple(Sample(sample.details[COST]) for sample in row.samples)
    return Row(row.case, row.system, "µs/event", samples)


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
            seen = harness.observe(server, SETTLE_SECONDS, seconds, subscribers=readers)
            result = readers.stop()
            progress.value = 0
        if any(result["skipped"]) or result["closed"]:
            raise BenchError(f"{server.system}: subscribers missed events or were closed")
        rate = seen.rate(result["samples"])
        details = {
            COST: seen.cost(rate),
            "events a frame": sum(result["events"]) / max(1, result["frames"]),
            **seen.shares,
        }
        return Sample(rate, details)

    return measure
