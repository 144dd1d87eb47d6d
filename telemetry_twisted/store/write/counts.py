"""Counts by type, and the buckets of time in which everything that counts is added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from attrs import define

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound="Addable")

GRACE_SECONDS = 15
"""How long a bucket stays open after its end, for what arrives late."""

MOST_WAITING = 30
"""Buckets that wait to be written; above it they are merged, so that an outage costs no memory."""

MOST_NODES = 100_000
"""Nodes that a bucket tells apart; what others send counts for the network as a whole alone."""


class Addable(Protocol):
    """A value that another of its kind can be added to."""

    def update(self, other: Any, /) -> None:
        """Add ``other``."""


@define
class Sum:
    """A number that is added to."""

    value: int = 0

    def update(self, other: Sum) -> None:
        """Add ``other``."""
        self.value += other.value


Place = tuple[int, int]
"""A bucket: its stretch of the wall clock, and when it begins, in seconds of Unix time."""


class Buckets(Generic[K, V]):
    """Values by key in buckets of ``width`` seconds, each whole from its bucket's beginning.

    A bucket stays here as long as it can change or waits to be written. What arrives for an older
    one goes to the oldest that is open: nothing is lost, and nothing written is overwritten by
    less.

    When the wall clock is set back, the same seconds come again, and their buckets may have been
    written and let go of. They belong to another *stretch* then, whose rows have a key of their
    own; stretches are numbered from 0.

    :param make: makes an empty value.
    """

    def __init__(self, width: int, make: Callable[[], V]) -> None:
        self.width = width
        self._make = make
        self._open: dict[Place, dict[K, V]] = {}
        self._dirty: set[tuple[Place, K]] = set()
        self._tried: set[Place] = set()
        self._stretch = 0
        self._floor = 0

    def clock_set_back(self) -> None:
        """A new stretch begins; buckets of the ones before only wait to be written."""
        self._stretch += 1
        self._floor = 0

    def _place(self, seconds: int) -> Place:
        return self._stretch, max(seconds - seconds % self.width, self._floor)

    def at(self, seconds: int, key: K) -> V:
        """The value of ``key`` at ``seconds`` of Unix time, to be changed at once."""
        place = self._place(seconds)
        values = self._open.setdefault(place, {})
        value = values.get(key)
        if value is None:
            value = values[key] = self._make()
        self._dirty.add((place, key))
        return value

    def crowded(self, seconds: int, key: K, most: int) -> bool:
        """Whether the bucket of ``seconds`` holds ``most`` keys or more, but not ``key``."""
        values = self._open.get(self._place(seconds), {})
        return len(values) >= most and key not in values

    def open_values(self) -> Iterator[V]:
        """The values of all buckets that are open."""
        return (value for values in self._open.values() for value in values.values())

    def take(self) -> list[tuple[Place, K, V]]:
        """What has changed since it was last taken: the bucket, the key and the whole value."""
        taken = [(place, key, self._open[place][key]) for place, key in self._dirty]
        self._dirty.clear()
        self._tried.update(place for place, _, _ in taken)
        return taken

    def put_back(self, taken: Iterable[tuple[Place, K, V]]) -> None:
        """What was taken could not be written, or perhaps was."""
        self._dirty.update((place, key) for place, key, _ in taken)

    def settle(self, now: float) -> None:
        """Close the buckets that are over and written; merge those that wait for too long.

        Only buckets that nobody tried to write are merged: a row of the others may be there.
        """
        waiting = {place for place, _ in self._dirty}
        for place in sorted(self._open):
            stretch, bucket = place
            present = stretch == self._stretch
            over = not present or bucket + self.width + GRACE_SECONDS <= now
            if not over or place in waiting:
                break
            del self._open[place]
            self._tried.discard(place)
            if present:
                self._floor = bucket + self.width
        untried = sorted(place for place in self._open if place not in self._tried)
        while len(untried) > MOST_WAITING:
            self._merge(untried.pop(1), untried[0])

    def _merge(self, later: Place, earlier: Place) -> None:
        values = self._open[earlier]
        for key, value in self._open.pop(later).items():
            if key in values:
                values[key].update(value)
            else:
                values[key] = value
            self._dirty.discard((later, key))
            self._dirty.add((earlier, key))


class Counts:
    """Events by node and type, in buckets of every width.

    They come every second, and are added up once before they are, with :meth:`fold`, to the buckets
    in ``by_width``. The node ID is empty for all nodes together.
    """

    def __init__(self, widths: Iterable[int]) -> None:
        self.by_width: dict[int, Buckets[str, Counter[int]]] = {
            width: Buckets(width, Counter) for width in widths
        }
        self._narrowest = min(self.by_width)
        self._fresh: dict[tuple[int, str], Counter[str]] = {}

    def add(self, seconds: int, node_id: str, by_type: Mapping[str, int]) -> None:
        """Count events of a node at ``seconds`` of Unix time; types are numbers, as text."""
        key = seconds - seconds % self._narrowest, node_id
        fresh = self._fresh.get(key)
        if fresh is None:
            fresh = self._fresh[key] = Counter()
        fresh.update(by_type)

    def fold(self) -> None:
        """Add what has come since the last time to ``by_width``."""
        for (seconds, node_id), by_type in self._fresh.items():
            counts = {int(kind): count for kind, count in by_type.items()}
            for buckets in self.by_width.values():
                if not buckets.crowded(seconds, node_id, MOST_NODES) or not node_id:
                    buckets.at(seconds, node_id).update(counts)
        self._fresh.clear()
