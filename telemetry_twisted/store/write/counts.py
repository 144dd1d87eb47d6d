"""Counts by type, and the buckets of time in which everything that counts is added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from attrs import define

from telemetry_twisted.store.tallies import add

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound="Addable")

GRACE_SECONDS = 15
"""How long a bucket stays open after its end, for what arrives late."""

MOST_WAITING = 12
"""Buckets of which nothing is written; above it they are merged: an outage costs no memory."""

MOST_NODES = 100_000
"""Nodes that a bucket tells apart; what others send counts for the network as a whole alone."""

MOST_FRESH = 20_000
"""Counts of a node that wait until they are added up."""

_number = {str(kind): kind for kind in range(256)}.__getitem__
"""The number that a text is, of a type: looked up in half the time."""


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


class ByType(dict[int, int]):
    """Counts by type."""

    def update(self, other: Mapping[int, int], /) -> None:  # type: ignore[override]
        """Add ``other``, as the :class:`.Counter` does that it is a fast one of."""
        add(self, other)


Place = tuple[int, int]
"""A bucket: its stretch of the wall clock, and when it begins, in seconds of Unix time."""


def _nowhere(value: Any) -> None:
    """What is too much is of no consequence."""


class Buckets(Generic[K, V]):
    """Values by key in buckets of ``width`` seconds, each whole from its bucket's beginning.

    A bucket stays here as long as it can change or waits to be written. What arrives for an older
    one goes to the oldest that is open: nothing is lost, and nothing written is overwritten by
    less.

    When the wall clock is set back, the same seconds come again, and their buckets may have been
    written and let go of. They belong to another *stretch* then, whose rows have a key of their
    own; stretches are numbered from 0.

    :param make: makes an empty value.
    :param most: how many keys a bucket tells apart.
    :param other: the key for what is added to another one beyond that, if there is one for it.
    :param lost: called with what is added beyond that, if there is none.
    """

    def __init__(
        self,
        width: int,
        make: Callable[[], V],
        most: int = MOST_NODES,
        other: Callable[[K], K] | None = None,
        lost: Callable[[V], object] = _nowhere,
    ) -> None:
        self.width = width
        self._make = make
        self._most = most
        self._other = other
        self._lost = lost
        self._open: dict[Place, dict[K, V]] = {}
        self._dirty: set[tuple[Place, K]] = set()
        self._taken: set[Place] = set()
        self._written: set[Place] = set()
        self._stretch = 0
        self._floor = 0

    def clock_set_back(self) -> None:
        """A new stretch begins; buckets of the ones before only wait to be written."""
        self._stretch += 1
        self._floor = 0

    def add(self, seconds: int, key: K, value: V) -> None:
        """Add ``value`` to that of ``key`` at ``seconds`` of Unix time."""
        self._add((self._stretch, max(seconds - seconds % self.width, self._floor)), key, value)

    def _add(self, place: Place, key: K, value: V) -> None:
        values = self._open.setdefault(place, {})
        if len(values) >= self._most and key not in values:
            if self._other is None:
                self._lost(value)
                return
            key = self._other(key)
        there = values.get(key)
        if there is None:
            there = values[key] = self._make()
        there.update(value)
        self._dirty.add((place, key))

    def values_at(self, place: Place) -> Mapping[K, V]:
        """The values of an open bucket, by key."""
        return self._open[place]

    def open_values(self) -> Iterator[V]:
        """The values of all buckets that are open."""
        return (value for values in self._open.values() for value in values.values())

    def __len__(self) -> int:
        return len(self._open)

    def waiting(self) -> set[Place]:
        """The buckets of which something is not written."""
        return {place for place, _ in self._dirty} | self._taken

    def settled(self, stretch: int) -> int | None:
        """Before which time nothing changes any more of the buckets of a stretch; None if nothing
        does at all."""
        if stretch == self._stretch:
            return self._floor
        return min((bucket for of, bucket in self._open if of == stretch), default=None)

    def take(self) -> list[tuple[Place, K, V]]:
        """What has changed since it was last taken: the bucket, the key and the whole value."""
        taken = [(place, key, self._open[place][key]) for place, key in self._dirty]
        self._dirty.clear()
        self._taken = {place for place, _, _ in taken}
        return taken

    def written(self, taken: list[tuple[Place, K, V]]) -> None:
        """See :class:`.Source`."""
        self._written |= self._taken
        self._taken = set()

    def put_back(self, taken: list[tuple[Place, K, V]]) -> None:
        """See :class:`.Source`."""
        self._dirty.update((place, key) for place, key, _ in taken)
        self._taken = set()

    def settle(self, now: float) -> None:
        """Close the buckets that are over and written; merge those that wait for too long.

        Only buckets of which nothing is in the database, or may be, are merged with others.
        """
        waiting = self.waiting()
        for place in sorted(self._open):
            stretch, bucket = place
            present = stretch == self._stretch
            over = not present or bucket + self.width + GRACE_SECONDS <= now
            if not over or place in waiting:
                break
            del self._open[place]
            self._written.discard(place)
            if present:
                self._floor = bucket + self.width
        unwritten = sorted(self._open.keys() - self._written - self._taken)
        while len(unwritten) > MOST_WAITING:
            self._merge(unwritten.pop(1), unwritten[0])

    def _merge(self, later: Place, earlier: Place) -> None:
        for key, value in self._open.pop(later).items():
            self._dirty.discard((later, key))
            self._add(earlier, key, value)


def _lose(lost: Counter[str], kind: str, counts: ByType) -> None:
    lost[kind] += sum(counts.values())


class Counts:
    """Events by node and type, in buckets of every width.

    They come every second, and are added up once before they are, with :meth:`fold`, to the buckets
    in ``by_width``, and to those of all nodes together, in ``totals``.

    :param lost: where events are counted whose node cannot be told, for there are too many.
    """

    def __init__(self, widths: Collection[int], lost: Counter[str]) -> None:
        self.by_width: dict[int, Buckets[str, ByType]] = {
            width: Buckets(width, ByType, lost=partial(_lose, lost, f"node_events_{width}s"))
            for width in widths
        }
        self.totals: dict[int, Buckets[None, ByType]] = {
            width: Buckets(width, ByType) for width in widths
        }
        self._narrowest = min(widths)
        self._fresh: dict[int, dict[str, list[Mapping[str, int]]]] = {}
        self._number = 0

    def add(self, seconds: int, node_id: str, by_type: Mapping[str, int]) -> None:
        """Count events of a node at ``seconds`` of Unix time; types are numbers, as text.

        The node ID is empty where it is not known.
        """
        if self._number >= MOST_FRESH:
            self.fold()
        self._number += 1
        by_node = self._fresh.setdefault(seconds - seconds % self._narrowest, {})
        by_node.setdefault(node_id, []).append(by_type)

    def fold(self) -> None:
        """Add what has come since the last time to ``by_width`` and ``totals``."""
        for seconds, by_node in self._fresh.items():
            network = ByType()
            for node_id, told in by_node.items():
                counts = _sum(told)
                network.update(counts)
                if node_id:
                    for buckets in self.by_width.values():
                        buckets.add(seconds, node_id, counts)
            for together in self.totals.values():
                together.add(seconds, None, network)
        self._fresh.clear()
        self._number = 0


def _sum(told: Sequence[Mapping[str, int]]) -> ByType:
    """Counts by type, added up."""
    summed = ByType({_number(kind): count for kind, count in told[0].items()})
    for by_type in told[1:]:
        for kind, count in by_type.items():
            number = _number(kind)
            summed[number] = summed.get(number, 0) + count
    return summed
