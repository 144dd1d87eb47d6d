"""Signals that operators and service managers send: none ends what should go on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartServer

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
