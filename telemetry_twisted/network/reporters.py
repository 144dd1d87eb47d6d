"""The nodes that report, each by a small number."""

from __future__ import annotations

from attrs import field, frozen

MOST_REPORTERS = 60_000
"""Nodes that have a number at once: it has to fit 16 bits."""

KEPT_SECONDS = 7200
"""How long a node that is not heard of keeps its number: longer than anything stays open."""

OFF = -(2**63)
"""Stands for the offset of a clock that is of no use."""


@frozen
class Reporter:
    """A connection of a node, as those see it who take what it reports.

    ``number`` stands for the node, ``connection`` is when the connection began (microseconds of
    Unix time), ``network`` the genesis hash of its network. ``offset`` is what to add to its times,
    :data:`OFF` where its clock is of no use or unknown. ``link`` tells the connection from all
    others.
    """

    number: int
    node: str
    connection: int
    network: str
    offset: int
    cores: int | None = None
    version: int = 0
    link: tuple[str, int] = field(init=False, eq=False, repr=False)

    @link.default
    def _link(self) -> tuple[str, int]:
        return self.node, self.connection


class Numbers:
    """The numbers of nodes; one is given to another node when it is not in use any more."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._nodes: list[str] = []
        self._free: list[int] = []
        self._heard: dict[str, float] = {}

    def number(self, node: str, now: float) -> int | None:
        """The number of ``node``, which is heard of ``now``; None if there are none left."""
        self._heard.pop(node, None)
        number = self._numbers.get(node)
        if number is None:
            if self._free:
                number = self._free.pop()
                self._nodes[number] = node
            elif len(self._nodes) < MOST_REPORTERS:
                number = len(self._nodes)
                self._nodes.append(node)
            else:
                return None
            self._numbers[node] = number
        self._heard[node] = now
        return number

    def known(self, node: str) -> int | None:
        """The number that ``node`` has, None if it has none."""
        return self._numbers.get(node)

    def node(self, number: int) -> str:
        """The node of a number."""
        return self._nodes[number]

    def settle(self, now: float) -> None:
        """Take back the numbers of nodes that were not heard of for :data:`KEPT_SECONDS`."""
        while self._heard:
            node, heard = next(iter(self._heard.items()))
            if heard > now - KEPT_SECONDS:
                break
            del self._heard[node]
            self._free.append(self._numbers.pop(node))
