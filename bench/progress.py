"""A number shared between processes: how many events the slowest subscriber has read, plus 1.

It is 0 while there is none. A load that is to be as fast as possible without loss sends only so
many events more.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp


class Progress:
    """The number in the file ``path``, which all that open it share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._cell = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")

    @property
    def value(self) -> int:
        """The number of events."""
        return self._cell[0]

    @value.setter
    def value(self, events: int) -> None:
        self._cell[0] = events


@contextmanager
def new_progress() -> Iterator[Progress]:
    """A number that begins at 0, in a file that is removed in the end."""
    file, name = mkstemp(prefix="bench-progress-")
    try:
        os.write(file, bytes(8))
        yield Progress(Path(name))
    finally:
        os.close(file)
        os.unlink(name)
