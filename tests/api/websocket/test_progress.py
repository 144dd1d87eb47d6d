"""Slow is told from dead by what the client's end has taken."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from attrs import frozen

from telemetry_twisted.api.websocket.progress import Progress


@frozen
class Handle:
    """A transport with a socket, as far as progress looks at it."""

    end: socket.socket

    def fileno(self) -> int:
        return self.end.fileno()

    def getHandle(self) -> socket.socket:
        return self.end


@frozen
class Wrapper:
    """A transport that wraps another one, as TLS does."""

    transport: Handle


@frozen
class Pair:
    """Two ends of a connection with little room between them."""

    server: socket.socket
    client: socket.socket

    def fill(self) -> bool:
        """Write until the system takes no more; whether it took something."""
        written = 0
        with suppress(BlockingIOError):
            while True:
                written += self.server.send(b"x" * 1000)
        return written > 0

    def trickle(self) -> None:
        """Write a little, if there is room."""
        with suppress(BlockingIOError):
            self.server.send(b"x" * 10)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        return listener.accept()[0], client


@pytest.fixture(params=[tcp_pair, socket.socketpair], ids=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    server, client = request.param()
    with server, client:
        server.setblocking(False)
        yield Pair(server, client)


def await_true(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_client_that_takes_nothing_is_stalled_from_then_on(pair: Pair) -> None:
    progress = Progress(Handle(pair.server), 100)
    assert progress.stalled_for(105) == 0
    pair.fill()
    await_true(lambda: progress.stalled_for(110) == progress.stalled_for(110))
    assert progress.stalled_for(115) == 5
    assert progress.stalled_for(170) == 60


def test_a_client_that_takes_a_little_now_and_then_is_not(pair: Pair) -> None:
    progress = Progress(Handle(pair.server), 100)
    pair.fill()
    for now in range(105, 250, 5):
        taken = 0
        while taken < 100_000:
            taken += len(pair.client.recv(100_000))
            if pair.fill():
                progress.moved()
        assert progress.stalled_for(now) == 0


def test_a_client_to_which_nothing_is_written_is_not(pair: Pair) -> None:
    progress = Progress(Handle(pair.server), 100)
    for now in range(105, 400, 5):
        assert progress.stalled_for(now) == 0


def test_what_the_server_writes_is_no_sign_of_life() -> None:
    server, client = tcp_pair()
    with server, client:
        server.setblocking(False)
        server.send(b"x" * 100_000)
        pair = Pair(server, client)
        progress = Progress(Handle(server), 100)
        await_true(lambda: progress.stalled_for(105) == progress.stalled_for(105))
        for now in range(110, 170, 5):
            pair.trickle()
            progress.stalled_for(now)
        assert progress.stalled_for(170) >= 60


def test_the_socket_is_found_below_wrappers(pair: Pair) -> None:
    progress = Progress(Wrapper(Handle(pair.server)), 100)
    pair.fill()
    progress.stalled_for(105)
    assert progress.stalled_for(170) >= 60


def test_a_socket_that_is_closed_is_not_stalled(pair: Pair) -> None:
    progress = Progress(Handle(pair.server), 100)
    pair.fill()
    progress.stalled_for(105)
    pair.server.close()
    assert progress.stalled_for(170) == 0
