"""A whole server that keeps history: what it stores is what the simulator sent, to the event."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psycopg2
import pytest
from attrs import define
from pytest_twisted import ensureDeferred

from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.reports import nearest_rank

HOST = "127.0.0.1"
DEADLINE = 60.0
_PORT = re.compile(r"--(telemetry|api)-endpoint: .*:(\d+)$", re.MULTILINE)
_NAMES = {event.discriminator: event.name for event in TABLE.events.values()}

pytestmark = pytest.mark.end_to_end


def await_true(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.05)


@define
class Server:
    """A running server: its process, where it listens, and what it has logged."""

    process: subprocess.Popen[bytes]
    log: Path
    nodes_port: int = 0
    api_port: int = 0

    def get(self, path: str) -> Any:
        """The JSON at ``path``."""
        with urlopen(f"http://{HOST}:{self.api_port}{path}", timeout=10) as answer:
            return json.load(answer)

    def live(self) -> Any:
        """Its figures."""
        return self.get("/api/metrics/live")

    def events(self) -> int:
        """Events that it has received."""
        return int(self.live()["broadcaster"]["total_events_broadcast"])

    def await_ports(self) -> None:
        """Wait until it listens."""

        def found() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            ports = dict(_PORT.findall(self.log.read_text()))
            self.nodes_port = int(ports.get("telemetry", 0))
            self.api_port = int(ports.get("api", 0))
            return len(ports) == 2

        await_true(found, "the server listens")

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.send_signal(signal.SIGTERM)
        # twistd ends by the signal that it was sent.
        assert self.process.wait(DEADLINE) in (0, -signal.SIGTERM), self.log.read_text()

    def kill(self) -> None:
        """End it and its children without a word."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)


@contextmanager
def running(directory: Path, database_url: str, *options: str) -> Iterator[Server]:
    """A server in processes of its own."""
    log = directory / "server.log"
    command = [
        str(Path(sys.executable).with_name("twistd")),
        *("-n", "--pidfile=", "telemetry", "--ingestion-procs=2", f"--database={database_url}"),
        *(f"--telemetry-endpoint=tcp:0:interface={HOST}", f"--api-endpoint=tcp:0:interface={HOST}"),
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=directory, stdout=output, stderr=output, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
    server = Server(process, log)
    try:
        server.await_ports()
        yield server
    finally:
        server.kill()


def simulator(server: Server, *options: str) -> subprocess.Popen[bytes]:
    """A simulated network that sends to ``server``, and then prints what that was."""
    return subprocess.Popen(
        [sys.executable, "-m", "telemetry_twisted.simulator", "--json", *options,
         f"{HOST}:{server.nodes_port}"],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def counts_of(database: Database, table: str) -> Counter[int]:
    rows = await database.query(f"SELECT counts FROM {table}")
    return Counter(add_up(packed for (packed,) in rows))


@ensureDeferred
async def test_history_is_what_was_sent(
    database_url: str, make_database: Callable[[str], Database], tmp_path: Path
) -> None:
    with running(tmp_path, database_url, "--retain-events=1h") as server:
        await_true(lambda: server.live()["store"]["state"] == "ok", "the store is there")
        sending = simulator(
            server, "--nodes=64", "--seed=7", "--rate=40", "--profile=flood", "--duration=30"
        )
        output, _ = sending.communicate(timeout=DEADLINE)
        sent = json.loads(output)
        assert sent["connections"] == {"connected": 64, "refused": 0, "lost": 0}
        await_true(
            lambda: server.events() == sent["events"] and server.live()["nodes"] == 0,
            "all has arrived",
        )
        server.stop()
    database = make_database(database_url)

    for table in ("totals_10s", "totals_1m", "totals_1h"):
        stored = await counts_of(database, table)
        assert {_NAMES[kind]: count for kind, count in stored.items()} == sent["counts"]
    by_node = await database.query(
        "SELECT node_id, CAST(sum(events) AS BIGINT) FROM counts_1h c "
        "JOIN nodes n ON n.node = c.node GROUP BY node_id"
    )
    assert dict(by_node) == sent["node_events"]

    for table in ("failures_1m", "failures_1h", "failures_1d"):
        stored_failures = [
            {"event_type": _NAMES[kind], "reason": reason, "count": count}
            for kind, reason, count in await database.query(
                f"SELECT type, reason, CAST(sum(failures) AS BIGINT) FROM {table} "
                "GROUP BY type, reason"
            )
        ]

        def order(row: dict[str, Any]) -> tuple[str, str]:
            return row["event_type"], row["reason"]

        assert sorted(stored_failures, key=order) == sorted(sent["failures"], key=order)

    spreads = {
        (slot, kind): spread
        for slot, kind, *spread in await database.query(
            "SELECT slot, type, nodes, first, p50, p95, p99, last, off_clock FROM slots"
        )
    }
    expected = {}
    for slot, reported in sent["slots"].items():
        for kind, name in ((11, "best"), (12, "finalized")):
            times = reported[name]
            if times:
                delays = [at - times[0] for at in times]
                ranks = [nearest_rank(delays, share) for share in (0.5, 0.95, 0.99, 1)]
                expected[int(slot), kind] = [len(times), COMMON_ERA + times[0], *ranks, 0]
    assert spreads == expected

    kept = await database.query("SELECT CAST(sum(events) AS BIGINT) FROM raw_batches")
    shares = await database.query(
        "SELECT CAST(sum(seen) AS BIGINT), CAST(sum(offered - dropped) AS BIGINT) FROM raw_share"
    )
    assert shares == [(sent["events"], kept[0][0])]
    assert kept[0][0] > 0
    assert await database.query("SELECT count(*) FROM runs WHERE ended IS NOT NULL") == [(1,)]
    connections = "SELECT count(*) FROM connections WHERE ended IS NOT NULL"
    assert await database.query(connections) == [(64,)]


@ensureDeferred
async def test_kill_loses_at_most_five_seconds_of_counts(
    database_url: str, make_database: Callable[[str], Database], tmp_path: Path
) -> None:
    with running(tmp_path, database_url) as server:
        sending = simulator(server, "--nodes=16", "--rate=50", "--reconnect")
        try:
            await_true(lambda: server.live()["store"]["state"] == "ok", "it writes")
            await_true(lambda: server.live()["nodes"] == 16, "all nodes are there")
            await_true(server.events, "they send")
            before = server.events()
            time.sleep(5)
            server.kill()
        finally:
            sending.kill()
            sending.wait()
            assert sending.stdout is not None
            sending.stdout.close()
    database = make_database(database_url)
    stored = await counts_of(database, "totals_10s")
    assert before > 0
    assert sum(stored.values()) >= before


def test_password_is_shown_nowhere(postgresql_url: str, tmp_path: Path) -> None:
    password = "geheim-73"
    role = re.sub(r"//telemetry:[^@]*@", f"//keeper:{password}@", postgresql_url)
    with psycopg2.connect(postgresql_url) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD %s", (password,))
    admin.close()
    with running(tmp_path, role) as server:
        await_true(lambda: server.live()["store"]["state"] == "ok", "history is written")
        with psycopg2.connect(postgresql_url) as admin, admin.cursor() as cursor:
            cursor.execute("ALTER ROLE keeper PASSWORD 'another'")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper'"
            )
        admin.close()

        def cannot_get_in() -> bool:
            return "password authentication failed" in str(server.live()["store"]["last_error"])

        await_true(cannot_get_in, "the store says that it cannot get in")
        health = json.dumps(server.get("/api/health/detailed"))
        shown = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
        for child in shown.split():
            assert password not in Path(f"/proc/{child}/cmdline").read_text()
        server.stop()
    assert password not in health
    assert "password authentication failed" in health
    assert password not in server.log.read_text()


def test_no_history_no_routes(tmp_path: Path) -> None:
    with running(tmp_path, "sqlite:telemetry.sqlite", "--no-database") as server:
        await_true(lambda: server.get("/api/health")["status"] == "ok", "the server is well")
        for path in ("/api/nodes", "/metrics", "/api/openapi.json"):
            with pytest.raises(OSError, match="404"):
                server.get(path)
        server.stop()
    assert not (tmp_path / "telemetry.sqlite").exists()
