"""Frames that were made for one subscriber and that others are about to want."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

Frame = Sequence[bytes]
"""What is written to a subscriber, in pieces: most of it is the ring's own bytes, never copied."""

Render = Callable[[list[bytes], int], Frame]
"""Makes a frame of pieces that each hold messages joined by commas, and the number of messages."""

_OBJECTS_BYTES = 400
"""What the objects around a frame's bytes take."""


class Made(NamedTuple):
    """A frame, how many events and bytes it has, and the index of the entry where the next is."""

    frame: Frame
    events: int
    size: int
    end: int


class FrameMemo:
    """Remembers the latest frames, of all channels together, up to ``max_bytes``.

    ``bytes`` is what they take; ``get`` tells the frame that was made at a place, or None.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._made: dict[Hashable, Made] = {}
        self.get = self._made.get  # every subscriber asks for every frame

    @property
    def room(self) -> int:
        """Bytes that it may still grow by."""
        return self.max_bytes - self.bytes

    def put(self, place: Hashable, made: Made) -> None:
        """Remember what was made at ``place``, where nothing is remembered yet."""
        size = made.size + _OBJECTS_BYTES
        if size > self.max_bytes:
            return
        while size > self.room:
            self.bytes -= self._made.pop(next(iter(self._made))).size + _OBJECTS_BYTES
        self._made[place] = made
        self.bytes += size
