"""What a sender writes to, and in which form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Piece = bytes | memoryview

Frame = Sequence[Piece]
"""What must not be torn apart: a WebSocket frame or a record, in pieces."""


class Sink(Protocol):
    """What a sender writes to: a socket, or a transport that encrypts."""

    def take(self, pieces: Sequence[Piece], /) -> int:
        """Take ``pieces``, as ``socket.sendmsg`` does.

        :returns: how many bytes were taken; if not all, there is no room for more.
        :raises BlockingIOError: if there is no room.
        :raises OSError: if the connection is broken.
        """

    def await_room(self) -> None:
        """Call :meth:`.Sender.room` when there is room again."""

    def all_out(self) -> None:
        """The last byte has been taken, and the connection is to be ended."""

    def broken(self) -> None:
        """Nothing can be written any more."""

    def accepted(self) -> int | None:
        """A number that changes when the other end accepts bytes; None when none wait for it."""
