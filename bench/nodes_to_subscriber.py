"""Nodes to one subscriber to all events, as fast as it goes without loss."""

from __future__ import annotations

from . import harness
from .rows import Measure, Report, Target, interleave
from .settings import Settings
from .stream import AHEAD, BURST, measure_of
from .systems import RELEASED

STALLED = 50
FEW, MANY = "64 nodes", "1024 nodes"
BESIDE = f"1024 nodes, beside {STALLED} stalled subscribers"


def run(settings: Settings) -> Report:
    """Events per second that the subscriber reads; none may be missed."""
    with harness.servers(settings.fastest) as servers:
        measures: dict[tuple[str, str], Measure] = {}
        for system, server in servers.items():
            # What waits in A at the end of a run would take it longer than the run did.
            to_the_end = system != "A"
            if system != "A":
                measures[FEW, system] = measure_of(server, settings, 64, to_the_end=True)
            measures[MANY, system] = measure_of(server, settings, 1024, to_the_end=to_the_end)
            if system == "compiled":
                measures[BESIDE, system] = measure_of(
                    server, settings, 1024, stalled=STALLED, to_the_end=True
                )
        rows = interleave(settings.repeats, "events/s", measures)
    return Report(
        "nodes_to_subscriber",
        "Nodes to one subscriber to all, without loss",
        rows,
        (
            Target(MANY, "compiled", 1.5, against=(MANY, RELEASED)),
            Target(MANY, "compiled", 10, against=(MANY, "A")),
            Target(MANY, "compiled", 4, against=(MANY, "B")),
            Target(BESIDE, "compiled", 0.9, against=(MANY, "compiled")),
            Target(MANY, "compiled", 600_000),
        ),
        notes=(
            f"nodes send {BURST} events at once and are at most {AHEAD:,} ahead of the subscriber",
        ),
        about="events a second that one subscriber reads while nodes send as fast as it reads "
        "them, with nothing lost.",
        cases={BESIDE: f"the same beside {STALLED} subscribers that never read."},
    )
