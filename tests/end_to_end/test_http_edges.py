"""Clients that send too much, too slowly, or read nothing, while the stream goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from select import select
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.conftest import DEADLINE, await_true, twistd
from tests.end_to_end.streaming import peak_mib, streaming

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartProcess, StartServer

MIB = 1 << 20

MOST_GAP = 2.0
"""Seconds that a subscriber may have to wait, on a machine that is busy; an event comes every
0.01 s."""


def head_of(answer: bytes) -> list[str]:
    """The lines of the head of an answer."""
    return answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def read_all(client: socket.socket) -> bytes:
    """What the server sends until it closes."""
    answer = b""
    with suppress(ConnectionError):
        while data := client.recv(1 << 16):
            answer += data
    return answer


def send_in_vain(client: socket.socket, data: bytes, most: int) -> bytes:
    """Send up to ``most`` bytes while nothing comes back; the answer."""
    sent = 0
    with suppress(ConnectionError):
        while sent < most and not select([client], [], [], 0)[0]:
            sent += client.send(data)
    return read_all(client)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (
            b"POST /api/health HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 67108864\r\n\r\n",
            "405 Method Not Allowed",
        ),
        (
            b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108864\r\n\r\n",
            "413 Content Too Large",
        ),
        (
            b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4000000\r\n",
            "404 Not Found",
        ),
    ],
)
def test_a_body_of_64_mib_is_refused_unread(
    server: Server, node_id: str, request_head: bytes, status: str
) -> None:
    before = peak_mib(server.pid)
    with streaming(server, node_id) as stream:
        client = server.connect_socket("api")
        client.sendall(request_head)
        answer = send_in_vain(client, b"a=1&" * (1 << 18), 64 * MIB)
    first, *headers = head_of(answer)
    assert first == f"HTTP/1.1 {status}"
    assert "Connection: close" in headers
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["status"] == int(status[:3])
    assert stream.longest_gap < MOST_GAP
    assert peak_mib(server.pid) - before < 8


def test_a_stock_client_that_sends_all_before_it_reads_gets_the_answer(server: Server) -> None:
    connection = HTTPConnection("127.0.0.1", server.ports["api"], timeout=DEADLINE)
    connection.request("POST", "/api/health", body=bytes(64 * MIB))
    answer = connection.getresponse()
    assert (answer.status, answer.reason) == (405, "Method Not Allowed")
    assert json.load(answer)["error"]["status"] == 405
    connection.close()


def test_a_client_that_expects_to_be_told_to_continue_is_told_the_refusal(server: Server) -> None:
    client = server.connect_socket("api")
    client.sendall(
        b"POST /api/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert head_of(read_all(client))[0] == "HTTP/1.1 405 Method Not Allowed"


def test_a_head_that_drips_is_cut(server: Server) -> None:
    client = server.connect_socket("api")
    begin = time.monotonic()
    with suppress(ConnectionError):
        client.sendall(b"GET /api/health HTTP/1.1\r\nX-Slow: ")
        while not select([client], [], [], 0.5)[0]:
            client.send(b"x")
            assert time.monotonic() - begin < 60
    answer = read_all(client)
    assert answer == b"" or head_of(answer)[0] == "HTTP/1.1 408 Request Timeout"


def test_answers_wait_for_those_who_do_not_read(start_server: StartServer, node_id: str) -> None:
    """100 clients that send 300 requests each and read nothing."""
    server = start_server(history=True, procs=1)
    requests = 300 * b"GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    server.get("/api/openapi.json")
    before = peak_mib(server.pid)
    with streaming(server, node_id) as stream, ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(server.connect_socket("api", receive_buffer=4096))
            client.setblocking(False)
            client.send(requests)
        time.sleep(3)
        # The server still answers others.
        assert server.get("/api/health")[0] == 200
    assert stream.longest_gap < MOST_GAP
    assert peak_mib(server.pid) - before < 100


def test_pipelined_requests_are_all_answered_in_order(server: Server) -> None:
    client = server.connect_socket("api")
    paths = [f"/{number}".encode() for number in range(1000)]
    requests = [b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in paths]
    last = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    client.sendall(b"".join(requests) + last)
    answer = read_all(client)
    found = [part.split(b'"')[0] for part in answer.split(b"there is nothing at ")[1:]]
    assert found == [*paths, b"/last"]


def test_a_client_that_ends_its_side_first_gets_its_answers(server: Server) -> None:
    client = server.connect_socket("api")
    ask = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client.sendall(ask + ask)
    client.shutdown(socket.SHUT_WR)
    assert read_all(client).count(b"HTTP/1.1 200 OK") == 2


def test_descriptors_are_kept_for_what_the_server_needs(
    start_process: StartProcess, node_id: str
) -> None:
    command = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *twistd(procs=1)]
    server = start_process(*command).await_ready()
    with ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(server.connect_socket("api"))
        await_true(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) > 100, "they are taken in")
        (child,) = server.children
        os.kill(child, signal.SIGKILL)
        await_true(lambda: server.children not in ([], [child]), "another process runs")
        node = server.connect_node(node_id)
        time.sleep(1)
        assert not node.closed
    await_true(lambda: server.get("/api/health")[0] == 200, "there is room again")
    server.await_nodes(1)


@pytest.fixture
def served_lines() -> Callable[[Server, str], list[str]]:
    """The lines of the log that tell of a path."""
    return lambda server, path: [line for line in server.log.splitlines() if path in line]


def test_requests_are_logged_only_if_asked_for(
    start_server: StartServer, served_lines: Callable[[Server, str], list[str]]
) -> None:
    quiet = start_server(procs=1)
    told = start_server("--access-log", procs=1)
    for server in (quiet, told):
        assert server.get("/api/health")[0] == 200
        assert server.get("/nothing%0Ahere")[0] == 404
        with server.subscriber():
            pass
    assert served_lines(quiet, "/api") == []
    *_, line = served_lines(told, "/api/health")
    assert '127.0.0.1 "GET /api/health HTTP/1.1" 200' in line
    (line,) = served_lines(told, "/nothing")
    assert '"GET /nothing%0Ahere HTTP/1.1" 404' in line
    told.await_log('"GET /api/ws HTTP/1.1" 101')
