"""The stream to one subscriber without history, and with it in each of the databases."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from telemetry_twisted.store.testing import PostgresqlMissing, ThrowawayPostgresql

from . import harness
from .nodes_to_subscriber import measure_of
from .rows import Measure, Report, Target, interleave
from .settings import Settings
from .systems import COMPILED

WITHOUT, SQLITE, POSTGRESQL = "no history", "SQLite", "PostgreSQL"
SHARE = 0.9
"""What has to be left of the stream's speed."""


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
            measures[case, "compiled"] = measure_of(server, settings, settings.seconds)
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
    )
