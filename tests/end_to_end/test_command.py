"""The command line: what runs the server, as it is typed, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import unix_connect

if TYPE_CHECKING:
    from tests.end_to_end.conftest import StartProcess

SCRIPTS = Path(sys.executable).parent
ENDPOINTS = [
    *("--telemetry-endpoint", "tcp:0:interface=127.0.0.1"),
    *("--api-endpoint", "tcp:0:interface=127.0.0.1"),
]
OPTIONS = ["--no-database", "--ingestion-procs", "1", *ENDPOINTS]


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``twistd -n`` with ``arguments``, which must make it end."""
    return subprocess.run(
        [str(SCRIPTS / "twistd"), "-n", "--pidfile=", *arguments],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=40,
        check=False,
    )


@pytest.mark.parametrize("option", ["--telemetry-endpoint", "--api-endpoint"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        endpoint = f"tcp:{port}:interface=127.0.0.1"
        done = run(tmp_path, "telemetry", *OPTIONS, option, endpoint)
    assert done.returncode == 1
    last = done.stdout.rstrip().splitlines()[-1]
    assert option in last
    assert str(port) in last
    assert "Traceback" not in done.stdout
    assert "ingestion process" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ingestion-procs", "0"], ["--ingestion-procs 0", "1 to 64"]),
        (["--telemetry-endpoint", "udp:9000"], ["--telemetry-endpoint udp:9000", "tcp6:"]),
        (["--api-endpoint", "tcp:none"], ["--api-endpoint tcp:none", "endpoint"]),
        (["--no-such-option"], ["no-such-option"]),
        (["surplus"], ["arguments"]),
    ],
)
def test_a_wrong_value_is_refused_before_anything_starts(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = run(tmp_path, "telemetry", "--no-database", *arguments)
    assert done.returncode == 1
    last = done.stdout.rstrip().splitlines()[-1]
    assert all(word in last for word in words)
    assert "Traceback" not in done.stdout
    assert "starting up" not in done.stdout


def test_help_tells_how_to_run_it(tmp_path: Path) -> None:
    done = run(tmp_path, "telemetry", "--help")
    assert done.returncode == 0
    for word in ("--telemetry HOST:PORT", "/api/ws", "tcp:9000", "--no-database", "--ring-events"):
        assert word in done.stdout
    assert "Receives JIP-3 telemetry" in run(tmp_path, "--help").stdout


def test_twist_runs_it_too(start_process: StartProcess, node_id: str) -> None:
    server = start_process(
        str(SCRIPTS / "twist"), "--log-format=text", "telemetry", *OPTIONS
    ).await_ready()
    with server.subscriber() as subscriber:
        server.connect_node(node_id).report_best(range(10))
        subscriber.receive_events(10)
    assert server.stop() in (0, -signal.SIGTERM)


def test_it_runs_as_a_daemon_with_a_pid_file(
    start_process: StartProcess, tmp_path: Path, node_id: str
) -> None:
    pid_file, log = tmp_path / "telemetry.pid", tmp_path / "telemetry.log"
    daemon = start_process(
        str(SCRIPTS / "twistd"),
        *(f"--pidfile={pid_file}", f"--logfile={log}", "telemetry", *OPTIONS),
        log_path=log,
    )
    assert daemon.process.wait(40) == 0
    daemon.pid = int(pid_file.read_text())
    try:
        daemon.await_ready()
        with daemon.subscriber() as subscriber:
            daemon.connect_node(node_id).report_best(range(10))
            subscriber.receive_events(10)
        family = [daemon.pid, *daemon.children]
        assert len(family) == 2
    finally:
        os.kill(daemon.pid, signal.SIGTERM)
    daemon.await_ended(*family)
    assert not pid_file.exists()


def test_nodes_may_come_by_ipv6(start_process: StartProcess, node_id: str) -> None:
    server = start_process(
        str(SCRIPTS / "twistd"),
        *("-n", "--pidfile=", "telemetry", *OPTIONS),
        *("--telemetry-endpoint", r"tcp6:0:interface=\:\:1"),
    ).await_ready()
    with server.subscriber() as subscriber:
        server.connect_node(node_id, host="::1").report_best(range(10))
        subscriber.receive_events(10)


def test_subscribers_may_come_by_a_unix_socket(start_process: StartProcess, tmp_path: Path) -> None:
    """Any server endpoint will do for them."""
    path = tmp_path / "api"
    server = start_process(
        str(SCRIPTS / "twistd"),
        *("-n", "--pidfile=", "telemetry", *OPTIONS),
        *("--api-endpoint", f"unix:{path}"),
    )
    server.await_log("--api-endpoint:")
    with unix_connect(str(path), "ws://localhost/api/ws", compression=None) as connection:
        assert json.loads(connection.recv(40))["type"] == "connected"
        connection.send('{"type":"Ping"}')
        assert json.loads(connection.recv(40))["type"] == "pong"
    assert server.stop() in (0, -signal.SIGTERM)
    assert not path.exists()
