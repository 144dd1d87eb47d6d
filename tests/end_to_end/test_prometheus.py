"""A real Prometheus scrapes a server of full size, and has what each node sent."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from telemetry_twisted.jip3.codec import FAILURE_TYPES
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.simulator.account import Account
from tests.end_to_end.conftest import DEADLINE, HOST, await_true
from tests.end_to_end.program import find_program, free_port, running
from tests.end_to_end.truth import NODES, PATIENCE, scene

CONFIGURATION = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: telemetry
    static_configs:
      - targets: ["{server}"]
  - job_name: prometheus
    static_configs:
      - targets: ["{itself}"]
"""
REFUSED = (
    "prometheus_target_scrapes_sample_duplicate_timestamp_total",
    "prometheus_target_scrapes_sample_out_of_order_total",
    "prometheus_target_scrapes_sample_out_of_bounds_total",
    "prometheus_target_scrapes_exceeded_sample_limit_total",
)
"""What Prometheus counts of samples that it does not take."""

FAILURES = {TABLE.events[kind].name for kind in FAILURE_TYPES}


def told(port: int, query: str) -> list[tuple[dict[str, str], float]]:
    """What a Prometheus answers to a query: labels and values; nothing as long as it starts."""
    client = HTTPConnection(HOST, port, timeout=DEADLINE)
    try:
        client.request("GET", f"/api/v1/query?query={quote(query)}")
        answer: Any = json.loads(client.getresponse().read())
        rows = answer["data"]["result"]
        return [(row["metric"], float(row["value"][1])) for row in rows]
    except (ValueError, KeyError):
        return []
    finally:
        client.close()


def by_node(port: int, name: str) -> Counter[str]:
    """The series of a metric that are not zero, by node."""
    return +Counter({of["node"]: round(value * 1e6) for of, value in told(port, name)})


def test_a_prometheus_has_of_each_node_what_it_sent(tmp_path: Path) -> None:
    program = find_program("prometheus", "prometheus")
    port = free_port()
    with scene(tmp_path / "server", f"sqlite:{tmp_path}/history.sqlite") as at:
        (tmp_path / "prometheus.yml").write_text(
            CONFIGURATION.format(server=f"{HOST}:{at.server.ports['api']}", itself=f"{HOST}:{port}")
        )
        command = [
            program,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={HOST}:{port}",
        ]
        with running(command, tmp_path, port):
            account = tmp_path / "account.json"
            meant = f"--account={account}"
            # Each node comes twice, and the store process is killed in between.
            sent = at.simulate("--times=2", "--events=80", "--mistakes=0", meant, rate=20)
            at.await_events(NODES * 60)
            await_true(lambda: len(told(port, "telemetry_node_best_slot")) > NODES // 2, "slots")
            at.kill(at.await_pid("store"))
            expected = sent.sent()
            await_true(lambda: at.get("/api/metrics/live")["nodes"] == 0, "all left", PATIENCE)

            events: Counter[str] = Counter()
            failures: Counter[str] = Counter()
            for (node_id, name), count in expected.counts.items():
                events[node_id] += count * 1_000_000
                failures[node_id] += count * 1_000_000 * (name in FAILURES)
            with suppress(AssertionError):  # what differs is said better below
                await_true(
                    lambda: (
                        by_node(port, "telemetry_node_events_total") == events
                        and not by_node(port, "telemetry_node_connected")
                    ),
                    "Prometheus has heard of all of it",
                )
            assert by_node(port, "telemetry_node_events_total") == events
            assert by_node(port, "telemetry_node_failures_total") == +failures
            imports, took = imported(Account.load(account))
            assert len(imports) > NODES // 2
            assert by_node(port, "telemetry_node_import_seconds_count") == imports
            assert by_node(port, "telemetry_node_import_seconds_sum") == took
            # It has heard of all nodes, at every scrape, and nothing has ever become less.
            assert len(told(port, "telemetry_node_connected")) == NODES
            assert told(port, 'min_over_time(up{job="telemetry"}[1h])')[0][1] == 1
            for name in ("events_total", "failures_total", "import_seconds_sum"):
                resets = told(port, f"sum(resets(telemetry_node_{name}[1h]))")
                assert resets[0][1] == 0
            for name in REFUSED:
                assert [value for _, value in told(port, name)] == [0]


def imported(account: Account) -> tuple[Counter[str], Counter[str]]:
    """Millions of imports of each node, and how long they took in microseconds."""
    imports: Counter[str] = Counter()
    took: Counter[str] = Counter()
    for connection in account.connections:
        node_id = account.node_id(connection["node"])
        for name, _, durations in connection["latencies"]:
            if name == "import":
                for duration, times in durations:
                    imports[node_id] += times * 1_000_000
                    took[node_id] += duration * times
    return imports, took
