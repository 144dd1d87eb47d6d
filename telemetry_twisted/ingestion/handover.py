"""How accepted sockets pass from the hub to an ingestion process.

The hub accepts and deals: each process gets its share to the connection, and when a process dies
nothing waits in its backlog. A socket travels as ancillary data of a single byte.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

_ONE = b"\0"
_AT_ONCE = 64


def send_socket(channel: socket.socket, accepted: socket.socket) -> bool:
    """Pass ``accepted`` over ``channel``; False if the other end takes no more or is gone."""
    try:
        socket.send_fds(channel, [_ONE], [accepted.fileno()])
    except OSError:
        return False
    return True


@implementer(IReadDescriptor)
class SocketReceiver:
    """Takes up the sockets that come over ``channel``.

    :param received: called with each, as a non-blocking socket that is the callee's, or with None
        for one that this process has no descriptor left for.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        channel: socket.socket,
        received: Callable[[socket.socket | None], None],
    ) -> None:
        self._reactor = reactor
        self._channel = channel
        self._received = received
        channel.setblocking(False)

    def start(self) -> None:
        """Take sockets from now on."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Take no more."""
        self._reactor.removeReader(self)

    def doRead(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            if not data:
                self.stop()
                return
            self._received(socket.socket(fileno=descriptors[0]) if descriptors else None)

    def fileno(self) -> int:
        return self._channel.fileno()

    def connectionLost(self, reason: Failure) -> None:
        self._log.debug("no more sockets will come: {reason}", reason=reason.getErrorMessage())

    def logPrefix(self) -> str:
        return "handover"
