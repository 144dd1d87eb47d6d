"""Clients that ask for much, at full size: what they cost stays bounded, and nobody else waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from telemetry_twisted.testing import CLOSE, TEXT
from tests.end_to_end.raw_websocket import RawClient, close_payload, frame

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartServer

NODES = 1024
SUBSCRIBERS = 100
MIB = 1 << 20

LONGEST_WAIT = 3.0
"""Seconds that a bystander's question may take on a busy machine; some milliseconds are usual."""


def memory(pid: int) -> int:
    """Bytes that a process has in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise AssertionError("a process without memory")


class Bystander(Thread):
    """Asks the server something again and again, and notes how long the longest answer took."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self.asked = 0
        self._server = server
        self._over = Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._server.subscriber() as subscriber:
                subscriber.subscribe(type="Nodes", node_ids=["ff" * 32])
                while not self._over.is_set():
                    begin = time.monotonic()
                    assert subscriber.ask({"type": "Ping"})["type"] == "pong"
                    self.longest = max(self.longest, time.monotonic() - begin)
                    self.asked += 1
                    time.sleep(0.005)
        except BaseException as error:  # to be raised where it is waited for
            self._error = error

    def end(self) -> None:
        """Ask no more, and tell what went wrong."""
        self._over.set()
        self.join()
        if self._error is not None:
            raise self._error


@contextmanager
def bystander(server: Server) -> Iterator[Bystander]:
    """Somebody who must not notice what happens meanwhile."""
    someone = Bystander(server)
    someone.start()
    try:
        yield someone
    finally:
        someone.end()
    assert someone.asked > 10
    assert someone.longest < LONGEST_WAIT


def enter(server: Server) -> RawClient:
    """A client that has been greeted."""
    client = RawClient(server.connect_socket("api")).upgrade()
    assert client.receive() is not None
    return client


def reply(client: RawClient) -> dict[str, object]:
    """The next message that is no event."""
    while True:
        received = client.receive()
        assert received is not None
        if received.opcode == TEXT:
            message: dict[str, object] = json.loads(received.payload)
            if message["type"] not in ("event", "batch", "stats", "lagged"):
                return message


def subscribe(client: RawClient, node_ids: list[str]) -> dict[str, object]:
    """The answer to a filter of nodes."""
    request = {"type": "Subscribe", "filter": {"type": "Nodes", "node_ids": node_ids}}
    client.send(frame(TEXT, json.dumps(request).encode()))
    return reply(client)


@pytest.mark.usefixtures("many_files")
def test_a_hundred_filters_of_1024_nodes(start_server: StartServer) -> None:
    """No two are the same, all are for nearly all nodes, and none is read to the end."""
    server = start_server(history=True)
    names = [f"{number:064x}" for number in range(1, NODES + 1)]
    nodes = [server.connect_node(name) for name in names]
    server.await_nodes(NODES)
    before = memory(server.pid)
    with bystander(server):
        clients = [enter(server) for _ in range(SUBSCRIBERS)]
        for at, client in enumerate(clients):
            mine = [*names[:at], *names[at + 1 :], f"{NODES + 1 + at:064x}"]
            assert subscribe(client, mine)["type"] == "subscribed"
        begin = time.monotonic()
        slot = 0
        while time.monotonic() - begin < 6:  # at least one round of stats
            for node in nodes:
                node.report_best([slot])
            slot += 1
            time.sleep(0.2)  # they say a little, not as much as they can
        grown = memory(server.pid) - before
        for client in clients:
            client.send_quietly(frame(CLOSE, close_payload(1000)))
            client.socket.close()
        while server.stats()["active_subscribers"] > 3:
            time.sleep(0.05)
    assert grown < 128 * MIB


def test_longer_filters_are_refused(server: Server) -> None:
    client = enter(server)
    answer = subscribe(client, [f"{number:064x}" for number in range(1025)])
    assert answer["type"] == "error"
    assert "1024 at most" in str(answer["data"])


def ping_requests() -> bytes:
    """Thousands of requests in a segment."""
    return frame(TEXT, b'{"type":"Ping"}') * 10_000


def subscriptions() -> bytes:
    """Filters, each of which another one replaces at once."""
    filters = (
        json.dumps(
            {"type": "Subscribe", "filter": {"type": "Nodes", "node_ids": [f"{number:064x}"]}}
        )
        for number in range(2000)
    )
    return b"".join(frame(TEXT, text.encode()) for text in filters)


def recent() -> bytes:
    """Questions with long answers."""
    return frame(TEXT, b'{"type":"GetRecentEvents"}') * 5000


def empty_frames() -> bytes:
    """Fragments of nothing."""
    return frame(TEXT, fin=False) + frame(0, fin=False) * 50_000


@pytest.mark.parametrize("flood", [ping_requests, subscriptions, recent, empty_frames])
@pytest.mark.parametrize("reads", [True, False], ids=["read", "unread"])
def test_a_flood_of_requests_stalls_nobody(
    start_server: StartServer, node_id: str, flood: Callable[[], bytes], reads: bool
) -> None:
    """From ten clients for two seconds, who read what they get or do not."""
    server = start_server("--ring-events", "20000", procs=1)
    node = server.connect_node(node_id)
    node.report_best(range(20_000))
    data = flood()
    clients = [enter(server) for _ in range(10)]
    before = memory(server.pid)
    with bystander(server):
        over = time.monotonic() + 2
        for client in clients:
            client.socket.settimeout(0.001)
        threads = [
            Thread(target=_flood, args=(client, data, reads, over), daemon=True)
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grown = memory(server.pid) - before
    assert grown < 120 * MIB


def _flood(client: RawClient, data: bytes, reads: bool, over: float) -> None:
    """Send ``data`` again and again as far as it is taken."""
    rest = memoryview(data)
    while time.monotonic() < over:
        try:
            rest = rest[client.socket.send(rest) :] or memoryview(data)
        except TimeoutError:
            pass
        except ConnectionError:
            return
        if reads:
            with suppress(TimeoutError):
                client.socket.recv(1 << 16)
