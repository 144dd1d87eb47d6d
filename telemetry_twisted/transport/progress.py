"""Whether the other end of a connection accepts anything at all."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios

from twisted.protocols.policies import ProtocolWrapper

_INFO_SIZE = 128
_BYTES_ACKNOWLEDGED = struct.Struct("=120xQ")
"""``tcpi_bytes_acked`` in ``struct tcp_info`` of Linux."""


def accepted_bytes(handle: socket.socket) -> int | None:
    """A number that changes when the other end of a socket accepts bytes that wait for it.

    What is written to the socket does not change it, where the system tells apart what was written
    and what was accepted: Linux, over TCP.

    :returns: None while nothing waits, or where the system does not say.
    """
    waiting = _waiting_bytes(handle)
    if not waiting:
        return None
    acknowledged = _acknowledged_bytes(handle)
    return waiting if acknowledged is None else acknowledged


def _waiting_bytes(handle: socket.socket) -> int:
    """Bytes written to a socket that the other end has not accepted; 0 if that is unknown."""
    try:
        answer = fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", answer)[0])


def _acknowledged_bytes(handle: socket.socket) -> int | None:
    if sys.platform != "linux" or handle.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        info = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
        return int(_BYTES_ACKNOWLEDGED.unpack(info)[0])
    except (OSError, struct.error):
        return None


def socket_under(transport: object) -> socket.socket | None:
    """The socket that a transport, which may be wrapped in others, ends in; None in memory."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return getattr(transport, "socket", None)
