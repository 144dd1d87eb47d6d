from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.testing import MemoryReactorClock

from telemetry_twisted.hub.dealer import Dealer


@define
class Player:
    """Takes connections while there is room."""

    room: int
    connections: int = 0
    taken: list[socket.socket] = field(factory=list)

    def take(self, accepted: socket.socket) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.connections += 1
        self.taken.append(accepted.dup())
        return True


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def connect(listening: socket.socket, count: int) -> list[socket.socket]:
    return [socket.create_connection(listening.getsockname()) for _ in range(count)]


def make_dealer(
    reactor: MemoryReactorClock, listening: socket.socket, *players: Player
) -> tuple[Dealer, list[str]]:
    lost: list[str] = []
    dealer = Dealer(cast(Any, reactor), listening, lambda: players, lost.append)
    dealer.start()
    return dealer, lost


def test_deals_to_the_process_that_has_fewest(listening: socket.socket) -> None:
    players = Player(10), Player(10)
    dealer, lost = make_dealer(MemoryReactorClock(), listening, *players)
    clients = connect(listening, 6)
    dealer.doRead()
    assert [player.connections for player in players] == [3, 3]
    assert lost == []
    assert len(clients) == 6


def test_connections_that_none_can_take_wait_and_are_not_lost(listening: socket.socket) -> None:
    reactor = MemoryReactorClock()
    player = Player(room=1)
    dealer, lost = make_dealer(reactor, listening, player)
    clients = connect(listening, 3)
    dealer.doRead()
    assert player.connections == 1
    assert dealer not in reactor.getReaders()
    reactor.advance(1)
    assert dealer not in reactor.getReaders()
    player.room = 5
    reactor.advance(1)
    assert dealer in reactor.getReaders()
    dealer.doRead()
    assert player.connections == 3
    assert lost == []
    peers = [taken.getpeername() for taken in player.taken]
    assert peers == [client.getsockname() for client in clients]


def test_what_is_held_is_closed_when_it_stops(listening: socket.socket) -> None:
    reactor = MemoryReactorClock()
    dealer, _lost = make_dealer(reactor, listening, Player(room=0))
    (client,) = connect(listening, 1)
    dealer.doRead()
    dealer.stop()
    assert client.recv(1) == b""
    assert reactor.getDelayedCalls() == []
    assert reactor.getReaders() == []


def test_a_port_that_cannot_accept_is_left_alone_for_a_while() -> None:
    class OutOfDescriptors:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    reactor = MemoryReactorClock()
    dealer, lost = make_dealer(reactor, cast(Any, OutOfDescriptors()), Player(1))
    dealer.doRead()
    assert lost == ["cannot accept: Too many open files"]
    assert dealer not in reactor.getReaders()
    reactor.advance(1)
    assert dealer in reactor.getReaders()
