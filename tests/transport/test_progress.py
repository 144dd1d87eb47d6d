"""Whether the other end of a connection accepts anything, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.transport.progress import accepted_bytes
from telemetry_twisted.transport.sender import Sender
from telemetry_twisted.transport.sink import Piece


class Sink:
    """A socket as a sink that has its sender told of room by hand."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.take: Callable[[list[Piece]], int] = end.sendmsg

    def await_room(self) -> None:
        pass

    def all_out(self) -> None:
        pass

    def broken(self) -> None:
        pass

    def accepted(self) -> int | None:
        return accepted_bytes(self.end)


class UnixProgressTests(SynchronousTestCase):
    """Two ends with little room between them."""

    def setUp(self) -> None:
        self.server, self.client = self.connect()
        self.addCleanup(self.server.close)
        self.addCleanup(self.client.close)
        self.server.setblocking(False)
        self.clock = Clock()
        self.sender = Sender(Sink(self.server), self.clock, lambda: None)  # type: ignore[arg-type]

    def connect(self) -> tuple[socket.socket, socket.socket]:
        return socket.socketpair()

    def fill(self) -> None:
        """Write until the system takes no more."""
        while self.sender.flowing:
            self.sender.write((b"x" * 1000,))

    def stalled_after(self, seconds: float) -> float:
        """For how long it has been stalled when ``seconds`` more have passed."""
        self.clock.advance(seconds)
        return self.sender.stalled_for(self.clock.seconds())

    def settle(self) -> None:
        """Wait until the system has moved all that it moves by itself."""
        end = time.monotonic() + 20
        while True:
            before = accepted_bytes(self.server)
            time.sleep(0.05)
            if accepted_bytes(self.server) == before:
                break
            self.assertLess(time.monotonic(), end, "the system goes on moving bytes")
        self.stalled_after(0)

    def test_a_client_that_takes_nothing_is_stalled_from_then_on(self) -> None:
        self.assertEqual(self.stalled_after(5), 0)
        self.fill()
        self.settle()
        self.assertEqual(self.stalled_after(5), 5)
        self.assertEqual(self.stalled_after(55), 60)

    def test_a_client_that_takes_a_little_now_and_then_is_not(self) -> None:
        self.fill()
        for _ in range(30):
            taken = 0
            while taken < 100_000:
                taken += len(self.client.recv(100_000))
                self.sender.room()
                self.fill()
            self.assertEqual(self.stalled_after(5), 0)

    def test_a_client_to_which_nothing_is_written_is_not(self) -> None:
        for _ in range(60):
            self.assertEqual(self.stalled_after(5), 0)

    def test_a_socket_that_is_closed_is_not(self) -> None:
        self.fill()
        self.settle()
        self.server.close()
        self.assertEqual(self.stalled_after(60), 0)


class TcpProgressTests(UnixProgressTests):
    """The same over TCP, where the system tells what was accepted from what was written."""

    def connect(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listener.getsockname())
            return listener.accept()[0], client

    def test_what_the_server_writes_is_no_sign_of_life(self) -> None:
        self.sender.write((b"x" * 100_000,))
        self.settle()
        for _ in range(12):
            with contextlib.suppress(BlockingIOError):
                self.server.send(b"x" * 10)
            self.stalled_after(5)
        self.assertGreaterEqual(self.stalled_after(0), 60)
