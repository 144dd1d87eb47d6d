"""Connections are shared out evenly, and none waits for a process that does not accept."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.conftest import await_true, information, twistd

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, Server, StartProcess, StartServer

NODES = 1024
LEAVING = 500
FEW = 8


def node_id(number: int) -> str:
    return f"{number + 1:064x}"


def connect(server: Server, numbers: range) -> list[Node]:
    """Nodes that come at once, over several threads."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda number: server.connect_node(node_id(number)), numbers))


def assert_even(server: Server) -> None:
    counts = server.sockets()
    assert max(counts) - min(counts) <= FEW, counts


@pytest.mark.usefixtures("many_files")
def test_a_thousand_nodes_are_shared_evenly_by_eight_processes_also_when_half_are_new(
    start_server: StartServer,
) -> None:
    server = start_server(procs=8)
    await_true(lambda: "is starting" not in str(server.get("/api/health")[1]), "all are there")
    nodes = connect(server, range(NODES))
    server.await_nodes(NODES)
    assert_even(server)
    # Those of two processes more than of the others.
    for node in nodes[:LEAVING]:
        node.close()
    server.await_nodes(NODES - LEAVING)
    connect(server, range(NODES, NODES + LEAVING))
    server.await_nodes(NODES)
    assert_even(server)
    _, health, _ = server.get("/api/health")
    assert health["status"] == "ok"


@pytest.mark.usefixtures("many_files")
def test_all_nodes_may_come_at_once_before_any_says_who_it_is(start_server: StartServer) -> None:
    server = start_server(procs=2)
    strangers = [server.connect_stranger() for _ in range(NODES)]
    await_true(lambda: sum(server.sockets()) >= NODES, "all are accepted")
    for number, stranger in enumerate(strangers):
        stranger.send(information(node_id(number)))
    server.await_nodes(NODES)
    assert not any(stranger.closed for stranger in strangers)


def test_strangers_that_say_nothing_keep_no_node_out_when_all_places_are_taken(
    start_server: StartServer,
) -> None:
    server = start_server("--max-nodes", "2", procs=1, history=True)
    nodes = connect(server, range(2))
    server.await_nodes(2)
    strangers = [server.connect_stranger() for _ in range(2 * 2 + 64)]
    await_true(lambda: sum(server.sockets()) >= 2 + len(strangers), "all are accepted")
    again = server.connect_node(nodes[0].node_id)
    nodes[0].await_closed()
    assert not again.closed

    def ended() -> object:
        return server.get("/api/health/detailed")[1]["metrics"]["connections_ended"]

    await_true(lambda: ended() == {"crowded_out": 1, "replaced": 1}, "the first stranger has gone")


def test_while_the_processes_start_connections_wait_for_their_turn(
    start_server: StartServer,
) -> None:
    """Or else the first that is there would take them all."""
    server = start_server(procs=4)
    connect(server, range(200))
    server.await_nodes(200)
    assert_even(server)


@pytest.mark.parametrize("procs", [2, 4])
def test_none_waits_for_a_process_that_is_stopped(start_server: StartServer, procs: int) -> None:
    server = start_server(procs=procs)
    connect(server, range(40))
    server.await_nodes(40)
    stopped = server.children[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        with server.subscriber() as subscriber:
            late = connect(server, range(100, 200))
            for node in late:
                node.report_best([7])
            subscriber.receive_until(
                lambda: all(subscriber.slots(node.node_id) == [7] for node in late)
            )
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_none_vanishes_when_a_process_is_killed_amid_connects(start_server: StartServer) -> None:
    server = start_server(procs=3)
    victim = server.children[0]
    with server.subscriber() as subscriber, ThreadPoolExecutor(8) as threads:

        def come(number: int) -> Node:
            if number == 100:
                os.kill(victim, signal.SIGKILL)
            node = server.connect_node(node_id(number))
            try:
                node.report_best([7])
            except ConnectionError:
                assert node.closed
            return node

        nodes = list(threads.map(come, range(300)))
        waiting = {node.node_id: node for node in nodes}

        def served() -> bool:
            with suppress(TimeoutError):
                subscriber.receive(0.1)
            for node in list(waiting.values()):
                if subscriber.by_node[node.node_id] or node.closed:
                    del waiting[node.node_id]
            return not waiting

        await_true(served, "every connection is served, or closed with its process")
        cut_off = sum(node.closed for node in nodes)
        server.await_nodes(len(nodes) - cut_off)
        # Nobody but those whom the victim had at that moment.
        assert cut_off <= 100


def test_without_descriptors_connections_are_closed_and_the_next_is_served_when_there_are_some(
    start_process: StartProcess,
) -> None:
    command = ["/bin/sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *twistd(procs=2)]
    server = start_process(*command).await_ready()
    strangers = [server.connect_stranger() for _ in range(250)]
    server.await_log("no file descriptors are left")
    await_true(lambda: sum(each.closed for each in strangers) > 30, "those are told that wait")
    assert len(server.children) == 2
    for stranger in strangers:
        stranger.close()
    with server.subscriber() as subscriber:

        def served() -> bool:
            node = server.connect_node(node_id(0))
            with suppress(ConnectionError, TimeoutError):
                node.report_best([7])
                subscriber.receive(2.0)
            return len(subscriber.events) > 0

        await_true(served, "a node is served again")
