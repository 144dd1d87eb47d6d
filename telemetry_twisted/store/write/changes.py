"""What history gathers between two commits: one interface, and the simplest that has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_CHANGES = 100_000
"""Changes of a kind that wait to be written; above it the oldest are let go of, and counted."""


class Source(Protocol):
    """Something that gathers changes until they are written.

    What :meth:`take` has handed out ends in one of two ways, before it is called again:
    :meth:`written` or :meth:`put_back`.
    """

    def take(self) -> list[Any]:
        """What has changed since it was last taken."""

    def written(self, taken: list[Any], /) -> None:
        """What was taken is in the database."""

    def put_back(self, taken: list[Any], /) -> None:
        """What was taken is not in the database: it is to be taken again."""

    def settle(self, now: float) -> None:
        """Let go of what is written and changes no more at ``now``, in seconds of Unix time."""


def _none(_key: object, _value: object) -> bool:
    return False


class Changes(Generic[K, V]):
    """The newest value of each key that has changed, the one changed last at the end.

    :param kind: what the changes are called in ``lost``.
    :param lost: where changes are counted that are let go of because there are too many.
    :param spared: whether a change is never let go of, for there are few such.
    """

    def __init__(
        self,
        kind: str,
        lost: Counter[str],
        most: int = MOST_CHANGES,
        spared: Callable[[K, V], bool] = _none,
    ) -> None:
        self._kind = kind
        self._lost = lost
        self._most = most
        self._spared = spared
        self._values: dict[K, V] = {}

    def __setitem__(self, key: K, value: V) -> None:
        self._values.pop(key, None)
        self._values[key] = value
        # All at once and some more, for each time all those that are spared are passed over.
        if len(self._values) > self._most + self._most // 10:
            self._trim()

    def __len__(self) -> int:
        return len(self._values)

    def take(self) -> list[tuple[K, V]]:
        """The keys that have changed, each with its newest value."""
        taken = list(self._values.items())
        self._values = {}
        return taken

    def written(self, taken: list[tuple[K, V]]) -> None:
        """See :class:`Source`."""

    def put_back(self, taken: list[tuple[K, V]]) -> None:
        """See :class:`Source`. What has changed since then stays."""
        self._values = {**dict(taken), **self._values}
        self._trim()

    def settle(self, now: float) -> None:
        """See :class:`Source`."""

    def _trim(self) -> None:
        excess = len(self._values) - self._most
        if excess > 0:
            others = (key for key, value in self._values.items() if not self._spared(key, value))
            for key in [key for _, key in zip(range(excess), others, strict=False)]:
                del self._values[key]
                self._lost[self._kind] += 1
