"""One subscriber that reads beside fifty that do not."""

from __future__ import annotations

from . import harness
from .nodes_to_subscriber import measure_of
from .rows import Measure, Report, Target, interleave
from .settings import Settings

STALLED = 50
ALONE, BESIDE = "alone", f"beside {STALLED} stalled"


def run(settings: Settings) -> Report:
    """Events per second to the one that reads, as fast as it goes without loss."""
    measures: dict[tuple[str, str], Measure] = {}
    with harness.servers(settings.without("python", "A")) as servers:
        for system, server in servers.items():
            measures[ALONE, system] = measure_of(server, settings, settings.seconds)
            measures[BESIDE, system] = measure_of(
                server, settings, settings.seconds, stalled=STALLED
            )
        rows = interleave(settings.repeats, "events/s", measures)
    return Report(
        "stalled",
        f"One subscriber that reads, alone and beside {STALLED} that do not",
        rows,
        (Target(BESIDE, "compiled", 0.9, against=(ALONE, "compiled")),),
    )
