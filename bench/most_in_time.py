"""The most events a second that a thousand nodes get to a subscriber while they are still news."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from . import harness
from .harness import BenchError, Server
from .latency import BURSTS, NODES, P99, Case, at_rate
from .rows import Report, Row, Sample, Target
from .settings import Settings
from .systems import RELEASED

MILLISECONDS = 10.0
"""What 99 of 100 events may take."""

FIRST_RATE = 200_000

BISECTIONS = 3
"""The rate is found to 2 to the power of 1/8: nine percent."""

LONG_STEPS = 0.94
"""How much less is tried when a rate that was good for a second is not for long."""

LONG_TRIES = 3

EVERY_BYTES = 4096
"""Events are measured that far apart: measuring each would be what limits."""

CASE = f"{NODES} nodes"


def run(settings: Settings) -> Report:
    """Events per second, for ``long_seconds``."""
    rows = []
    for system in settings.without("A", "B", "python"):
        with harness.server(system) as server:
            sample = _most(server, settings)
            rows.append(Row(CASE, system.name, "events/s", (sample,)))
    return Report(
        "most_in_time",
        f"The most events/s for {settings.long_seconds:.0f} s with p99 ≤ {MILLISECONDS:.0f} ms",
        tuple(rows),
        (Target(CASE, "compiled", 2, against=(CASE, RELEASED)),),
        notes=("the rate is searched for in steps of a second, and then kept up",),
        about=f"the most events/s that {NODES} nodes, in bursts of {BURSTS.burst}, get to one "
        "subscriber so that 99 of 100 have been read within so long, and none is missed",
    )


def _most(server: Server, settings: Settings) -> Sample:
    """The rate that is kept up for long, and what was seen meanwhile."""
    traffic = settings.traffic
    good, bad = 0, FIRST_RATE
    seconds = settings.seconds
    while _step(server, traffic, bad, seconds) is not None:
        good, bad = bad, bad * 2
    good = good or FIRST_RATE // 4
    for _ in range(BISECTIONS):
        between = round((good * bad) ** 0.5)
        if _step(server, traffic, between, seconds) is None:
            bad = between
        else:
            good = between
    for tries in range(LONG_TRIES):
        rate = round(good * LONG_STEPS**tries)
        seen = _step(server, traffic, rate, settings.long_seconds)
        if seen is not None:
            return Sample(seen["delivered events/s"], seen)
    raise BenchError(f"{server.system} does not keep up {rate} events/s, as it did for a second")


def _step(server: Server, traffic: Path, rate: int, seconds: float) -> dict[str, float] | None:
    """What is seen at a rate, or None if that is too much."""
    seen = at_rate(server, traffic, _at(rate), seconds, EVERY_BYTES)
    kept_up = seen["delivered events/s"] >= 0.97 * rate and not seen["skipped"]
    return seen if kept_up and seen[P99] <= MILLISECONDS else None


def _at(rate: int) -> Case:
    return evolve(BURSTS, rate=rate)
