"""The newest slots of a network, and whether its nodes agree on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from heapq import nlargest
from typing import Any

from telemetry_twisted.jip3.moment import SLOT
from telemetry_twisted.network.slot import BEST, FINALIZED, STAGES, Slot
from telemetry_twisted.network.slots import SlotKey, Slots

MOST_SLOTS = 10
"""Slots that are told, the newest."""

MOST_LOOKED_AT = 64
"""Slots that are looked at for how long a fork is."""

Told = dict[SlotKey, tuple[int, dict[str, Any]]]
"""What was told of slots, and when each had changed last then."""


def told_slots(
    slots: Slots, made: Mapping[str, dict[str, Any]], told: Told, now: int
) -> Iterator[None]:
    """Add to what is ``made`` of each network its slots, in steps.

    ``best`` and ``finalized`` are the newest that any node has reported, ``slots`` the newest
    first, ``fork`` for how many ``slots`` in a row nodes have taken different blocks for best.

    :param told: of the last look; what has not changed is taken from it. It is replaced.
    """
    numbers: dict[str, list[int]] = {network: [] for network in made}
    for network, number in [*slots]:
        if network in numbers:
            numbers[network].append(number)
    yield
    before, after = dict(told), Told()
    for network, summary in made.items():
        there = [
            (number, slot)
            for number in nlargest(MOST_LOOKED_AT, numbers[network])
            if (slot := slots.get((network, number))) is not None
        ]
        for name, stage in (("best", BEST), ("finalized", FINALIZED)):
            newest = next((number for number, slot in there if len(slot.spreads[stage])), None)
            if newest is not None:
                summary[name] = newest
        summary["slots"] = []
        for number, slot in there[:MOST_SLOTS]:
            key = network, number
            last, shown = before.get(key, (-1, {}))
            if last != slot.last:
                last, shown = slot.last, told_slot(number, slot)
                yield
            after[key] = last, shown
            summary["slots"].append(shown)
        fork = fork_of(there, now)
        if fork is not None:
            summary["fork"] = fork
        yield
    told.clear()
    told.update(after)


def told_slot(number: int, slot: Slot) -> dict[str, Any]:
    """A slot: its blocks, each with how many nodes took it for best, and how it has spread."""
    best = Counter(slot.of_block[BEST])
    delays = slot.spreads[BEST].delays()
    ranks = delays.corrected or delays.reported
    return {
        "slot": number,
        "blocks": [
            {"hash": f"0x{block.hash.hex()}", "author": block.author, "best": best[index]}
            for index, block in enumerate(slot.blocks)
        ],
        "fork": len(best) > 1,
        "stages": {stage: len(spread) for stage, spread in zip(STAGES, slot.spreads, strict=True)},
        "best_p50_ms": None if ranks is None else ranks.p50 / 1000,
        "best_p95_ms": None if ranks is None else ranks.p95 / 1000,
        "failures": dict(slot.failures),
    }


def fork_of(slots: list[tuple[int, Slot]], now: int) -> dict[str, Any] | None:
    """For how many slots in a row nodes have been on different blocks; None if they are not.

    A slot of which the first nodes have only just told says nothing of what others will tell.

    :param slots: of one network, the newest first.
    """
    forked: list[int] = []
    for number, slot in slots:
        blocks = set(slot.of_block[BEST])
        if len(blocks) > 1:
            forked.append(number)
        elif blocks and (forked or now - slot.first >= SLOT):
            break
    return {"slots": len(forked), "since_slot": forked[-1]} if forked else None
