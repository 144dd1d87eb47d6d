"""What history gathers between two commits: one interface, and the simplest that has it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Protocol, TypeVar

from attrs import frozen

from telemetry_twisted.store.schema.tables import Row, Table

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_CHANGES = 100_000
"""Changes that wait to be written; above it the oldest are given up."""


class Source(Protocol):
    """Something that gathers changes until they are written."""

    def take(self) -> list[Any]:
        """What has changed since it was last taken."""

    def put_back(self, taken: list[Any], /) -> None:
        """What was taken could not be written, or perhaps was: it is to be taken again."""

    def settle(self, now: float) -> None:
        """Let go of what is written and changes no more at ``now``, in seconds of Unix time."""


class Changes(Generic[K, V]):
    """The newest value of each key that has changed."""

    def __init__(self) -> None:
        self._values: dict[K, V] = {}

    def __setitem__(self, key: K, value: V) -> None:
        self._values[key] = value

    def take(self) -> list[tuple[K, V]]:
        """The keys that have changed, each with its newest value."""
        taken = list(self._values.items())
        self._values.clear()
        return taken

    def put_back(self, taken: list[tuple[K, V]]) -> None:
        """See :class:`Source`. What has changed since then stays."""
        self._values = {**dict(taken), **self._values}

    def settle(self, now: float) -> None:
        """See :class:`Source`."""
        for key in list(self._values)[: max(len(self._values) - MOST_CHANGES, 0)]:
            del self._values[key]


@frozen
class Section:
    """One kind of change: where it is gathered, the table it goes to, and how it becomes a row.

    :param row: makes a row of what ``source.take()`` lists, given the number of each node ID.
    :param node_id: the ID of the node whose number such a row holds, if it holds one.
    """

    source: Source
    table: Table
    row: Callable[[Any, Any], Row]
    node_id: Callable[[Any], str] | None = None
