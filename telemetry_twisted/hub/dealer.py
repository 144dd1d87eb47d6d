"""Accepts the connections of nodes and deals them to the ingestion processes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_AT_ONCE = 64


class Player(Protocol):
    """An ingestion process, as the dealer sees it."""

    connections: int

    def take(self, accepted: socket.socket) -> bool:
        """Serve ``accepted`` from now on; False if that is not possible at the moment."""


@implementer(IReadDescriptor)
class Dealer:
    """Gives each new connection to the process that has fewest.

    One process accepts, because the alternatives are uneven: processes that share one listening
    socket race for it, and ``SO_REUSEPORT`` spreads by chance.

    :param listening: a listening, non-blocking socket, which stays the caller's.
    :param players: the processes that can take connections now.
    :param lost: called when a connection could not be dealt, with the reason.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        listening: socket.socket,
        players: Callable[[], Iterable[Player]],
        lost: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._listening = listening
        self._players = players
        self._lost = lost

    def start(self) -> None:
        """Accept from now on."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Accept no more; the backlog keeps what comes."""
        self._reactor.removeReader(self)

    def doRead(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.ECONNABORTED, errno.EINTR):
                    self._lost(f"cannot accept: {error.strerror}")
                    return
                continue
            with accepted:
                self._deal(accepted)

    def _deal(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        players = sorted(self._players(), key=lambda player: player.connections)
        if not any(player.take(accepted) for player in players):
            self._lost("no ingestion process can take it")

    def fileno(self) -> int:
        return self._listening.fileno()

    def connectionLost(self, reason: Failure) -> None:
        self._log.error("the telemetry port is lost: {reason}", reason=reason.getErrorMessage())

    def logPrefix(self) -> str:
        return "dealer"
