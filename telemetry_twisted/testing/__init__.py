"""What tests of the server, and of programs that talk to it, can use in place of real connections.

- :class:`FrameParser` reads what a WebSocket server sends, and forgives nothing;
  :func:`client_frame` makes what a WebSocket client sends.
- :class:`MemoryTransport` is Twisted's own TCP transport on a socket in memory, whose other end is
  the test; :class:`StreamTransport` is the same as one that encrypts would be.
- :class:`MemoryLink` and :class:`RecordCollector` stand at the ends of a link between processes.
"""

from .links import MemoryLink, RecordCollector
from .transports import MemorySocket, MemoryTransport, StreamTransport
from .websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameParser,
    ProtocolViolation,
    ReceivedFrame,
    client_frame,
)

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "FrameParser",
    "MemoryLink",
    "MemorySocket",
    "MemoryTransport",
    "ProtocolViolation",
    "ReceivedFrame",
    "RecordCollector",
    "StreamTransport",
    "client_frame",
]
