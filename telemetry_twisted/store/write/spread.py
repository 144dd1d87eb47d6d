"""How a block spreads: when each node first reported the slot of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil

import ujson
from attrs import define, field

from telemetry_twisted.store.histogram import Histogram

MOST_SLOTS = 2048
"""Slots that are open at once. Those that fewest nodes reported go first."""

MOST_NEW_SLOTS = 64
"""Slots that one node may open in one turn: a node that syncs goes through very many."""

MOST_BLOCKS = 8
"""Blocks of one slot that are told apart."""

CLOCK_TOLERANCE = 60_000_000
"""How far a node's clock may be from the server's, in microseconds, for its times to be used."""


def nearest_rank(ordered: list[int], share: float) -> int:
    """The smallest of ``ordered`` that ``share`` (0 to 1) of them do not exceed."""
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]


@define
class Slot:
    """When each node first reported a slot (microseconds of Unix time), and which block.

    ``received`` is when the server read the first report, ``off_clock`` are the nodes whose times
    cannot be used.
    """

    received: int
    times: dict[str, int] = field(factory=dict)
    off_clock: set[str] = field(factory=set)
    blocks: Counter[str] = field(factory=Counter)

    @property
    def nodes(self) -> int:
        """How many nodes reported the slot."""
        return len(self.times) + len(self.off_clock)

    def row(self) -> tuple[object, ...]:
        """``nodes`` to ``histogram`` of the ``slots`` table."""
        ordered = sorted(self.times.values())
        first = ordered[0] if ordered else self.received
        delays = [time - ordered[0] for time in ordered]
        histogram = Histogram()
        histogram.add(delays)
        ranks = [nearest_rank(delays, share) if delays else None for share in (0.5, 0.95, 0.99, 1)]
        blocks = ujson.dumps(self.blocks.most_common())
        return (self.nodes, first, *ranks, len(self.off_clock), blocks, histogram.encode())


class Spreads:
    """The slots that nodes report now, by event type and slot number."""

    def __init__(self) -> None:
        self._slots: dict[tuple[int, int], Slot] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._opened: Counter[str] = Counter()

    def report(
        self, kind: int, number: int, block: str, node: str, time: int, received: int
    ) -> None:
        """``node`` reported ``block`` of slot ``number`` by an event of type ``kind``.

        ``time`` is when by its own clock and ``received`` by the server's, in microseconds of
        Unix time. Only a node's first report of a slot counts.
        """
        slot = self._slots.get((kind, number))
        if slot is None:
            if self._opened[node] == MOST_NEW_SLOTS:
                return
            self._opened[node] += 1
            slot = self._slots[kind, number] = Slot(received)
        if node in slot.times or node in slot.off_clock:
            return
        if abs(time - received) <= CLOCK_TOLERANCE:
            slot.times[node] = time
        else:
            slot.off_clock.add(node)
        if block in slot.blocks or len(slot.blocks) < MOST_BLOCKS:
            slot.blocks[block] += 1
        self._dirty.add((kind, number))

    def take(self) -> list[tuple[int, int, Slot]]:
        """The slots that have changed since they were last taken, with type and number."""
        taken = [(kind, number, self._slots[kind, number]) for kind, number in self._dirty]
        self._dirty.clear()
        return taken

    def put_back(self, taken: list[tuple[int, int, Slot]]) -> None:
        """What was taken could not be written, or perhaps was."""
        self._dirty.update((kind, number) for kind, number, _ in taken)

    def settle(self, now: float) -> None:
        """Forget slots that are written, and then others, where there are too many.

        A slot that is reported again later does not replace the fuller row it has.
        """
        self._opened.clear()
        excess = len(self._slots) - MOST_SLOTS
        if excess > 0:
            for key in list(self._least_important())[:excess]:
                del self._slots[key]
                self._dirty.discard(key)

    def _least_important(self) -> Iterator[tuple[int, int]]:
        order = {key: age for age, key in enumerate(self._slots)}
        half = len(order) // 2
        yield from sorted(
            order, key=lambda key: (key in self._dirty, order[key] >= half, self._slots[key].nodes)
        )
