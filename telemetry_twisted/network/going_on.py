"""What goes on in the connections of nodes: chains of events, by the ID of their root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

V = TypeVar("V")

Link = tuple[str, int]
"""A connection: the node's ID, and when it began (microseconds of Unix time)."""


class GoingOn(Generic[V]):
    """Something for each chain that is open, by connection and root ID.

    :param most: how many of one connection are known; of more the oldest is forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._links: dict[Link, dict[int, V]] = {}

    def get(self, link: Link, root: int) -> V | None:
        """What there is for a chain."""
        chains = self._links.get(link)
        return None if chains is None else chains.get(root)

    def put(self, link: Link, root: int, value: V) -> None:
        """Know ``value`` for a chain."""
        chains = self._links.get(link)
        if chains is None:
            chains = self._links[link] = {}
        chains[root] = value
        if len(chains) > self._most:
            del chains[next(iter(chains))]

    def end(self, link: Link, root: int) -> None:
        """A chain has ended."""
        chains = self._links.get(link)
        if chains is not None:
            chains.pop(root, None)

    def gone(self, link: Link) -> list[V]:
        """A connection has ended, and with it what is returned."""
        return [*self._links.pop(link, {}).values()]

    def items(self) -> Iterator[tuple[Link, int, V]]:
        """All that there is: connection, root ID, and what for."""
        for link, chains in self._links.items():
            for root, value in chains.items():
                yield link, root, value

    def settle(self, wanted: Callable[[V], bool]) -> None:
        """Forget what is not ``wanted`` any more."""
        for link, chains in [*self._links.items()]:
            for root in [root for root, value in chains.items() if not wanted(value)]:
                del chains[root]
            if not chains:
                del self._links[link]
