"""Things that go on: kept while they change, written when they have, final once they are over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar

MOST_CLOSED = 50_000
"""Keys that are remembered of what is over, so that what comes too late for it is known."""


class Thing(Protocol):
    """Something that goes on.

    ``first`` and ``last`` are when something was first and last heard of it, ``closed`` when it was
    over, None while it goes on: microseconds of Unix time by the server's clock.
    """

    first: int
    last: int
    closed: int | None

    def over(self, now: int) -> bool:
        """Whether nothing more is to be waited for."""

    def close(self, now: int) -> None:
        """Nothing more is waited for."""

    def supersede(self) -> None:
        """It has become part of another thing: nothing is left of it."""


def quiet_or_old(thing: Thing, now: int, quiet_seconds: float, open_seconds: float) -> bool:
    """Whether nothing was heard of ``thing`` for so long, or it has been open for so long, ``now``
    (microseconds of Unix time)."""
    return (
        now - thing.last > quiet_seconds * 1_000_000 or now - thing.first > open_seconds * 1_000_000
    )


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Thing)


class Opened(Generic[K, V]):
    """The things of a kind that are open, by key, the one opened first at the beginning.

    It is a source of changes as history wants them: what :meth:`take` has handed out is
    :meth:`written` or :meth:`put_back` before it is called again.

    :param kind: what the things are called in ``lost``.
    :param most: how many are open at once; above it the oldest are closed. Where they cannot be
        written either, twice as many are kept, and of more the oldest are let go of.
    :param lost: where is counted what is let go of before it is written, and what comes too late.
    """

    def __init__(self, kind: str, most: int, lost: Counter[str]) -> None:
        self._kind = kind
        self._most = most
        self._lost = lost
        self._open: dict[K, V] = {}
        self._dirty: dict[K, None] = {}
        self._taken: set[K] = set()
        self._known: set[K] = set()
        self._closed: dict[K, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[K]:
        return iter(self._open)

    def values(self) -> Iterator[V]:
        """What is open, over or not."""
        return iter(self._open.values())

    def get(self, key: K) -> V | None:
        """What is open under ``key``; it may be over, and only wait to be written."""
        return self._open.get(key)

    def is_late(self, key: K, times: int = 1) -> bool:
        """Whether what was under ``key`` is over; how often something comes for it is counted."""
        there = self._open.get(key)
        late = key in self._closed if there is None else there.closed is not None
        if late:
            self._lost[f"late_{self._kind}"] += times
        return late

    def open(self, key: K, value: V, now: int) -> None:
        """Keep ``value`` from now on."""
        self._open[key] = value
        self._dirty[key] = None
        if len(self._open) > 2 * self._most:
            self._trim(now)

    def changed(self, key: K, now: int) -> None:
        """Something was heard of what is under ``key``, ``now``."""
        self._open[key].last = now
        self._dirty[key] = None

    def supersede(self, key: K) -> None:
        """What is under ``key`` has become part of another thing."""
        if key in self._known:  # the database has it, or may have it
            self._open[key].supersede()
            self._close(key, self._open[key].last)
        else:
            self._dirty.pop(key, None)
            del self._open[key]

    def __contains__(self, key: object) -> bool:
        """Whether there is something under ``key``, over or not."""
        return key in self._open

    def resume(self, key: K, value: V) -> None:
        """Go on with ``value``, which the database has."""
        self._open[key] = value
        self._known.add(key)

    def know_closed(self, key: K) -> None:
        """What was under ``key`` is over, and the database has it."""
        self._closed[key] = None
        if len(self._closed) > MOST_CLOSED:
            del self._closed[next(iter(self._closed))]

    def take(self) -> list[tuple[K, V]]:
        """What has changed since it was last taken."""
        taken = [(key, self._open[key]) for key in self._dirty]
        self._dirty = {}
        self._taken = {key for key, _ in taken}
        self._known |= self._taken
        return taken

    def written(self, taken: list[tuple[K, V]]) -> None:
        """What was taken is in the database."""
        self._taken = set()

    def put_back(self, taken: list[tuple[K, V]]) -> None:
        """What was taken is not in the database: it is to be taken again."""
        self._taken = set()
        for key, value in taken:
            if self._open.get(key) is value:
                self._dirty[key] = None
            else:
                self._lost[self._kind] += 1

    def settle(self, now: float) -> None:
        """Close what is over at ``now`` (seconds), and let go of what is closed and written."""
        micros = int(now * 1_000_000)
        for key, value in list(self._open.items()):
            if value.closed is None:
                if value.over(micros):
                    self._close(key, micros)
            elif key not in self._dirty and key not in self._taken:
                self._forget(key)
        self._trim(micros)

    def _close(self, key: K, now: int) -> None:
        self._open[key].close(now)
        self._dirty[key] = None

    def _forget(self, key: K) -> None:
        del self._open[key]
        self._known.discard(key)
        self.know_closed(key)

    def _trim(self, now: int) -> None:
        going_on = [key for key, value in self._open.items() if value.closed is None]
        for key in going_on[: max(len(going_on) - self._most, 0)]:
            self._close(key, now)
        for key in list(self._open)[: max(len(self._open) - 2 * self._most, 0)]:
            self._forget(key)
            if key in self._dirty:
                del self._dirty[key]
                self._lost[self._kind] += 1
