"""A queue that can be looked into anywhere."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

_COMPACT_AT = 64


class Window(Generic[T]):
    """Items with rising indices, appended at ``end`` and dropped at ``start``.

    ``end`` is the index that the next item will get. Unlike a deque it is read at any index in
    constant time, and an item keeps its index for life.
    """

    def __init__(self) -> None:
        self._items: list[T | None] = []
        self._base = 0
        self.start = 0
        self.end = 0  # counted, for it is asked for with every frame

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, index: int) -> T:
        if self.start <= index < self.end:
            return self._items[index - self._base]  # type: ignore[return-value]
        raise IndexError(f"index {index} is outside {self.start}..{self.end}")

    def append(self, item: T) -> None:
        """Add ``item`` at index ``end``."""
        self._items.append(item)
        self.end += 1

    def popleft(self) -> T:
        """Remove the item at index ``start`` and return it."""
        item = self[self.start]
        self._items[self.start - self._base] = None
        self.start += 1
        gone = self.start - self._base
        if gone >= _COMPACT_AT and gone * 2 >= len(self._items):
            del self._items[:gone]
            self._base = self.start
        return item
