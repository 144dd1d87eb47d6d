"""Processes that die, and a server that ends: nothing is left over, and nothing goes unsaid."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Node, StartServer, Subscriber


class Traffic:
    """Nodes that report best blocks without end, each on a thread of its own.

    ``sent`` counts the events of each so far. ``cut_off`` holds those whose connections ended,
    which send no more.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.sent = dict.fromkeys((node.node_id for node in nodes), 0)
        self.cut_off: list[Node] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=[node]) for node in nodes]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _send(self, node: Node) -> None:
        try:
            while not self._over.wait(0.02):
                begin = self.sent[node.node_id]
                node.report_best(range(begin, begin + 50))
                self.sent[node.node_id] = begin + 50
        except ConnectionError:
            self.cut_off.append(node)


def assert_ids_are_unique_and_rise(subscriber: Subscriber) -> None:
    """Also from one connection of a node to the next."""
    for events in subscriber.by_node.values():
        ids = [event["data"]["id"] for event in events]
        assert ids == sorted(ids)
    assert len({event["data"]["id"] for event in subscriber.events}) == len(subscriber.events)


def test_an_ingestion_process_that_is_killed_is_replaced_and_the_others_notice_nothing(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server(procs=2)
    nodes = [server.connect_node(node_id) for node_id in node_ids]
    with server.subscriber() as subscriber:
        by_node = subscriber.by_node
        with Traffic(nodes) as traffic:
            subscriber.receive_until(lambda: all(len(by_node[each]) >= 200 for each in node_ids))
            victim, other = server.children
            os.kill(victim, signal.SIGKILL)
            subscriber.receive_until(lambda: len({*server.children} - {victim, other}) == 1)
            assert other in server.children
            subscriber.receive_until(lambda: len(traffic.cut_off) == 2)
            server.await_nodes(2)
            lost = [node.node_id for node in traffic.cut_off]
            for node_id in lost:
                server.connect_node(node_id).report_best(range(1_000_000, 1_000_300))
            subscriber.receive_until(
                lambda: all(subscriber.slots(each)[-1:] == [1_000_299] for each in lost)
            )
            server.await_nodes(4)
        kept = {node_id: sent for node_id, sent in traffic.sent.items() if node_id not in lost}
        subscriber.receive_until(lambda: all(len(by_node[each]) == kept[each] for each in kept))
    for node_id, sent in kept.items():
        assert subscriber.slots(node_id) == list(range(sent))
    for node_id in lost:
        arrived = len(by_node[node_id]) - 300
        assert subscriber.slots(node_id) == [*range(arrived), *range(1_000_000, 1_000_300)]
        event_ids = [event["data"]["event_id"] for event in by_node[node_id]]
        assert event_ids == [*range(arrived), *range(300)]
    assert_ids_are_unique_and_rise(subscriber)
    assert "killed by SIGKILL" in server.log


def test_each_process_may_be_killed_in_turn(start_server: StartServer, node_id: str) -> None:
    server = start_server(procs=2)
    with server.subscriber() as subscriber:
        for victim in server.children:
            server.connect_node(node_id).report_best(range(250))
            subscriber.receive_events(250)
            os.kill(victim, signal.SIGKILL)
            server.await_ended(victim)
        server.connect_node(node_id).report_best(range(250))
        subscriber.receive_events(250)
        server.connect_node(node_id).report_best(range(250))
        subscriber.receive_events(250)
    assert subscriber.slots() == [*range(250)] * 4
    assert_ids_are_unique_and_rise(subscriber)


def test_processes_whose_hub_is_killed_end_by_themselves(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server(procs=2)
    node = server.connect_node(node_id)
    server.await_nodes(1)
    children = server.children
    assert len(children) == 2
    server.process.kill()
    server.process.wait()
    server.await_ended(*children)
    node.await_closed()


def test_a_hub_that_takes_nothing_for_a_while_holds_nodes_back_and_loses_nothing(
    start_server: StartServer, node_id: str
) -> None:
    server = start_server(procs=1)
    node = server.connect_node(node_id)
    total, sent = 300_000, 0

    def send() -> None:
        nonlocal sent
        while sent < total:
            node.report_best(range(sent, sent + 500))
            sent += 500

    with server.subscriber() as subscriber, ThreadPoolExecutor() as threads:
        server.await_nodes(1)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            sending = threads.submit(send)
            before = -1
            while before != sent:  # until the node is held back
                before = sent
                wait([sending], timeout=1)
            assert 0 < sent < total
        finally:
            os.kill(server.pid, signal.SIGCONT)
        subscriber.receive_events(total)
        sending.result()
        assert subscriber.slots() == list(range(total))


def test_an_ingestion_process_that_hangs_does_not_hold_up_the_end(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server(procs=2)
    for node_id in node_ids:
        server.connect_node(node_id)
    server.await_nodes(len(node_ids))
    with server.subscriber() as subscriber:
        os.kill(server.children[0], signal.SIGSTOP)
        server.stop()
        with pytest.raises(ConnectionClosed):
            subscriber.receive_until(lambda: False)
        assert subscriber.connection.close_code == 1001
    assert "did not end in time" in server.log


SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_server_that_ends_sends_what_it_has_and_says_goodbye(
    start_server: StartServer, node_ids: list[str], number: signal.Signals
) -> None:
    server = start_server(procs=2)
    nodes = [server.connect_node(node_id) for node_id in node_ids]
    with (
        server.subscriber() as reader,
        server.subscriber(4096, max_queue=1) as behind,
        ThreadPoolExecutor() as threads,
    ):
        for node in nodes:
            node.report_best(range(2_000))
        reader.receive_events(2_000 * len(nodes))
        code = threads.submit(server.stop, number)
        for subscriber in (behind, reader):
            with pytest.raises(ConnectionClosed):
                subscriber.receive_until(lambda: False)
            assert subscriber.connection.close_code == 1001
        assert code.result() in (0, -number)
    for node_id in node_ids:
        assert behind.slots(node_id) == list(range(2_000))
    for node in nodes:
        node.await_closed()


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("whole_group", [False, True], ids=["the hub", "all its processes"])
def test_a_server_ends_in_time_under_load_and_with_a_subscriber_that_does_not_read(
    start_server: StartServer, node_ids: list[str], number: signal.Signals, whole_group: bool
) -> None:
    """A terminal's Ctrl-C and a service manager's SIGTERM reach all processes."""
    server = start_server(procs=2)
    nodes = [server.connect_node(node_id) for node_id in node_ids]
    with server.subscriber() as reader, server.subscriber(4096, max_queue=1) as stalled:
        stalled.subscribe(type="All")
        for begin in range(0, 30_000, 1_000):
            nodes[0].report_best(range(begin, begin + 1_000))
            reader.receive_events(1_000)
        with Traffic(nodes[1:]):
            reader.receive_until(lambda: len(reader.events) > 30_200)
            assert server.stop(number, whole_group=whole_group) in (0, -number)
        assert reader.slots(nodes[0].node_id) == list(range(30_000))
    assert "another is started" not in server.log
