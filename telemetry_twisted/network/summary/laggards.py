"""Which nodes of a network have its blocks late, or not at all."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from heapq import nlargest
from operator import itemgetter
from statistics import median_low
from typing import Any, NamedTuple

from telemetry_twisted.jip3.moment import SLOT
from telemetry_twisted.network.reporters import OFF, Numbers
from telemetry_twisted.network.slot import BEST, Slot
from telemetry_twisted.network.slots import SlotKey, Slots
from telemetry_twisted.network.spread import Spread
from telemetry_twisted.turns import pieces

MOST_LOOKED_AT = 20
"""Slots that are looked at, the newest of those in which nodes have had their time."""

SETTLED = 3 * SLOT // 2
"""How long ago a slot was first heard of for its nodes to have had their time, in microseconds."""

LATE = 2_000_000
"""A node has a block late that has it so long after half of the nodes, in microseconds."""

LEAST_LATE, MOST_TOLD = 4, 16
"""In how many of those slots at least, and how many nodes are told, those late most often first."""


class _Judged(NamedTuple):
    """A slot: how many ``reports`` of it there were, and who ``had`` its block, and ``late``.

    Sets of nodes are whole numbers here, in which the bit of each node's number is set.
    """

    reports: int
    had: int
    late: int


class Laggards:
    """Knows how each of the newest slots went, and looks at one again when more is told of it."""

    def __init__(self, slots: Slots, numbers: Numbers) -> None:
        self._slots = slots
        self._numbers = numbers
        self._judged: dict[SlotKey, _Judged] = {}
        self._since: dict[str, int] = {}

    def told(
        self, nodes: Mapping[str, str], made: Mapping[str, dict[str, Any]], now: int
    ) -> Iterator[None]:
        """Add to what is ``made`` of each network its ``late_nodes``, in steps.

        A node has missed what it does not report though it was connected since before, and has
        reported a slot before it.

        :param nodes: the network of each node that is connected.
        """
        of: dict[str, list[tuple[int, Slot]]] = {network: [] for network in made}
        for key in [*self._slots]:
            slot = self._slots.get(key)
            if key[0] in of and slot is not None and now - slot.first >= SETTLED:
                of[key[0]].append((key[1], slot))
        yield
        came: dict[str, list[tuple[int, int]]] = {network: [] for network in made}
        yield from self._see_who_came(nodes, came, now)
        judged: dict[SlotKey, _Judged] = {}
        for network, summary in made.items():
            newest = nlargest(MOST_LOOKED_AT, of[network], key=lambda each: each[0])
            record = _Record(came[network])
            for number, slot in reversed(newest):
                key = network, number
                each = judged[key] = self._judge(key, slot)
                if 2 * each.reports > summary["connected"]:  # or whoever lacks it is not alone
                    record.add(each, slot.first)
                yield
            summary["late_nodes"] = record.told(self._numbers)
        self._judged = judged

    def _see_who_came(
        self, nodes: Mapping[str, str], came: Mapping[str, list[tuple[int, int]]], now: int
    ) -> Iterator[None]:
        """Have the nodes of each network in the order in which they came: since when, and which."""
        since = self._since
        for node in since.keys() - nodes.keys():
            del since[node]
        for node in nodes:
            since.setdefault(node, now)
        yield
        for piece in pieces(since.items()):
            for node, at in piece:
                number = self._numbers.known(node)
                if number is not None and nodes[node] in came:
                    # It may have been by a clock that was set back since.
                    came[nodes[node]].append((min(at, now), number))
            yield

    def _judge(self, key: SlotKey, slot: Slot) -> _Judged:
        spread = slot.spreads[BEST]
        known = self._judged.get(key)
        return known if known is not None and known.reports == len(spread) else _judged(spread)


def _judged(spread: Spread) -> _Judged:
    """Who had a block late: both as the nodes say, and with the offsets of clocks taken out.

    Where the server was too busy to read in time, it is offsets that are wrong.
    """
    late: list[int] = []
    times = [
        (number, time, time + offset)
        for number, time, offset in zip(spread.nodes, spread.times, spread.offsets, strict=True)
        if offset != OFF
    ]
    if times:
        said = median_low(time for _, time, _ in times) + LATE
        corrected = median_low(time for *_, time in times) + LATE
        late = [n for n, time, right in times if time >= said and right >= corrected]
    return _Judged(len(spread), _set_of(spread.nodes), _set_of(late))


class _Record:
    """How nodes did in the slots of a network, which are added in their order.

    :param came: since when each node is there, in that order, and its number.
    """

    def __init__(self, came: Sequence[tuple[int, int]]) -> None:
        self._came = came
        self._all = _set_of([number for _, number in came])
        self._there = self._known = self._arrived = 0
        self._late: Counter[int] = Counter()
        self._missed: Counter[int] = Counter()
        self._counted: list[int] = []

    def add(self, slot: _Judged, began: int) -> None:
        """Add the next slot, which was first heard of at ``began``."""
        arrived = bisect_right(self._came, began, self._arrived, key=itemgetter(0))
        self._there |= _set_of([number for _, number in self._came[self._arrived : arrived]])
        self._arrived = arrived
        missed = self._there & self._known & ~slot.had
        self._known |= slot.had
        self._counted.append(slot.had | missed)
        self._missed.update(_numbers_in(missed))
        self._late.update(_numbers_in(slot.late & self._all))

    def told(self, numbers: Numbers) -> dict[str, Any]:
        """How many nodes were late too often, and the worst of them."""
        late = {
            number: times
            for number, times in (self._late + self._missed).items()
            if times >= LEAST_LATE
        }
        named = ((times, numbers.node(number), number) for number, times in late.items())
        return {
            "count": len(late),
            "worst": [
                {
                    "node_id": node,
                    "slots": sum(counted >> number & 1 for counted in self._counted),
                    "late": times,
                    "missed": self._missed[number],
                }
                for times, node, number in nlargest(MOST_TOLD, named)
            ],
        }


def _set_of(numbers: Sequence[int]) -> int:
    bits = bytearray(max(numbers, default=-1) // 8 + 1)
    for number in numbers:
        bits[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(bits, "little")


def _numbers_in(nodes: int) -> Iterator[int]:
    while nodes:
        last = nodes & -nodes
        yield last.bit_length() - 1
        nodes ^= last
