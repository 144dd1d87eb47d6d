"""Signals that operators and service managers send: none ends what should go on."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.conftest import await_true, twistd

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartProcess, StartServer

SCRIPTS = Path(sys.executable).parent
EVENTS = 50_000
"""More than a store process writes that has some milliseconds of the processor in a second."""

HARMLESS = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE]


def assert_goes_on(server: Server, node_id: str, pids: list[int]) -> None:
    """The same processes still serve a node that was there before."""
    with server.subscriber() as subscriber:
        server.connect_node(node_id).report_best(range(10))
        subscriber.receive_events(10)
    assert server.process.poll() is None
    assert [server.pid, *server.children] == pids


@pytest.mark.parametrize("number", HARMLESS)
@pytest.mark.parametrize("whom", ["hub", "child", "all"])
def test_a_signal_that_asks_for_no_end_ends_nothing(
    start_server: StartServer, node_ids: list[str], number: signal.Signals, whom: str
) -> None:
    server = start_server(procs=1, history=True)
    node = server.connect_node(node_ids[0])
    server.await_nodes(1)
    pids = [server.pid, *server.children]
    assert len(pids) == 3
    for pid in {"hub": pids[:1], "child": pids[1:], "all": pids}[whom]:
        os.kill(pid, number)
    if number == signal.SIGHUP and whom != "child":
        server.await_log("asked to read again")
    assert_goes_on(server, node_ids[1], pids)
    assert not node.closed
    assert server.stop() in (0, -signal.SIGTERM)


def start_daemon(start_process: StartProcess, directory: Path, *options: str) -> Server:
    """A daemon that serves, with its log at ``telemetry.log`` and its pid at ``telemetry.pid``."""
    pid_file, log = directory / "telemetry.pid", directory / "telemetry.log"
    daemon = start_process(
        *(str(SCRIPTS / "twistd"), f"--pidfile={pid_file}", f"--logfile={log}"),
        *twistd("--no-database", *options, procs=1)[3:],
        log_path=log,
    )
    assert daemon.process.wait(40) == 0
    daemon.pid = int(pid_file.read_text())
    return daemon.await_ready()


def end_daemon(daemon: Server, directory: Path) -> None:
    """End it as an operator does; nothing is left."""
    family = [daemon.pid, *daemon.children]
    os.kill(daemon.pid, signal.SIGTERM)
    daemon.await_ended(*family)
    assert not (directory / "telemetry.pid").exists()


def test_a_daemon_opens_a_log_file_anew_that_was_moved_away(
    start_process: StartProcess, tmp_path: Path, node_id: str
) -> None:
    daemon = start_daemon(start_process, tmp_path)
    node = daemon.connect_node(node_id)
    daemon.await_nodes(1)
    log = tmp_path / "telemetry.log"
    log.rename(tmp_path / "moved")
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.await_log("log file: read again")
    assert not node.closed
    assert (tmp_path / "telemetry.pid").read_text() == str(daemon.pid)
    end_daemon(daemon, tmp_path)
    assert "Shut Down" in daemon.log
    assert "Shut Down" not in (tmp_path / "moved").read_text()


def test_a_log_file_that_cannot_be_opened_anew_is_kept(
    start_process: StartProcess, tmp_path: Path
) -> None:
    daemon = start_daemon(start_process, tmp_path)
    log, moved = tmp_path / "telemetry.log", tmp_path / "moved"
    log.rename(moved)
    log.mkdir()
    os.kill(daemon.pid, signal.SIGHUP)
    await_true(lambda: "log file: cannot be read again" in moved.read_text(), "it is told")
    end_daemon(daemon, tmp_path)
    assert "Shut Down" in moved.read_text()
    assert "Traceback" not in moved.read_text()
    log.rmdir()


def test_a_daemon_rotates_its_log_file(start_process: StartProcess, tmp_path: Path) -> None:
    daemon = start_daemon(start_process, tmp_path)
    os.kill(daemon.pid, signal.SIGUSR1)
    rotated = tmp_path / "telemetry.log.1"
    await_true(rotated.exists, "the log file is rotated")
    assert "--api-endpoint: " in rotated.read_text()
    end_daemon(daemon, tmp_path)
    assert "Shut Down" in daemon.log


def test_twist_opens_its_log_file_anew(start_process: StartProcess, tmp_path: Path) -> None:
    log = tmp_path / "telemetry.log"
    server = start_process(
        *(str(SCRIPTS / "twist"), f"--log-file={log}", "--log-format=text"),
        *twistd("--no-database", procs=1)[3:],
        log_path=log,
    ).await_ready()
    log.rename(tmp_path / "moved")
    os.kill(server.pid, signal.SIGHUP)
    server.await_log("log file: read again")
    assert server.stop() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_server_may_be_ended_while_it_starts(
    start_process: StartProcess, tmp_path: Path, number: signal.Signals, delay: float
) -> None:
    pid_file = tmp_path / "telemetry.pid"
    server = start_process(
        *(str(SCRIPTS / "twistd"), "-n", f"--pidfile={pid_file}"),
        *twistd(f"--database=sqlite:{tmp_path / 'sqlite'}", procs=2, history=True)[3:],
    )
    await_true(pid_file.exists, "it has begun to start")
    time.sleep(delay)
    children = server.children
    os.kill(server.pid, number)
    assert server.process.wait(40) in (0, -number)
    server.await_ended(*children)
    assert not pid_file.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_asked_to_end_twice_ends_once(
    start_server: StartServer, node_id: str, number: signal.Signals
) -> None:
    server = start_server(procs=1, history=True)
    server.connect_node(node_id)
    server.await_nodes(1)
    children = server.children
    os.kill(children[0], signal.SIGSTOP)  # so that the end takes a while
    os.kill(server.pid, number)
    server.await_log("shutting down")
    for again in (number, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        os.kill(server.pid, again)
    assert server.process.wait(40) in (0, -number)
    server.await_ended(*children)
    assert server.log.count("shutting down") == 1


def test_a_server_waits_for_history_that_is_still_written(
    start_server: StartServer, node_id: str
) -> None:
    """Though the store process has hardly any of the processor."""
    server = start_server(procs=1, history=True)
    server.await_log("history is written")
    (store,) = (int(pid) for pid in re.findall(r"store process: pid (\d+)", server.log))
    node = server.connect_node(node_id)
    os.kill(store, signal.SIGSTOP)
    node.report_best([1] * EVENTS)
    total = "total_events_broadcast"
    await_true(lambda: server.stats()[total] == EVENTS, "all was received", 40)
    os.kill(server.process.pid, signal.SIGTERM)
    with suppress(ProcessLookupError):  # it may get more than it is to, and be done
        while "history has much left to do" not in server.log:
            os.kill(store, signal.SIGCONT)
            time.sleep(0.005)
            os.kill(store, signal.SIGSTOP)
            time.sleep(0.5)
        os.kill(store, signal.SIGCONT)
    assert server.process.wait(40) in (0, -signal.SIGTERM)
    assert "history has lost" not in server.log
    with closing(sqlite3.connect(server.directory / "telemetry.sqlite")) as database:
        ((events,),) = database.execute("SELECT sum(events) FROM totals_1h")
    assert events == EVENTS


def held_database(server: Server) -> sqlite3.Connection:
    """Holds the lock that writing to the server's history needs, as a database that hangs does."""
    holder = sqlite3.connect(server.directory / "telemetry.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


@pytest.mark.parametrize("what", ["an ingestion process", "the store process", "the database"])
def test_a_server_ends_in_time_whatever_hangs(
    start_server: StartServer, node_id: str, what: str
) -> None:
    server = start_server(procs=1, history=True)
    server.await_log("history is written")
    node = server.connect_node(node_id)
    with server.subscriber() as subscriber:
        node.report_best(range(1_000))
        subscriber.receive_events(1_000)
        by_title = {
            title: int(pid)
            for title, pid in re.findall(
                r"(store process|ingestion process 0): pid (\d+)", server.log
            )
        }
        if what == "the database":
            holder = held_database(server)
        elif what == "the store process":
            os.kill(by_title["store process"], signal.SIGSTOP)
        else:
            os.kill(by_title["ingestion process 0"], signal.SIGSTOP)
        began = time.monotonic()
        assert server.stop() in (0, -signal.SIGTERM)
        took = time.monotonic() - began
        with pytest.raises(ConnectionClosed):
            subscriber.receive_until(lambda: False)
        assert subscriber.connection.close_code == 1001
    if what == "the database":
        holder.close()
    # The end itself takes at most five seconds; leaving the process takes what the machine leaves.
    assert took < 15, f"it took {took:.1f} s to end"
