"""Shards and bundles as they are fetched, by erasure root."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from .opened import Opened, quiet_or_old

MOST_ROOTS = 8192
"""Erasure roots whose shards are fetched, of all networks: a full network has 341 in a slot."""

OPEN_SECONDS, QUIET_SECONDS = 600, 60
"""How long a root stays open after it was first heard of, and last."""

KINDS = (120, 121, 141, 149)
"""The roots of the chains that are told apart: a shard asked for and served, a bundle's shard
served, a bundle served."""

FetchKey = tuple[str, bytes]
"""A genesis hash, and an erasure root."""


@define
class Fetched:
    """Requests of a kind: how they ended, when the first and the last did (by the server's clock),
    and the sum and the greatest of how long those took that succeeded, in microseconds."""

    succeeded: int = 0
    failed: int = 0
    first: int = 2**63 - 1
    last: int = 0
    sum: int = 0
    greatest: int = 0

    def update(self, more: Fetched) -> None:
        """Add ``more``."""
        self.succeeded += more.succeeded
        self.failed += more.failed
        self.first = min(self.first, more.first)
        self.last = max(self.last, more.last)
        self.sum += more.sum
        self.greatest = max(self.greatest, more.greatest)


@define
class Fetches:
    """The requests for what has an erasure root, by their kind."""

    first: int
    last: int
    closed: int | None = None
    kinds: dict[int, Fetched] = field(factory=dict)

    def over(self, now: int) -> bool:
        """See :class:`.Thing`."""
        return quiet_or_old(self, now, QUIET_SECONDS, OPEN_SECONDS)

    def close(self, now: int) -> None:
        """See :class:`.Thing`."""
        self.closed = now

    def supersede(self) -> None:
        """See :class:`.Thing`: never, for it has its name from the beginning."""


class Availability(Opened[FetchKey, Fetches]):
    """What is fetched now.

    :param lost: where is counted what cannot be taken.
    """

    def __init__(self, lost: Counter[str]) -> None:
        super().__init__("fetches", MOST_ROOTS, lost)

    def add(self, key: FetchKey, kind: int, more: Fetched, arrival: int) -> None:
        """Add requests of a kind, of which it was heard at ``arrival``."""
        there = self.get(key)
        if there is None or there.closed is not None:
            if self.is_late(key):
                return
            there = Fetches(arrival, arrival)
            self.open(key, there, arrival)
        self.changed(key, arrival)
        sums = there.kinds.get(kind)
        if sums is None:
            there.kinds[kind] = more
        else:
            sums.update(more)
