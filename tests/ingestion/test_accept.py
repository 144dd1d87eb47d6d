"""Accepting from a shared socket as far as permitted, also where there are no descriptors."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.ingestion.accept import AGAIN_SECONDS, Acceptor


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let no file be opened in this process."""
    lowest = os.dup(0)
    os.close(lowest)
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


class Fickle:
    """A listening socket whose connections may be gone again when they are accepted."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.gone = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.gone:
            self.gone -= 1
            raise OSError(errno.ECONNABORTED, "gone")
        return self._listening.accept()

    def close(self) -> None:
        pass

    def fileno(self) -> int:
        return self._listening.fileno()


class AcceptorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        listening.setblocking(False)
        self.addCleanup(listening.close)
        self.listening = listening
        self.hosts: list[str] = []
        self.shed: list[str] = []
        self.returned: list[int] = []
        self.wanted = 0
        self.turns = 0
        self.acceptor = self.make(listening)

    def make(self, listening: Any) -> Acceptor:
        acceptor = Acceptor(cast(Any, self.reactor), listening, self)
        self.addCleanup(acceptor.stop)
        return acceptor

    def connection_accepted(self, accepted: socket.socket, host: str) -> None:
        self.assertFalse(accepted.getblocking())
        self.addCleanup(accepted.close)
        self.hosts.append(host)

    def connection_shed(self, host: str) -> None:
        self.shed.append(host)

    def turn_done(self) -> None:
        self.turns += 1

    def permits_returned(self, count: int) -> None:
        self.returned.append(count)

    def permits_wanted(self) -> None:
        self.wanted += 1

    def connect(self, count: int) -> list[socket.socket]:
        address = self.listening.getsockname()
        clients = [socket.create_connection(address) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
        return clients

    @property
    def reads(self) -> bool:
        return bool(self.reactor.getReaders())

    def test_it_is_not_woken_while_it_may_not_accept(self) -> None:
        self.connect(1)
        self.assertFalse(self.reads)

    def test_it_accepts_as_many_as_it_was_permitted(self) -> None:
        self.connect(5)
        self.acceptor.permit(1)
        self.acceptor.permit(2)
        self.acceptor.doRead()
        self.assertEqual(self.hosts, ["127.0.0.1"] * 3)
        self.assertEqual(self.turns, 1)
        self.assertFalse(self.reads)
        self.acceptor.permit(4)
        self.acceptor.doRead()
        self.assertEqual(len(self.hosts), 5)
        self.assertEqual(self.acceptor.permits, 2)
        self.assertTrue(self.reads)

    def test_one_that_another_process_has_taken_costs_nothing(self) -> None:
        self.acceptor.permit(2)
        self.acceptor.doRead()
        self.assertEqual((self.hosts, self.acceptor.permits), ([], 2))
        self.assertEqual(self.turns, 0)

    def test_what_is_not_spent_is_given_back_when_it_stops(self) -> None:
        self.acceptor.permit(3)
        self.acceptor.stop()
        self.acceptor.permit(2)
        self.assertEqual(self.returned, [3, 2])
        self.assertFalse(self.reads)

    def test_without_descriptors_others_get_the_permits(self) -> None:
        (client,) = self.connect(1)
        self.acceptor.permit(2)
        with no_descriptors():
            self.acceptor.doRead()
            self.assertEqual((self.returned, self.shed), ([2], []))
            self.assertFalse(self.reads)
            self.acceptor.permit(1)
            self.assertEqual(self.returned, [2, 1])
        self.reactor.advance(AGAIN_SECONDS)
        self.assertEqual(self.wanted, 1)
        self.acceptor.permit(1)
        self.acceptor.doRead()
        self.assertEqual(self.hosts, ["127.0.0.1"])
        client.setblocking(False)
        self.assertRaises(BlockingIOError, client.recv, 1)

    def test_where_nobody_has_descriptors_connections_are_closed_as_they_come(self) -> None:
        clients = self.connect(3)
        with no_descriptors():
            for _ in range(2):
                self.acceptor.permit(2)
                self.acceptor.doRead()
                self.reactor.advance(AGAIN_SECONDS)
            self.assertEqual(self.shed, ["127.0.0.1"] * 2)
            self.assertEqual([client.recv(1) for client in clients[:2]], [b"", b""])
            self.acceptor.permit(2)
            self.acceptor.doRead()
            self.assertEqual(len(self.shed), 3)
        self.assertEqual(self.returned, [2, 1])
        self.connect(1)
        self.reactor.advance(AGAIN_SECONDS)
        self.acceptor.permit(1)
        self.acceptor.doRead()
        self.assertEqual(self.hosts, ["127.0.0.1"])

    def test_an_error_of_the_connection_is_not_the_end(self) -> None:
        fickle = Fickle(self.listening)
        fickle.gone = 1
        acceptor = self.make(fickle)
        self.connect(1)
        acceptor.permit(2)
        acceptor.doRead()
        self.assertEqual((self.hosts, acceptor.permits), (["127.0.0.1"], 1))

    def test_a_socket_on_which_nobody_listens_any_more_is_left_alone(self) -> None:
        self.acceptor.permit(1)
        self.listening.shutdown(socket.SHUT_RDWR)
        self.acceptor.doRead()
        self.assertEqual(self.returned, [1])
        self.assertFalse(self.reads)
