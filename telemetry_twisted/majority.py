"""What the network's block is, where nodes differ: what most of them say, never the maximum.

Whoever has less than half of the nodes, be it one that lies or a third that syncs, does not move it
past what honest nodes have reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import frozen


@frozen
class Head:
    """A block of a ``slot``, and how many ``nodes`` have reached that slot."""

    slot: int
    hash: str
    nodes: int


def majority_slot(slots: Iterable[int]) -> int | None:
    """The highest slot that at least half of the nodes have reached; None where there is none.

    :param slots: the slot of each node that is within reason: that was heard lately, and is not
        ahead of the clock (:func:`~telemetry_twisted.jip3.moment.newest_slot`).
    """
    ordered = sorted(slots, reverse=True)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def majority_head(blocks: Iterable[tuple[int, str]]) -> Head | None:
    """The block that most of those at :func:`majority_slot` report.

    :param blocks: the slot and the hash of the newest block of each node that is within reason.
    """
    known = list(blocks)
    slot = majority_slot(slot for slot, _ in known)
    if slot is None:
        return None
    hashes = Counter(block for at, block in known if at == slot)
    most = min(hashes, key=lambda block: (-hashes[block], block))
    return Head(slot, most, sum(at >= slot for at, _ in known))
