"""What keeping history costs the stream: nodes to one subscriber, with and without a store.

Everything, the databases and the load generator included, shares the same cores; the store stands
back. What it had to leave out of the raw events is told beside it; counts are never left out.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from telemetry_twisted.store.testing import PostgresqlMissing, ThrowawayPostgresql

from . import harness
from .harness import BenchError, Server
from .nodes_to_subscriber import CASE, measure_of
from .processes import await_true
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings
from .systems import COMPILED

NONE = "without"


def run(settings: Settings) -> Report:
    """Events per second that the subscriber reads; none may be missed."""
    with ExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(prefix="bench-store-"))
        try:
            postgresql = ThrowawayPostgresql()
        except PostgresqlMissing as missing:
            raise BenchError(str(missing)) from missing
        stack.callback(postgresql.remove)
        postgresql.start()
        databases = {
            NONE: None,
            "sqlite": f"sqlite:{Path(directory, 'telemetry.sqlite')}",
            "postgresql": postgresql.create_database("bench"),
        }
        measures: dict[tuple[str, str], Measure] = {}
        for name, database in databases.items():
            server = stack.enter_context(harness.server(COMPILED, database))
            measures[CASE, name] = _measure(server, settings, keeps=database is not None)
        rows = interleave(settings.repeats, "events/s", measures)
    return Report(
        "store_cost",
        "Nodes to one subscriber to all, without loss, while history is kept",
        rows,
        tuple(Target(CASE, name, 0.9, against=(CASE, NONE)) for name in databases if name != NONE),
    )


def _measure(server: Server, settings: Settings, keeps: bool) -> Measure:
    stream = measure_of(server, settings, settings.seconds)

    def measure() -> Sample:
        before = _raw_events(server) if keeps else (0, 0)
        sample = stream()
        if not keeps:
            return sample
        await_true(lambda: _waiting(server) == 0, 20)
        seen, kept = (after - past for after, past in zip(_raw_events(server), before, strict=True))
        return Sample(sample.figure, {**sample.details, "raw share kept": kept / max(seen, 1)})

    return measure


def _live(server: Server) -> dict[str, dict[str, int]]:
    with urlopen(f"http://{harness.HOST}:{server.ws_port}/api/metrics/live") as answer:
        live: dict[str, dict[str, int]] = json.load(answer)
    return live


def _waiting(server: Server) -> int:
    return _live(server)["store"].get("queue_events", 0)


def _raw_events(server: Server) -> tuple[int, int]:
    """Events that came, and how many of them are in the database."""
    live = _live(server)
    return (
        live["broadcaster"]["total_events_broadcast"],
        live["store"].get("raw_events_written", 0),
    )
