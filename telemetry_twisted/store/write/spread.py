"""How a block spreads: when each node first reported the slot of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import ujson
from attrs import define, field, frozen

from telemetry_twisted.store.reports import (
    MOST_BLOCKS,
    OFF_CLOCK,
    Report,
    pack_reports,
    spread_of,
    unpack_reports,
)

MOST_SLOTS = 2048
"""Slots that are open at once. Those that fewest nodes reported go first."""

MOST_REPORTS = 400_000
"""Reports of all open slots: some twenty minutes of a network of 1,024 nodes."""

OPEN_SECONDS = 900
"""How long a slot stays open after its first report; one that comes later counts no more."""

MOST_NEW_SLOTS = 64
"""Slots that one node may open in one turn: a node that syncs goes through very many."""

CLOCK_TOLERANCE = 60_000_000
"""How far a node's clock may be from the server's, in microseconds, for its times to be used."""


@frozen
class Reports:
    """What each node reported of a slot that began at ``first``, to be packed for its row."""

    first: int
    by_node: tuple[tuple[str, tuple[int, int]], ...]

    @property
    def node_ids(self) -> Iterator[str]:
        """The IDs of the nodes."""
        return (node for node, _ in self.by_node)

    def pack(self, numbers: Mapping[str, int]) -> bytes:
        """The column ``reports``, the nodes being numbered."""
        return pack_reports(
            Report(numbers[node], time if time == OFF_CLOCK else time - self.first, block)
            for node, (time, block) in self.by_node
        )


@define
class Slot:
    """When each node first reported a slot, and which block.

    ``received`` is when the server read the first report, in microseconds of Unix time.
    ``reports`` holds for each node when it was (microseconds, :data:`OFF_CLOCK` where its clock
    cannot be used), and the index of the block in ``blocks``: those of which too many are have the
    index after the last.
    """

    received: int
    reports: dict[str, tuple[int, int]] = field(factory=dict)
    blocks: list[str] = field(factory=list)

    def report(self, node: str, time: int, block: str | None) -> None:
        """``node`` reported ``block`` at ``time``, unless it reported the slot before."""
        if node not in self.reports:
            self.reports[node] = time, self._index(block)

    def _index(self, block: str | None) -> int:
        if block in self.blocks:
            return self.blocks.index(block)
        if block is None or len(self.blocks) == MOST_BLOCKS:
            return MOST_BLOCKS
        self.blocks.append(block)
        return len(self.blocks) - 1

    def block(self, index: int) -> str | None:
        """The block of an index, None where it is not told apart."""
        return self.blocks[index] if index < len(self.blocks) else None

    def row(self) -> tuple[object, ...]:
        """``nodes`` to ``reports`` of the ``slots`` table, the last as :class:`Reports`."""
        told = {node: (time, self.block(index)) for node, (time, index) in self.reports.items()}
        spread = spread_of(told.values(), self.received)
        rank = {block: rank for rank, (block, _) in enumerate(spread.blocks)}
        return (
            spread.nodes,
            spread.first,
            *spread.delays,
            spread.off_clock,
            ujson.dumps(spread.blocks),
            spread.histogram,
            Reports(
                spread.first,
                tuple(
                    (node, (time, MOST_BLOCKS if block is None else rank[block]))
                    for node, (time, block) in told.items()
                ),
            ),
        )


def unpack_slot(first: int, blocks: str, reports: bytes, names: Mapping[int, str]) -> Slot:
    """The slot of a row of the table, ``names`` being the node ID of each number.

    What a node reported that has none, for it was forgotten, is left out.
    """
    slot = Slot(first, blocks=[block for block, _ in ujson.loads(blocks)])
    for number, delay, block in unpack_reports(reports):
        if number in names:
            slot.reports[names[number]] = (delay if delay == OFF_CLOCK else first + delay), block
    return slot


def reporters(reports: bytes) -> Iterator[int]:
    """The numbers of the nodes in the column ``reports``."""
    return (report.node for report in unpack_reports(reports))


class Spreads:
    """The slots that nodes report now, by event type and slot number.

    :param lost: where slots are counted that are let go of before they are written.
    """

    def __init__(self, lost: Counter[str]) -> None:
        self._lost = lost
        self._slots: dict[tuple[int, int], Slot] = {}
        self._dirty: set[tuple[int, int]] = set()
        self._opened: Counter[str] = Counter()
        self._reports = 0

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
                self._lost["slot_reports"] += 1
                return
            self._opened[node] += 1
            slot = self._slots[kind, number] = Slot(received)
        if node in slot.reports:
            return
        slot.report(node, time if abs(time - received) <= CLOCK_TOLERANCE else OFF_CLOCK, block)
        self._reports += 1
        self._dirty.add((kind, number))
        if len(self._slots) > 2 * MOST_SLOTS or self._reports > 2 * MOST_REPORTS:
            self._trim()

    def go_on(self, kind: int, number: int, earlier: Slot) -> None:
        """Go on with a slot that the server's run before has written; its reports came first."""
        slot = self._slots.get((kind, number))
        if slot is not None:
            self._reports -= len(slot.reports)
            for node, (time, block) in slot.reports.items():
                earlier.report(node, time, slot.block(block))
            self._dirty.add((kind, number))
        self._reports += len(earlier.reports)
        self._slots[kind, number] = earlier

    def take(self) -> list[tuple[int, int, Slot]]:
        """The slots that have changed since they were last taken, with type and number."""
        taken = [(kind, number, self._slots[kind, number]) for kind, number in self._dirty]
        self._dirty.clear()
        return taken

    def written(self, taken: list[tuple[int, int, Slot]]) -> None:
        """See :class:`.Source`."""

    def put_back(self, taken: list[tuple[int, int, Slot]]) -> None:
        """See :class:`.Source`."""
        for kind, number, slot in taken:
            if self._slots.get((kind, number)) is slot:
                self._dirty.add((kind, number))
            else:
                self._lost["slots"] += 1

    def settle(self, now: float) -> None:
        """Forget slots that are written and old, and then others, where there are too many.

        A slot that is reported again later does not replace the fuller row it has.
        """
        self._opened.clear()
        oldest = (now - OPEN_SECONDS) * 1_000_000
        for key in [key for key, slot in self._slots.items() if slot.received < oldest]:
            if key not in self._dirty:
                self._forget(key)
        self._trim()

    def _trim(self) -> None:
        if len(self._slots) <= MOST_SLOTS and self._reports <= MOST_REPORTS:
            return
        for key in list(self._least_important()):
            if len(self._slots) <= MOST_SLOTS and self._reports <= MOST_REPORTS:
                break
            self._forget(key)

    def _forget(self, key: tuple[int, int]) -> None:
        self._reports -= len(self._slots.pop(key).reports)
        if key in self._dirty:
            self._dirty.discard(key)
            self._lost["slots"] += 1

    def _least_important(self) -> Iterator[tuple[int, int]]:
        order = {key: age for age, key in enumerate(self._slots)}
        half = len(order) // 2
        yield from sorted(
            order,
            key=lambda key: (
                key in self._dirty,
                order[key] >= half,
                len(self._slots[key].reports),
            ),
        )
