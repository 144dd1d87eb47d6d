"""Whether the other end of a connection accepts anything at all."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any


class Progress:
    """Watches what waits in the kernel for a client, so that slow can be told from dead.

    A client that reads slowly changes that number whenever it accepts anything. One that is gone
    without a word leaves it as it is.
    """

    def __init__(self, transport: Any, now: float) -> None:
        while not hasattr(transport, "fileno"):  # TLS wraps the transport that has the socket
            transport = transport.transport
        self._fileno = transport.fileno
        self._waiting = 0
        self._since = now

    def stalled_for(self, now: float) -> float:
        """Seconds since something was accepted, or since nothing was waiting; call it regularly."""
        waiting = _waiting_bytes(self._fileno())
        if waiting == 0 or waiting != self._waiting:
            self._waiting = waiting
            self._since = now
        return now - self._since


def _waiting_bytes(descriptor: int) -> int:
    """Bytes written to a socket that the other end has not acknowledged; 0 if that is unknown."""
    try:
        answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4)
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])
