"""Writes a subscriber's frames, past the transport's buffer where it can."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

BUFFER_BYTES = 1 << 18
"""How much may wait in a transport that cannot be passed by, before it is full."""

TURN_BYTES = 1 << 20
"""How much is written to one subscriber before the others have their turn."""


class StreamTransport(Protocol):
    """The transport under a WebSocket connection: TCP, UNIX or TLS."""

    bufferSize: int
    SEND_LIMIT: int

    def getHandle(self) -> object:
        """The socket, or what stands for it."""

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        """Write ``pieces``."""

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        """Have ``producer`` told when enough is waiting."""

    def unregisterProducer(self) -> None:
        """Tell it no more."""

    def pauseProducing(self) -> None:
        """Read no more."""

    def resumeProducing(self) -> None:
        """Read on."""

    def abortConnection(self) -> None:
        """Close at once."""


@implementer(IPushProducer)
class Outlet:
    """The writing side of a connection.

    Where the transport is a plain socket, pieces go to it as they are. Only what it does not take
    at once is left to the transport, which otherwise would join every frame for every subscriber, a
    turn later. While the outlet is not ``flowing``, the client is not read from either: what it
    asks for has to wait as well.

    :param ready: called when it flows again.
    """

    def __init__(
        self, transport: StreamTransport, clock: IReactorTime, ready: Callable[[], None]
    ) -> None:
        self.flowing = True
        self._transport = transport
        self._clock = clock
        self._ready = ready
        self._opening = False
        self._turn_bytes = 0
        self._next_turn: IDelayedCall | None = None
        self._socket = _plain_socket(transport)

    def open(self) -> None:
        """Take over from the producer that the transport has."""
        # The HTTP channel that served the upgrade is still registered; until it is not, the
        # transport tells it, not this outlet, that the client is slow.
        self._transport.unregisterProducer()
        self._transport.bufferSize = BUFFER_BYTES
        self._transport.SEND_LIMIT = BUFFER_BYTES
        if self._socket is None:
            self._transport.registerProducer(self, True)
            return
        # As a pull producer it is told whenever the transport has sent all that was left to it. At
        # first that is the answer to the upgrade, and the call made at once tells nothing.
        self._opening = True
        self._transport.registerProducer(self, False)
        self._opening = False
        self._block()

    def write(self, pieces: Sequence[bytes]) -> None:
        """Write ``pieces``, which are whole frames."""
        if self._socket is None or not self.flowing:
            self._transport.writeSequence(pieces)
            return
        try:
            sent = self._socket.sendmsg(pieces)
        except OSError:
            # Full, or lost; the transport will find out which.
            sent = 0
        rest = _after(pieces, sent)
        if rest:
            self._block()
            self._transport.writeSequence(rest)
            return
        self._turn_bytes += sent
        if self._turn_bytes >= TURN_BYTES:
            self.flowing = False
            self._next_turn = self._clock.callLater(0, self._begin_turn)

    def _begin_turn(self) -> None:
        self._next_turn = None
        self._turn_bytes = 0
        self.flowing = True
        self._ready()

    def _block(self) -> None:
        self.flowing = False
        self._turn_bytes = 0
        self._transport.pauseProducing()

    def pauseProducing(self) -> None:
        self._block()

    def resumeProducing(self) -> None:
        if not self.flowing and self._next_turn is None and not self._opening:
            self.flowing = True
            self._transport.resumeProducing()
            self._ready()

    def stopProducing(self) -> None:
        self.close()

    def close(self) -> None:
        """Write no more than what is written already."""
        self.flowing = False
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        self._transport.unregisterProducer()


def _plain_socket(transport: StreamTransport) -> socket.socket | None:
    """The socket under ``transport``, unless what is written to it has to be encrypted."""
    handle = transport.getHandle()
    if isinstance(handle, socket.socket) and not getattr(transport, "TLS", False):
        return handle
    return None


def _after(pieces: Sequence[bytes], sent: int) -> list[bytes]:
    """What is left of ``pieces`` when the first ``sent`` bytes are gone."""
    for index, piece in enumerate(pieces):
        if sent < len(piece):
            return [piece[sent:], *pieces[index + 1 :]]
        sent -= len(piece)
    return []
