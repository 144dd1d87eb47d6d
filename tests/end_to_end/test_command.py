"""The command line: what runs the server, as it is typed, and what it refuses."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import unix_connect

from tests.end_to_end.conftest import Server, await_true

if TYPE_CHECKING:
    from tests.end_to_end.conftest import StartProcess

SCRIPTS = Path(sys.executable).parent
ENDPOINTS = [
    *("--telemetry-endpoint", "tcp:0:interface=127.0.0.1"),
    *("--api-endpoint", "tcp:0:interface=127.0.0.1"),
]
OPTIONS = ["--no-database", "--ingestion-procs", "1", *ENDPOINTS]


def run(directory: Path, *arguments: str, program: str = "twistd") -> CompletedProcess[str]:
    """Run ``twistd`` with ``arguments``, which must make it end."""
    return subprocess.run(
        [str(SCRIPTS / program), *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


RUNNERS = {
    "in the foreground": ("twistd", ["-n"]),
    "as a daemon": ("twistd", []),
    "by twist": ("twist", []),
}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("option", ["--telemetry-endpoint", "--api-endpoint"])
def test_a_port_that_is_taken_is_named_and_nothing_is_left_behind(
    tmp_path: Path, option: str, runner: str
) -> None:
    program, how = RUNNERS[runner]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        endpoint = f"tcp:{port}:interface=127.0.0.1"
        done = run(tmp_path, *how, "telemetry", *OPTIONS, option, endpoint, program=program)
    assert done.returncode == 1
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("telemetry: "))
    assert said.startswith(f"telemetry: {option} {endpoint} cannot be listened on: ")
    assert said.endswith(
        f" Address already in use. Stop what uses it, or give another one with {option}."
    )
    everything = done.stdout + done.stderr
    assert "Traceback" not in everything
    assert "ingestion process" not in everything
    # A daemon says what went wrong, and then removes its pidfile.
    log = tmp_path / "twistd.log"
    await_true(lambda: {*tmp_path.iterdir()} <= {log}, "nothing is left behind")
    if log.exists():
        assert "Traceback" not in log.read_text()


LATER = """
from twisted.internet import reactor, task
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.plugin import IPlugin
from zope.interface import implementer

@implementer(IStreamServerEndpoint)
class Later:
    def __init__(self, port):
        self.port = port

    def listen(self, factory):
        endpoint = TCP4ServerEndpoint(reactor, self.port, interface="127.0.0.1")
        return task.deferLater(reactor, 0.3, endpoint.listen, factory)

@implementer(IPlugin, IStreamServerEndpointStringParser)
class Parser:
    prefix = "later"

    def parseStreamServer(self, reactor, port):
        return Later(int(port))

parser = Parser()
"""
"""An endpoint that begins to listen when it can."""


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets servers use ``later:PORT`` endpoints."""
    plugins = tmp_path / "path" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "later.py").write_text(LATER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))


@pytest.mark.usefixtures("later")
def test_an_endpoint_may_take_its_time(start_process: StartProcess, node_id: str) -> None:
    server = start_process(
        str(SCRIPTS / "twistd"),
        *("-n", "--pidfile=", "telemetry", *OPTIONS, "--api-endpoint", "later:0"),
    ).await_ready()
    with server.subscriber() as subscriber:
        server.connect_node(node_id).report_best(range(10))
        subscriber.receive_events(10)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("runner", ["in the foreground", "by twist"])
def test_an_endpoint_that_took_its_time_and_then_failed_ends_the_server(
    tmp_path: Path, runner: str
) -> None:
    program, how = RUNNERS[runner]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"later:{taken.getsockname()[1]}"
        done = run(
            tmp_path, *how, "telemetry", *OPTIONS, "--api-endpoint", endpoint, program=program
        )
    assert done.returncode == 1
    everything = done.stdout + done.stderr
    assert f"--api-endpoint {endpoint} cannot be listened on: " in everything
    assert "Traceback" not in everything
    assert not (tmp_path / "twistd.pid").exists()


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
    done = run(tmp_path, "-n", "telemetry", "--no-database", *arguments)
    assert done.returncode == 1
    last = done.stdout.rstrip().splitlines()[-1]
    assert all(word in last for word in words)
    assert "Traceback" not in done.stdout
    assert "starting up" not in done.stdout


def test_help_tells_how_to_run_it(tmp_path: Path) -> None:
    done = run(tmp_path, "-n", "telemetry", "--help")
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


def listening_at(start_process: StartProcess, endpoint: str) -> Server:
    """A server whose subscribers come by that ``unix:`` endpoint."""
    server = start_process(
        str(SCRIPTS / "twistd"),
        *("-n", "--pidfile=", "telemetry", *OPTIONS, "--api-endpoint", endpoint),
    )
    server.await_log("--api-endpoint: ")
    return server


def mode(path: Path) -> int:
    """What is allowed with the file at ``path``."""
    return stat.S_IMODE(path.stat().st_mode)


def test_subscribers_may_come_by_a_unix_socket(start_process: StartProcess, tmp_path: Path) -> None:
    """Any server endpoint will do for them."""
    path = tmp_path / "api"
    server = listening_at(start_process, f"unix:{path}")
    server.await_log(f"--api-endpoint: {path}\n")
    assert mode(path) == 0o600
    with unix_connect(str(path), "ws://localhost/api/ws", compression=None) as connection:
        assert json.loads(connection.recv(40))["type"] == "connected"
        connection.send('{"type":"Ping"}')
        assert json.loads(connection.recv(40))["type"] == "pong"
    assert server.stop() in (0, -signal.SIGTERM)
    assert not path.exists()


def test_a_unix_socket_may_be_opened_to_others(start_process: StartProcess, tmp_path: Path) -> None:
    listening_at(start_process, f"unix:{tmp_path / 'api'}:mode=660")
    assert mode(tmp_path / "api") == 0o660


def test_a_unix_socket_that_a_killed_server_left_is_replaced(
    start_process: StartProcess, tmp_path: Path
) -> None:
    path = tmp_path / "api"
    server = listening_at(start_process, f"unix:{path}")
    server.process.kill()
    server.process.wait()
    assert path.exists()
    listening_at(start_process, f"unix:{path}")
    with unix_connect(str(path), "ws://localhost/api/ws", compression=None) as connection:
        assert json.loads(connection.recv(40))["type"] == "connected"


def test_a_file_that_is_in_the_way_of_a_unix_socket_is_named(tmp_path: Path) -> None:
    path = tmp_path / "api"
    path.write_text("precious")
    done = run(tmp_path, "-n", "telemetry", *OPTIONS, "--api-endpoint", f"unix:{path}")
    assert done.returncode == 1
    assert f"telemetry: --api-endpoint unix:{path} cannot be listened on: " in done.stderr
    assert path.read_text() == "precious"


def test_history_is_for_the_owner_alone(start_process: StartProcess, tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    before = os.umask(0o022)
    try:
        server = start_process(
            str(SCRIPTS / "twistd"),
            *("-n", "--pidfile=", "telemetry", "--ingestion-procs", "1", *ENDPOINTS),
            *("--database", f"sqlite:{path}"),
        ).await_ready()
    finally:
        os.umask(before)
    server.await_log("history is written")
    files = list(tmp_path.glob("history.sqlite*"))
    assert len(files) == 3
    assert {mode(file) for file in files} == {0o600}


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that all users may enter."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def free_privileged_port() -> int:
    """A port below 1024 that nobody listens at."""
    for port in range(80, 1024):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("all ports below 1024 are taken")


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def runs_as_nobody() -> None:
    """Skips where other users may not run this Python."""
    try:
        subprocess.run([sys.executable, "-c", ""], user="nobody", check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{sys.executable} is not for other users")


AS_NOBODY = ["--uid", "nobody", "--pidfile="]


@as_root
@pytest.mark.usefixtures("runs_as_nobody")
def test_ports_below_1024_are_bound_before_privileges_go(
    open_directory: Path, node_id: str
) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    history = open_directory / "history"
    history.mkdir()
    os.chown(history, nobody, -1)
    endpoint = f"tcp:{free_privileged_port()}:interface=127.0.0.1"
    server = Server(
        open_directory,
        [
            str(SCRIPTS / "twistd"),
            *("-n", *AS_NOBODY, "telemetry", "--ingestion-procs", "1", *ENDPOINTS),
            *("--telemetry-endpoint", endpoint, "--database", f"sqlite:{history / 'sqlite'}"),
        ],
    )
    try:
        server.await_ready()
        with server.subscriber() as subscriber:
            server.connect_node(node_id).report_best(range(10))
            subscriber.receive_events(10)
        server.await_log("history is written")
        for pid in (server.pid, *server.children):
            assert os.stat(f"/proc/{pid}").st_uid == nobody
        assert server.stop() in (0, -signal.SIGTERM)
    finally:
        server.close()


@as_root
def test_history_that_the_user_may_not_write_is_named(open_directory: Path) -> None:
    url = f"sqlite:{open_directory / 'history.sqlite'}"
    options = ["--ingestion-procs", "1", *ENDPOINTS, "--database", url]
    done = run(open_directory, "-n", *AS_NOBODY, "telemetry", *options)
    assert done.returncode == 1
    said = f"telemetry: --database {url}: nobody may not write {open_directory}. "
    assert said in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
