"""Nodes to many subscribers to all events, as fast as the slowest reads."""

from __future__ import annotations

from . import harness
from .rows import Measure, Report, Target, interleave
from .settings import Settings
from .stream import AHEAD, measure_of
from .systems import RELEASED

NODES = 1024
COUNTS = (10, 100, 500)
COMPARED = {"B": (100,)}
"""The numbers of subscribers for which these systems are measured; the others are for all."""


def run(settings: Settings) -> Report:
    """Events per second that all subscribers together read; none may be missed."""
    with harness.servers(settings.without("python", "A")) as servers:
        measures: dict[tuple[str, str], Measure] = {
            (_case(count), system): measure_of(server, settings, NODES, count)
            for count in COUNTS
            for system, server in servers.items()
            if count in COMPARED.get(system, COUNTS)
        }
        rows = interleave(settings.repeats, "events/s", measures)
    ten, hundred, most = map(_case, COUNTS)
    return Report(
        "nodes_to_subscribers",
        f"{NODES} nodes to many subscribers to all, without loss",
        rows,
        (
            Target(hundred, "compiled", 1.5, against=(hundred, RELEASED)),
            Target(most, "compiled", 1.5, against=(most, RELEASED)),
            Target(hundred, "compiled", 1, against=(ten, "compiled")),
            Target(most, "compiled", 1, against=(hundred, "compiled")),
        ),
        notes=(f"nodes are at most {AHEAD:,} events ahead of the slowest subscriber",),
        about="events a second that all subscribers together read, of which each gets all events "
        f"of {NODES} nodes, with nothing lost; all share the cores.",
    )


def _case(count: int) -> str:
    return f"{count} subscribers"
