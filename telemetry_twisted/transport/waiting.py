"""What waits to be sent on a connection, in the order in which it goes out."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain, islice

from .sink import Frame, Piece


class WaitingFrames:
    """The rest of a frame that has partly gone, frames that go ahead, one of each kind, and others.

    ``size`` is the bytes of all that waits.
    """

    def __init__(self) -> None:
        self.size = 0
        self._begun: Frame = ()
        self._ahead: dict[Hashable, Frame] = {}
        self._queue: deque[Frame] = deque()

    @property
    def some_ahead(self) -> bool:
        """Whether a frame that goes ahead is among them."""
        return bool(self._ahead)

    def append(self, frame: Frame, size: int) -> None:
        """Have ``frame``, which is ``size`` bytes, go out after all others."""
        self._queue.append(frame)
        self.size += size

    def put_ahead(self, kind: Hashable, frame: Frame) -> None:
        """Have ``frame`` go out before the others, in place of one of the same ``kind``."""
        self.size += size_of(frame) - size_of(self._ahead.pop(kind, ()))
        self._ahead[kind] = frame

    def end_with(self, last: Frame) -> None:
        """Have ``last`` go out in place of all that have not begun to and do not go ahead."""
        self._queue.clear()
        self._queue.append(last)
        self.size = sum(map(size_of, (self._begun, *self._ahead.values(), last)))

    def clear(self) -> None:
        """Nothing waits any more."""
        self.size = 0
        self._begun = ()
        self._ahead.clear()
        self._queue.clear()

    def pieces(self, most: int) -> list[Piece]:
        """The first ``most`` pieces."""
        return list(islice(self._in_order(), most))

    def _in_order(self) -> Iterator[Piece]:
        return chain(self._begun, *self._ahead.values(), chain.from_iterable(self._queue))

    def forget(self, taken: int) -> None:
        """The first ``taken`` bytes have gone."""
        self.size -= taken
        while taken:
            frame = self._first()
            size = size_of(frame)
            if taken < size:
                self._begun = _after(frame, taken)
                return
            taken -= size

    def _first(self) -> Frame:
        """Take out the first of the frames."""
        if self._begun:
            frame, self._begun = self._begun, ()
            return frame
        if self._ahead:
            return self._ahead.pop(next(iter(self._ahead)))
        return self._queue.popleft()


def size_of(frame: Sequence[Piece]) -> int:
    """The bytes of ``frame``."""
    return sum(map(len, frame))


def _after(frame: Frame, sent: int) -> Frame:
    """What is left of ``frame`` when its first ``sent`` bytes are gone."""
    for index, piece in enumerate(frame):
        if sent < len(piece):
            return [memoryview(piece)[sent:], *frame[index + 1 :]]
        sent -= len(piece)
    return ()
