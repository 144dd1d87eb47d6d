"""What keeping history costs the stream: nodes to one subscriber, without and with a database.

Everything, the databases and the load included, shares the same cores; the store stands back. What
it had to leave out of the raw events is told beside it; counts are never left out.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from telemetry_twisted.store.testing import PostgresqlMissing, ThrowawayPostgresql

from . import harness
from .harness import Server
from .processes import HOST, await_true
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings
from .stream import measure_of
from .systems import COMPILED
from .traffic import NODES

WITHOUT, SQLITE, POSTGRESQL = "no history", "SQLite", "PostgreSQL"
SHARE = 0.9
"""What has to be left of the stream's speed."""

SETTLE_SECONDS = 20.0
"""How long the store may take to write what waits."""


def run(settings: Settings) -> Report:
    """Events per second to the subscriber, as fast as it goes without loss."""
    notes = []
    with ExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(prefix="bench-history-"))
        databases: dict[str, str | None] = {
            WITHOUT: None,
            SQLITE: f"sqlite:{Path(directory, 'telemetry.sqlite')}",
        }
        try:
            postgresql = ThrowawayPostgresql()
        except PostgresqlMissing as missing:
            notes.append(str(missing))
        else:
            stack.callback(postgresql.remove)
            postgresql.start()
            databases[POSTGRESQL] = postgresql.url()
        measures: dict[tuple[str, str], Measure] = {}
        for case, database in databases.items():
            server = stack.enter_context(harness.server(COMPILED, database))
            stream = measure_of(server, settings, NODES)
            measures[case, "compiled"] = _keeping(server, stream) if database else stream
        rows = interleave(settings.repeats, "events/s", measures)
    return Report(
        "with_history",
        "Nodes to one subscriber, with history kept meanwhile",
        rows,
        tuple(
            Target(case, "compiled", SHARE, against=(WITHOUT, "compiled"))
            for case in (SQLITE, POSTGRESQL)
        ),
        notes=tuple(notes),
        about=f"events a second that one subscriber reads of {NODES} nodes that send as fast as it "
        "reads them, with nothing lost, while the database of this name is written.",
    )


def _keeping(server: Server, stream: Measure) -> Measure:
    """The same, with the share of raw events that were kept beside it."""

    def measure() -> Sample:
        before = _raw_events(server)
        sample = stream()
        await_true(lambda: _waiting(server) == 0, SETTLE_SECONDS)
        seen, kept = (after - past for after, past in zip(_raw_events(server), before, strict=True))
        return Sample(sample.figure, {**sample.details, "raw share kept": kept / max(seen, 1)})

    return measure


def _live(server: Server) -> dict[str, dict[str, int]]:
    with urlopen(f"http://{HOST}:{server.ws_port}/api/metrics/live") as answer:
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
