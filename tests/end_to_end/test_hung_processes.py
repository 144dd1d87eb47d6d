"""Processes that neither die nor work, that cannot be started, and mistakes that stay small.

All at the size of a whole network: 1,024 nodes.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.conftest import HOST, alive, await_true, twistd

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, Server, StartProcess, StartServer

NODES = 1024


def node_id(number: int) -> str:
    return f"{number + 1:064x}"


def connect(server: Server, numbers: range) -> list[Node]:
    return [server.connect_node(node_id(number)) for number in numbers]


def processes(server: Server, kind: str) -> list[int]:
    """The process ids of its children of a kind (``ingestion``, ``store``)."""
    found = []
    for pid in server.children:
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if f"telemetry_twisted.{kind}".encode() in command:
                found.append(pid)
    return found


def health(server: Server) -> tuple[str, list[str]]:
    """Status and problems, as a load balancer is told; an error while there is no room for it."""
    _, body, _ = server.get("/api/health")
    return body.get("status", "turned away"), body.get("problems", [])


def metrics(server: Server) -> dict[str, Any]:
    _, body, _ = server.get("/api/metrics/live")
    found: dict[str, Any] = body
    return found


def exposed(server: Server, name: str) -> float:
    """A figure that Prometheus is told."""
    _, body, _ = server.get("/metrics")
    for line in body.decode().splitlines():
        if line.rpartition(" ")[0] == name:
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no {name}")


def await_problem(server: Server, text: str) -> None:
    """Wait until health tells of a problem; says how long that took."""
    began = time.monotonic()
    await_true(
        lambda: any(text in problem for problem in health(server)[1]),
        f"health says {text!r}",
    )
    print(f"{time.monotonic() - began:.1f} s until health said {text!r}")


def await_well(server: Server, seconds: float = 90.0) -> None:
    began = time.monotonic()
    end = began + seconds
    while (found := health(server)) != ("ok", []):
        assert time.monotonic() < end, f"after {seconds:.0f} s health is {found}"
        time.sleep(0.1)
    print(f"{time.monotonic() - began:.1f} s until the server was well")


@pytest.mark.usefixtures("many_files")
def test_an_ingestion_process_that_hangs_is_reported_gets_nothing_new_and_is_replaced(
    start_server: StartServer,
) -> None:
    server = start_server("--max-nodes", "2048", procs=2, history=True)
    nodes = connect(server, range(NODES))
    server.await_nodes(NODES)
    stopped, other = processes(server, "ingestion")
    with server.subscriber() as subscriber:
        os.kill(stopped, signal.SIGSTOP)
        newcomers = connect(server, range(NODES, NODES + 50))
        await_problem(server, "is late since")
        assert health(server)[0] == "degraded"
        (name,) = [each["name"] for each in metrics(server)["processes"] if each["pid"] == stopped]
        assert exposed(server, f'telemetry_child_up{{child="{name}"}}') == 0
        assert exposed(server, f'telemetry_child_state{{child="{name}",state="late"}}') == 1
        newcomers += connect(server, range(NODES + 50, NODES + 100))
        for node in newcomers:
            node.report_best([7])
        subscriber.receive_until(
            lambda: all(subscriber.by_node[node.node_id] for node in newcomers)
        )
        await_true(lambda: not alive(stopped), "the stopped process is killed")
        await_well(server)
        assert other in processes(server, "ingestion")
        lost = [node for node in nodes if node.closed]
        kept = [node for node in nodes if not node.closed]
        assert 0.4 < len(lost) / NODES < 0.6
        server.await_nodes(len(kept) + len(newcomers))
        assert metrics(server)["connections_ended"] == {"lost": len(lost)}
        assert exposed(server, 'telemetry_connections_ended_total{kind="lost"}') == len(lost)
        again = [server.connect_node(node.node_id) for node in lost]
        server.await_nodes(NODES + 100)
        for node in (*kept, *again):
            node.report_best([8])
        subscriber.receive_until(lambda: subscriber.slots().count(8) == NODES)
    assert server.log.count("nothing is heard of ingestion process") == 1
    assert "nothing was heard of it for 10 s" in server.log


@pytest.mark.usefixtures("many_files")
def test_a_store_process_that_hangs_is_replaced_and_what_waited_for_it_is_written(
    start_server: StartServer,
) -> None:
    server = start_server(procs=2, history=True)
    nodes = connect(server, range(NODES))
    server.await_nodes(NODES)
    sent = 0

    def report(times: int, pause: float) -> None:
        nonlocal sent
        for _ in range(times):
            for node in nodes:
                node.report_best([sent // NODES])  # as many slots as a network has
                sent += 1
            time.sleep(pause)

    def stored() -> int:
        _, body, _ = server.get("/api/event-types")
        by_name = {each["name"]: each["count"] for each in body["event_types"]}
        return int(by_name["BestBlockChanged"])

    report(3, 0.1)
    await_true(lambda: stored() == sent, "all events so far are counted")
    (stopped,) = processes(server, "store")
    os.kill(stopped, signal.SIGSTOP)
    report(8, 0.5)  # that is four seconds, which must not be its death
    os.kill(stopped, signal.SIGCONT)
    await_true(lambda: stored() == sent, "it has caught up")
    assert processes(server, "store") == [stopped]
    os.kill(stopped, signal.SIGSTOP)
    await_problem(server, "store process is late since")
    assert health(server)[0] == "degraded"
    assert exposed(server, 'telemetry_child_up{child="store"}') == 0
    for node in nodes[:24]:
        node.close()
    nodes = nodes[24:]
    report(10, 0.5)
    await_true(lambda: not alive(stopped), "the stopped process is killed")
    report(3, 0.5)
    await_well(server)
    await_true(lambda: stored() == sent, "what waited is written")
    assert len(processes(server, "store")) == 1
    _, network, _ = server.get("/api/network")
    assert network["nodes"]["connected"] == NODES - 24
    _, gone, _ = server.get(f"/api/nodes/{node_id(0)}")
    assert not gone["connected"]
    assert [connection["ended"] is not None for connection in gone["connections"]] == [True]


class Crowd:
    """Connections to an endpoint that say nothing."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self._sockets: list[socket.socket] = []
        self._server = server
        stack.callback(self.leave)

    def come(self, number: int) -> None:
        for _ in range(number):
            client = socket.socket()
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect((HOST, self._server.ports["api"]))
            self._sockets.append(client)

    def leave(self) -> None:
        for client in self._sockets:
            client.close()
        self._sockets.clear()


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def take_what_is_left(pid: int) -> None:
    """Let a process have no descriptor but those that it has."""
    used = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
    lowest = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, 256))


def start_with_few_descriptors(start_process: StartProcess) -> Server:
    command = twistd(procs=1, history=True)
    few = ["bash", "-c", 'ulimit -n 256; exec "$@"', "few", *command]
    return start_process(*few).await_ready()


@pytest.mark.parametrize("ends", [False, True], ids=["room again", "SIGTERM"])
@pytest.mark.usefixtures("many_files")
def test_where_no_descriptors_are_left_children_come_back(
    start_process: StartProcess, ends: bool
) -> None:
    server = start_with_few_descriptors(start_process)
    children = server.children
    assert len(children) == 2
    with ExitStack() as stack:
        crowd = Crowd(server, stack)
        for _ in range(10):
            crowd.come(40)
            time.sleep(0.2)
        take_what_is_left(server.pid)
        print(f"{descriptors(server.pid)} descriptors in use, and no other to be had")
        for _ in range(4):  # more often than a reserve lasts, if it is not filled up
            for child in server.children:
                os.kill(child, signal.SIGKILL)
            time.sleep(1)
        print(f"{len(server.children)} children while there is no room")
        if ends:
            server.stop(signal.SIGTERM, 15)
            return
        crowd.leave()
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (256, 256))
        began = time.monotonic()
        await_true(lambda: len(server.children) == 2, "both are back")
        print(f"{time.monotonic() - began:.1f} s until both were back")
        assert not set(server.children) & set(children)
        await_well(server)
    node = server.connect_node(node_id(0))
    server.await_nodes(1)
    node.close()
    assert server.stop() in (0, -signal.SIGTERM)


MISTAKES = """
import sys
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer

def mistake(*_):
    raise KeyError("made on purpose")

StoreClient.node_gone = Hub._note_faults = IngestionServer.process_started = mistake
from twisted.scripts.twistd import run
sys.argv[0] = "twistd"
run()
"""


@pytest.mark.usefixtures("many_files")
def test_a_mistake_ends_nothing_but_the_record_that_it_was_made_with(
    start_process: StartProcess,
) -> None:
    command = [sys.executable, "-c", MISTAKES, *twistd(procs=2, history=True)[1:]]
    server = start_process(*command).await_ready()
    server.mistakes_expected = True
    children = server.children
    nodes = connect(server, range(NODES))
    server.await_nodes(NODES)
    for node in nodes[:100]:
        node.close()
    nodes[100].send(b"\3\0\0\0\0\0\0")  # no event
    server.await_nodes(NODES - 100)
    await_true(
        lambda: metrics(server)["internal_errors"].get("record of a link"),
        "the mistake with what is no event is counted",
    )
    assert server.children == children
    with server.subscriber() as subscriber:
        for node in nodes[100:]:
            node.report_best([8])
        subscriber.receive_until(lambda: subscriber.slots().count(8) == NODES - 100)
        victim = processes(server, "ingestion")[0]
        os.kill(victim, signal.SIGKILL)
        await_true(lambda: not alive(victim), "it is gone")
        lost = [node for node in nodes[100:] if node.closed]
        server.await_nodes(NODES - 100 - len(lost))
        await_true(lambda: len(server.children) == len(children), "another is started")
        await_well(server)
        for node in lost:
            server.connect_node(node.node_id).report_best([9])
        subscriber.receive_until(lambda: subscriber.slots().count(9) == len(lost))
    found = metrics(server)["internal_errors"]
    assert found["history"] == 100 + len(lost)
    assert found["record of a link"] >= 1
    assert found["supervision"] == 3
    assert exposed(server, 'telemetry_internal_errors_total{place="history"}') == 100 + len(lost)
    _, detailed, _ = server.get("/api/health/detailed")
    assert any("a mistake of the server's own (history)" in each for each in detailed["problems"])
    assert server.log.count("a mistake of the server's own (history)") == 1
