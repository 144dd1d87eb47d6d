"""File descriptors that are held so that they are there when they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class DescriptorReserve:
    """Holds up to ``size`` file descriptors that stand for nothing.

    Where clients have taken all that the system allows, what ends frees a few for a moment, and the
    next client takes those. What has to come back, like a child process, needs some of its own.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: list[int] = []

    def fill(self) -> None:
        """Take what is missing, as far as there is any."""
        with suppress(OSError):
            while len(self._held) < self._size:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def close(self) -> None:
        """Let go of all."""
        while self._held:
            os.close(self._held.pop())

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The block may take as many descriptors as are held here; what it leaves is taken back."""
        self.close()
        try:
            yield
        finally:
            self.fill()
