"""Accepts the connections of nodes and deals them to the ingestion processes."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.interfaces import IServerReactor

_AT_ONCE = 64
_AGAIN_SECONDS = 0.02


class Player(Protocol):
    """An ingestion process, as the dealer sees it."""

    connections: int

    def take(self, accepted: socket.socket) -> bool:
        """Serve ``accepted`` from now on; False if that is not possible at the moment."""


@implementer(IReadDescriptor)
class Dealer:
    """Gives each new connection to the process that has fewest.

    One process accepts, because the alternatives are uneven: processes that share one listening
    socket race for it, and ``SO_REUSEPORT`` spreads by chance. When none of them can take more, as
    when all validators come at once, what is accepted is held and the rest wait in the backlog.

    :param listening: a listening, non-blocking socket, which stays the caller's.
    :param players: the processes that can take connections now.
    :param lost: called when a connection could not be accepted, with the reason.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IServerReactor,
        listening: socket.socket,
        players: Callable[[], Iterable[Player]],
        lost: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._listening = listening
        self._players = players
        self._lost = lost
        self._held: socket.socket | None = None
        self._again: IDelayedCall | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Accept no more; the backlog keeps what comes."""
        self._reactor.removeReader(self)
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._held is not None:
            self._held.close()
            self._held = None

    def doRead(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ECONNABORTED, errno.EINTR):
                    continue
                # Without descriptors the port stays readable, so trying at once would spin.
                self._lost(f"cannot accept: {error.strerror}")
                self._reactor.removeReader(self)
                self._again = self._reactor.callLater(_AGAIN_SECONDS, self._accept_again)
                return
            accepted.setblocking(False)
            if not self._deal(accepted):
                self._reactor.removeReader(self)
                self._hold(accepted)
                return

    def _deal(self, accepted: socket.socket) -> bool:
        players = sorted(self._players(), key=lambda player: player.connections)
        if not any(player.take(accepted) for player in players):
            return False
        accepted.close()
        return True

    def _hold(self, accepted: socket.socket) -> None:
        self._held = accepted
        self._again = self._reactor.callLater(_AGAIN_SECONDS, self._deal_again, accepted)

    def _accept_again(self) -> None:
        self._again = None
        self.start()

    def _deal_again(self, accepted: socket.socket) -> None:
        self._held = self._again = None
        if self._deal(accepted):
            self.start()
        else:
            self._hold(accepted)

    def fileno(self) -> int:
        return self._listening.fileno()

    def connectionLost(self, reason: Failure) -> None:
        self._log.error("the telemetry port is lost: {reason}", reason=reason.getErrorMessage())

    def logPrefix(self) -> str:
        return "dealer"
