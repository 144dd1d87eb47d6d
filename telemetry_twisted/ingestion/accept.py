"""Accepts connections from the socket that all ingestion processes share, as far as permitted."""

from __future__ import annotations

import errno
import socket
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.addresses import plain_host
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.quiet import QuietLog
from telemetry_twisted.transport.reserve import DescriptorReserve

AGAIN_SECONDS = 0.2
"""How long nothing is accepted after there were no descriptors left."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Taker(Protocol):
    """What is told of each permit that is spent or given back."""

    def connection_accepted(self, accepted: socket.socket, host: str) -> None:
        """A connection from ``host``, on a non-blocking socket that is now the callee's."""

    def connection_shed(self, host: str) -> None:
        """A connection from ``host`` was closed at once: there are no descriptors left."""

    def turn_done(self) -> None:
        """What could be accepted at once has been handed over."""

    def permits_returned(self, count: int) -> None:
        """``count`` permits will not be spent."""

    def permits_wanted(self) -> None:
        """After permits were given back for want of descriptors: it may be tried again."""


@implementer(IReadDescriptor)
class Acceptor:
    """Reads from the listening socket only while it holds permits.

    So a connection wakes only those who may have it. When no descriptors are left, others get the
    permits. If none is left the next time either, connections are closed as they come, by means of
    a descriptor that is kept for that: they would wait for ever without being told.

    :param listening: a listening, non-blocking socket, which other processes accept from as well;
        it is closed here in the end.
    """

    _log = Logger()

    def __init__(self, reactor: IServerReactor, listening: socket.socket, taker: Taker) -> None:
        self._quiet = QuietLog(self._log, reactor)
        self._reactor = reactor
        self._listening = listening
        self._taker = taker
        self._reserve = DescriptorReserve(1)
        self._reserve.fill()
        self._again: IDelayedCall | None = None
        self._exhausted = False
        self._stopped = False
        self.permits = 0

    def permit(self, count: int) -> None:
        """Accept ``count`` connections more."""
        if self._stopped or self._again is not None:
            self._taker.permits_returned(count)
            return
        self.permits += count
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Accept no more; what is not spent is given back."""
        self._stopped = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._return_all()
        self._listening.close()
        self._reserve.close()

    def _return_all(self) -> None:
        self._reactor.removeReader(self)
        count, self.permits = self.permits, 0
        if count:
            self._taker.permits_returned(count)

    def doRead(self) -> None:
        before = self.permits
        self._accept()
        if self.permits != before:
            self._taker.turn_done()

    def _accept(self) -> None:
        while self.permits:
            try:
                accepted, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._back_off(error)
                    return
                if error.errno == errno.EINVAL:  # nobody listens any more
                    self._return_all()
                    return
                continue  # the error was the connection's, which is gone again (accept(2))
            self._exhausted = False
            self.permits -= 1
            accepted.setblocking(False)
            self._taker.connection_accepted(accepted, plain_host(address[0]))
        self._reactor.removeReader(self)

    def _back_off(self, error: OSError) -> None:
        if self._exhausted:
            self._shed()
        else:
            self._quiet.warn("cannot accept: {reason}", reason=error.strerror)
        self._exhausted = True
        self._return_all()
        self._again = self._reactor.callLater(AGAIN_SECONDS, self._try_again)

    def _shed(self) -> None:
        """Close as many connections as there are permits for."""
        while self.permits:
            self._reserve.close()
            try:
                accepted, address = self._listening.accept()
            except OSError:
                break
            accepted.close()
            self.permits -= 1
            self._taker.connection_shed(plain_host(address[0]))
        self._reserve.fill()

    def _try_again(self) -> None:
        self._again = None
        self._taker.permits_wanted()

    def fileno(self) -> int:
        return self._listening.fileno()

    def connectionLost(self, reason: Failure) -> None:
        """Nobody listens any more: the hub has shut the port, which it does when it ends."""
        self._return_all()

    def logPrefix(self) -> str:
        return "acceptor"
