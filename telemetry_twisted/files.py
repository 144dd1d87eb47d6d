"""Files that are read again when they change."""

from __future__ import annotations

import os
from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

LOOK_SECONDS = 1.0
"""How often it is looked at, at most, whether files have changed."""


class WatchedFiles:
    """Knows whether the files at ``paths`` are still those that were read."""

    def __init__(self, paths: Sequence[str], clock: IReactorTime) -> None:
        self._paths = paths
        self._clock = clock
        self._looked = clock.seconds()
        self.reading()

    def reading(self) -> None:
        """They are about to be read: what changes from now on has changed."""
        self._seen = self._state()

    @property
    def changed(self) -> bool:
        """Whether they have changed; not looked at again for :data:`LOOK_SECONDS`."""
        now = self._clock.seconds()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        return self._state() != self._seen

    def _state(self) -> list[tuple[int, ...] | None]:
        """What differs if a file does; None for one that is not there."""
        return [_state_of(path) for path in self._paths]


def _state_of(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
