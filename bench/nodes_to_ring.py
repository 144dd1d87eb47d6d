"""Nodes flood the server; nobody reads: how many events a second reach the ring."""

from __future__ import annotations

import json
import time

from . import harness
from .harness import BenchError, Server
from .processes import await_true
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings

PROBE_EVENTS = 100_000
"""Events of the first run, which says how many to send in those that count."""

LIMIT = 20.0
"""Seconds after which a run has failed."""

REPEATS = 3


def run(settings: Settings) -> Report:
    """Events per second into the ring, from 64 and from 1,024 nodes."""
    few, many = "64 nodes", "1024 nodes"
    with harness.servers(settings.systems) as servers:
        measures: dict[tuple[str, str], Measure] = {}
        for system, server in servers.items():
            events = _events_in(server, 64, settings)
            measures[few, system] = _measure_of(server, 64, events, settings)
            if system not in ("A", "python"):
                measures[many, system] = _measure_of(server, 1024, events, settings)
        rows = interleave(min(settings.repeats, REPEATS), "events/s", measures)
    return Report(
        "nodes_to_ring",
        "Nodes to ring, flood, load generator on the same cores",
        rows,
        (
            Target(few, "compiled", 15, against=(few, "A")),
            Target(few, "compiled", 5, against=(few, "B")),
            Target(few, "compiled", 1_500_000),
            Target(many, "compiled", 0.85, against=(few, "compiled")),
        ),
        about="events a second from the first one sent until all are in the ring, with nobody who "
        "reads them.",
    )


def _events_in(server: Server, nodes: int, settings: Settings) -> int:
    """About how many events the server takes in the time of one measurement."""
    events = PROBE_EVENTS
    while True:
        rate = _measure_of(server, nodes, events, settings)().figure
        if events >= rate * settings.seconds / 3:
            return int(rate * settings.seconds)
        events *= 4


def _measure_of(server: Server, nodes: int, events: int, settings: Settings) -> Measure:
    """Measures how long it takes until ``events`` are all in the ring."""

    def measure() -> Sample:
        before = server.ring()
        with harness.load(
            server,
            traffic=settings.traffic,
            nodes=nodes,
            events=events,
            seconds=LIMIT,
            linger=LIMIT,
        ) as load:
            watch = harness.Watch.of(server, load=load)
            result = json.loads(load.line())
            goal = before + result["sent"]
            complete = await_true(lambda: server.ring() >= goal, LIMIT, every=0.03)
            seconds = time.monotonic() - result["start"]
            if not complete:
                raise BenchError(f"{server.system}: {goal - server.ring()} events did not arrive")
            return Sample(result["sent"] / seconds, watch.shares())

    return measure
