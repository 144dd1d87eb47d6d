"""Which nodes of a network have its blocks late, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import nlargest
from typing import Any

from attrs import define

from telemetry_twisted.jip3.moment import SLOT
from telemetry_twisted.network.reporters import OFF, Numbers
from telemetry_twisted.network.slot import BEST, Slot
from telemetry_twisted.network.slots import Slots

MOST_LOOKED_AT = 20
"""Slots that are looked at, the newest of those in which nodes have had their time."""

SETTLED = 3 * SLOT // 2
"""How long ago a slot was first heard of for its nodes to have had their time, in microseconds."""

LATE = 2_000_000
"""A node that has a block so long after the first one has it late, in microseconds."""

LEAST_LATE, MOST_TOLD = 3, 16
"""In how many of those slots at least, and how many nodes are told, those late most often first."""


@define
class _Node:
    slots: int = 0
    late: int = 0
    missed: int = 0


def told_late(
    slots: Slots,
    numbers: Numbers,
    nodes: Mapping[str, str],
    made: Mapping[str, dict[str, Any]],
    now: int,
) -> Iterator[None]:
    """Add to what is ``made`` of each network its ``late_nodes``, in steps.

    Times are with the offsets of clocks taken out; those that are of no use are passed over. A node
    has missed what it does not report after it has reported another slot before.

    :param nodes: the network of each node that is connected.
    """
    of: dict[str, list[tuple[int, Slot]]] = {network: [] for network in made}
    for key in [*slots]:
        slot = slots.get(key)
        if key[0] in of and slot is not None and now - slot.first >= SETTLED:
            of[key[0]].append((key[1], slot))
    yield
    for network, summary in made.items():
        found: dict[str, _Node] = {}
        newest = nlargest(MOST_LOOKED_AT, of[network], key=lambda each: each[0])
        there = {node for node, its in nodes.items() if its == network}
        for _, slot in reversed(newest):
            _look_at(slot, numbers, there, found)
            yield
        late = {node: each for node, each in found.items() if each.late >= LEAST_LATE}
        most = nlargest(MOST_TOLD, late.items(), key=lambda each: (each[1].late, each[0]))
        summary["late_nodes"] = {
            "count": len(late),
            "worst": [
                {"node_id": node, "slots": each.slots, "late": each.late, "missed": each.missed}
                for node, each in most
            ],
        }


def _look_at(slot: Slot, numbers: Numbers, there: set[str], found: dict[str, _Node]) -> None:
    spread = slot.spreads[BEST]
    if not 2 * len(spread) > len(there):
        return  # whoever has not got it is not alone
    times = {
        numbers.node(number): None if offset == OFF else time + offset
        for number, time, offset in zip(spread.nodes, spread.times, spread.offsets, strict=True)
    }
    first = min((time for time in times.values() if time is not None), default=0)
    for node, time in times.items():
        if node in there:
            each = found.setdefault(node, _Node())
            each.slots += 1
            each.late += time is not None and time - first >= LATE
    for node in there - times.keys():
        known = found.get(node)
        if known is not None:
            known.slots += 1
            known.late += 1
            known.missed += 1
