"""Nodes that lie about who they are, and strangers: who may connect, and who may stay."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.end_to_end.conftest import DEADLINE, HOST, await_true

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartProcess, StartServer

ELSEWHERE = "127.0.0.2"
LIVE_SECONDS = 10.0


def endings(server: Server, kind: str) -> int:
    _, health, _ = server.get("/api/health/detailed")
    return int(health["metrics"]["connections_ended"].get(kind, 0))


def await_ended(server: Server, kind: str, number: int) -> None:
    await_true(lambda: endings(server, kind) == number, f"{number} connections ended as {kind}")


def test_a_live_node_is_not_pushed_out_from_another_address(
    start_server: StartServer, node_id: str
) -> None:
    """However often it is tried, by as many as want."""
    server = start_server(procs=2, history=True)
    with server.subscriber() as subscriber:
        node = server.connect_node(node_id)
        server.await_nodes(1)
        for number in range(20):
            node.report_best([number])
            server.connect_node(node_id, source=ELSEWHERE).await_closed()
        node.report_best([20])
        subscriber.receive_until(lambda: len(subscriber.events) == 21)
        assert subscriber.slots(node_id) == list(range(21))
        assert not node.closed
        assert server.total_nodes() == 1
    await_ended(server, "id_taken", 20)
    server.await_log(f"node {node_id} was refused: a connection from {HOST}:")
    assert server.log.count(f"node {node_id} was refused") <= 10
    _, metrics, _ = server.get("/metrics")
    assert b'telemetry_connections_ended_total{kind="id_taken"} 20.0' in metrics
    # From its own address, it may be replaced at any time, as a node does that comes back.
    again = server.connect_node(node_id)
    node.await_closed()
    assert not again.closed


def test_a_node_that_has_been_silent_makes_way_for_one_from_another_address(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server(procs=2)
    silent = server.connect_node(node_id)
    server.await_nodes(1)
    end = time.monotonic() + LIVE_SECONDS + DEADLINE
    refused = 0
    with server.subscriber() as subscriber:
        while not silent.closed:
            assert time.monotonic() < end, "the silent one was not pushed out"
            node = server.connect_node(node_id, source=ELSEWHERE)
            with suppress(ConnectionError):
                node.report_best([refused])
            while not node.closed and not silent.closed:
                assert time.monotonic() < end, "nothing was decided"
                time.sleep(0.05)
            refused += 1
        subscriber.receive_until(lambda: len(subscriber.events) == 1)
        assert subscriber.slots(node_id) == [refused - 1]
        assert refused > 1
        assert not node.closed


def test_with_takeover_any_the_newest_wins_from_anywhere(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server("--takeover", "any", procs=2)
    with server.subscriber() as subscriber:
        older = server.connect_node(node_id)
        older.report_best([1])
        subscriber.receive_events(1)
        newer = server.connect_node(node_id, source=ELSEWHERE)
        older.await_closed()
        newer.report_best([2])
        subscriber.receive_events(1)
        assert subscriber.slots(node_id) == [1, 2]


def test_connections_of_an_address_are_bounded_over_all_processes(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server("--node-connections-per-address", "10", procs=4, history=True)
    strangers = [server.connect_stranger() for _ in range(30)]
    await_ended(server, "address_limit", 20)
    assert sum(stranger.closed for stranger in strangers) == 20
    with server.subscriber() as subscriber:
        node = server.connect_node(node_ids[0], source=ELSEWHERE)
        node.report_best([7])
        subscriber.receive_events(1)
    next(stranger for stranger in strangers if not stranger.closed).close()

    def there_is_room() -> bool:
        node = server.connect_node(node_ids[1])
        try:
            await_true(lambda: node.closed or server.total_nodes() == 2, "it is decided")
            return not node.closed
        except ConnectionError:
            return False

    await_true(there_is_room, "there is room for another")


def test_introductions_above_the_rate_wait_and_all_are_served(start_server: StartServer) -> None:
    server = start_server("--node-introductions", "20", procs=2)
    with server.subscriber() as subscriber:
        started = time.monotonic()
        for number in range(60):
            server.connect_node(f"{number + 1:064x}").report_best([number])
        subscriber.receive_events(60)
        assert time.monotonic() - started >= 1.5
        assert sorted(subscriber.slots()) == list(range(60))


def test_only_nodes_in_the_list_may_connect_and_it_is_read_again(
    start_server: StartServer, node_ids: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "allowed"
    path.write_text(f"# ours\n{node_ids[0]}  # the first\n{node_ids[1]}\n")
    server = start_server("--allow-nodes", str(path), history=True)
    nodes = [server.connect_node(node_id) for node_id in node_ids[:2]]
    server.await_nodes(2)
    server.connect_node(node_ids[2]).await_closed()
    await_ended(server, "node_not_allowed", 1)
    path.write_text(f"{node_ids[1]}\n{node_ids[2]}\n")
    os.kill(server.pid, signal.SIGHUP)
    nodes[0].await_closed()
    server.await_nodes(1)
    third = server.connect_node(node_ids[2])
    server.await_nodes(2)
    path.write_text("nonsense\n")
    os.kill(server.pid, signal.SIGHUP)
    server.await_log("line 1: expected a node ID")
    server.connect_node(node_ids[0]).await_closed()
    assert not third.closed
    assert not nodes[1].closed


def test_a_list_that_is_not_as_it_should_be_is_an_error_at_the_start(
    start_process: StartProcess, tmp_path: Path
) -> None:
    from tests.end_to_end.conftest import twistd

    path = tmp_path / "allowed"
    path.write_text(f"{'ab' * 32}\nvalidator-2\n")
    server = start_process(*twistd("--allow-nodes", str(path)))
    assert server.process.wait(DEADLINE) == 1
    assert f"--allow-nodes {path}: line 2: expected a node ID" in server.log


def test_only_nodes_from_networks_that_are_listed_may_connect(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server("--allow-node-networks", f"10.0.0.0/8,{ELSEWHERE}", history=True)
    node = server.connect_node(node_ids[0], source=ELSEWHERE)
    server.await_nodes(1)
    for _ in range(5):
        server.connect_stranger().await_closed()
    await_ended(server, "network_not_allowed", 5)
    server.await_log(f"{HOST} is in none of the networks of --allow-node-networks")
    assert not node.closed


def test_strangers_that_say_nothing_cannot_keep_nodes_out(
    start_server: StartServer, node_ids: list[str]
) -> None:
    """Many more of them than may be silent, without end."""
    server = start_server("--max-nodes", "4", procs=2)
    with server.subscriber() as subscriber:
        for number, node_id in enumerate(node_ids):
            for _ in range(100):
                server.connect_stranger()
            server.connect_node(node_id).report_best([number])
            subscriber.receive_events(1)
        assert subscriber.slots() == [0, 1, 2, 3]


def test_an_ipv4_node_at_an_ipv6_endpoint_has_an_ipv4_address(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server(
        "--telemetry-endpoint", "tcp6:0", "--allow-node-networks", "127.0.0.0/8", history=True
    )
    node = server.connect_node(node_id)
    server.await_nodes(1)

    def told() -> object:
        status, about, _ = server.get(f"/api/nodes/{node_id}")
        return status == 200 and about

    await_true(told, "the node is known")
    port = node.socket.getsockname()[1]
    assert f'"{HOST}:{port}"' in str(told()).replace("'", '"')
    assert "ffff" not in str(told()).replace("f" * 16, "")
