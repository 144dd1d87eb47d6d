"""Bytes that wait until they can be consumed."""

from __future__ import annotations

import struct

from telemetry_twisted.jip3.codec import FrameTooLong

_LENGTH = struct.Struct("<I")


class Unfinished:
    """What was read of a node and not consumed, piece by piece as it came.

    The pieces are joined once, when their first frame is whole, so that a node that trickles does
    not make the server copy what it holds with every read.

    :param max_message_size: longest message content, in bytes.
    """

    __slots__ = ("_max_message_size", "_needed", "_pieces", "_size")

    def __init__(self, max_message_size: int) -> None:
        self._max_message_size = max_message_size
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, data: bytes) -> None:
        """``data`` has come."""
        self._pieces.append(data)
        self._size += len(data)

    @property
    def whole(self) -> bool:
        """Whether there is a whole frame, or more is known of the first one than at :meth:`keep`.

        If so, it is worth while to :meth:`take` it all.
        """
        return self._size >= self._needed

    def take(self) -> bytes:
        """All that is there, which is not kept here any more."""
        data = b"".join(self._pieces)
        self.clear()
        return data

    def keep(self, data: bytes, start: int) -> None:
        """Keep ``data`` from offset ``start`` on, where a frame begins; nothing else is there.

        :raises FrameTooLong: if that is known to be too long; it is not kept.
        """
        needed = _LENGTH.size
        if len(data) - start >= _LENGTH.size:
            length: int = _LENGTH.unpack_from(data, start)[0]
            if length > self._max_message_size:
                raise FrameTooLong(length, self._max_message_size)
            needed += length
        self._needed = needed
        self._pieces.append(data[start:] if start else data)
        self._size = len(data) - start

    def clear(self) -> None:
        """Forget what is there."""
        self._pieces.clear()
        self._size = self._needed = 0
