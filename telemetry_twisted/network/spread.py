"""How one thing spreads over nodes: when each of them first reported it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from attrs import define, field

from .reporters import OFF, Reporter

SHARES = (0.5, 0.95, 0.99, 1.0)
"""Of which shares of the nodes it is told after how long they had reported."""


class Ranks(NamedTuple):
    """When the first node had it (microseconds of Unix time), and after how long so many had.

    Exact: the delay of the node of that rank, no less than the share of all.
    """

    first: int
    p50: int
    p95: int
    p99: int
    last: int


def ranks(times: Iterable[int]) -> Ranks | None:
    """The ranks of some times, None if there are none."""
    ordered = sorted(times)
    if not ordered:
        return None
    first, last = ordered[0], len(ordered)
    delays = [ordered[max(ceil(share * last) - 1, 0)] - first for share in SHARES]
    return Ranks(first, *delays)


class Delays(NamedTuple):
    """How a thing has spread over ``nodes``, of which ``off_clock`` are left out of the ranks.

    ``reported`` is by each node's own clock, ``corrected`` with the offsets of clocks taken out.
    """

    nodes: int
    off_clock: int
    reported: Ranks | None
    corrected: Ranks | None


@define
class Spread:
    """When each node first reported a thing: its number, the time by its own clock (microseconds
    of Unix time), and its offset then, in three arrays of the same length."""

    nodes: array[int] = field(factory=lambda: array("H"))
    times: array[int] = field(factory=lambda: array("q"))
    offsets: array[int] = field(factory=lambda: array("q"))
    _seen: int = 0

    def add(self, reporter: Reporter, time: int) -> bool:
        """``reporter`` reports it at ``time``; whether it is the first time that it does."""
        bit = 1 << reporter.number
        if self._seen & bit:
            return False
        self._seen |= bit
        self.nodes.append(reporter.number)
        self.times.append(time)
        self.offsets.append(reporter.offset)
        return True

    def __len__(self) -> int:
        return len(self.nodes)

    def delays(self) -> Delays:
        """How it has spread so far."""
        pairs = [
            (time, offset)
            for time, offset in zip(self.times, self.offsets, strict=True)
            if offset != OFF
        ]
        return Delays(
            len(self.nodes),
            len(self.nodes) - len(pairs),
            ranks(time for time, _ in pairs),
            ranks(time + offset for time, offset in pairs),
        )

    def dump(self) -> tuple[bytes, bytes, bytes]:
        """The three arrays, as :meth:`load` takes them."""
        return self.nodes.tobytes(), self.times.tobytes(), self.offsets.tobytes()

    @classmethod
    def load(cls, dumped: Sequence[bytes], numbers: Mapping[int, int]) -> Spread:
        """What :meth:`dump` gave; ``numbers`` are those that nodes have now, by those then.

        What nodes reported that have none is left out.
        """
        nodes, times, offsets = (
            array(code, data) for code, data in zip("Hqq", dumped, strict=True)
        )
        spread = cls()
        for node, time, offset in zip(nodes, times, offsets, strict=True):
            if node in numbers:
                spread.nodes.append(numbers[node])
                spread.times.append(time)
                spread.offsets.append(offset)
                spread._seen |= 1 << numbers[node]
        return spread
