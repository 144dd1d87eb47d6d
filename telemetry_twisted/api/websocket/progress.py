"""Whether the other end of a connection accepts anything at all."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import Any

_INFO_SIZE = 128
_BYTES_ACKNOWLEDGED = struct.Struct("=120xQ")
"""``tcpi_bytes_acked`` in ``struct tcp_info`` of Linux."""


class Progress:
    """Watches what a client takes, so that slow can be told from dead.

    A client that reads slowly takes something now and then. One that is gone without a word, or
    does not read, takes nothing, however much is written to it.
    """

    def __init__(self, transport: Any, now: float) -> None:
        while not hasattr(transport, "fileno"):  # TLS wraps the transport that has the socket
            transport = transport.transport
        self._socket = transport.getHandle()
        self._seen = 0
        self._moved = False
        self._since = now

    def moved(self) -> None:
        """What was held back for the client has gone out."""
        self._moved = True

    def stalled_for(self, now: float) -> float:
        """Seconds since something was accepted, or since nothing was waiting; call it regularly."""
        waiting = _waiting_bytes(self._socket)
        seen = _accepted_bytes(self._socket)
        if seen is None:
            seen = waiting
        if waiting == 0 or seen != self._seen or self._moved:
            self._seen = seen
            self._moved = False
            self._since = now
        return now - self._since


def _waiting_bytes(handle: socket.socket) -> int:
    """Bytes written to a socket that the other end has not accepted; 0 if that is unknown."""
    try:
        answer = fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", answer)[0])


def _accepted_bytes(handle: socket.socket) -> int | None:
    """Bytes that the other end of a socket has accepted so far; None if that is unknown."""
    if sys.platform != "linux" or handle.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
        return int(_BYTES_ACKNOWLEDGED.unpack(info)[0])
    except (OSError, struct.error):
        return None
