"""A slot: who made its blocks, what is in those, and how they spread, stage by stage."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field

from .reporters import Reporter
from .spread import Spread

STAGES = ("announced", "importing", "verified", "executed", "best", "finalized")
"""What a node may report of a block, in the order in which it happens."""

(ANNOUNCED, IMPORTING, VERIFIED, EXECUTED, BEST, FINALIZED) = range(6)

MOST_BLOCKS = 8
"""Blocks of one slot that are told apart, and nodes that tried to make one."""

OPEN_SECONDS, QUIET_SECONDS = 900, 60
"""How long a slot stays open after its first report, and after the last where it is finalized."""

OUTLINE = (
    "size_bytes",
    "num_tickets",
    "num_preimages",
    "total_preimages_size",
    "num_guarantees",
    "num_assurances",
    "num_dispute_verdicts",
)
"""What is told of what is in a block, beside its hash."""


@define
class Block:
    """A block of a slot: its hash, and what is known of it so far.

    ``author`` is the node that says that it authored it, at ``authored`` by its own clock
    (microseconds of Unix time), whose ``offset`` was known then; ``outline`` is as :data:`OUTLINE`.
    """

    hash: bytes
    author: str | None = None
    authored: int | None = None
    offset: int | None = None
    parent: bytes | None = None
    outline: tuple[int, ...] | None = None


@define
class Slot:
    """A slot of a network: its ``blocks``, and by stage its ``spreads`` and which of the blocks
    each report was of, in the same order; what cannot be told apart is of the block after the last.

    ``tried`` are nodes that began to author a block in it; ``failures`` counts what failed.
    """

    first: int
    last: int
    closed: int | None = None
    blocks: list[Block] = field(factory=list)
    spreads: tuple[Spread, ...] = field(factory=lambda: tuple(Spread() for _ in STAGES))
    of_block: tuple[bytearray, ...] = field(factory=lambda: tuple(bytearray() for _ in STAGES))
    tried: list[str] = field(factory=list)
    failures: Counter[str] = field(factory=Counter)

    def block(self, hash: bytes) -> int:
        """The index of a block."""
        for index, block in enumerate(self.blocks):
            if block.hash == hash:
                return index
        if len(self.blocks) < MOST_BLOCKS:
            self.blocks.append(Block(hash))
            return len(self.blocks) - 1
        return MOST_BLOCKS

    def report(self, stage: int, reporter: Reporter, time: int, block: int) -> bool:
        """``reporter`` reports a stage of a block; whether it is its first report of that."""
        new = self.spreads[stage].add(reporter, time)
        if new:
            self.of_block[stage].append(block)
        return new

    def over(self, now: int) -> bool:
        """See :class:`.Thing`."""
        finalized = len(self.spreads[FINALIZED]) and now - self.last > QUIET_SECONDS * 1_000_000
        return bool(finalized) or now - self.first > OPEN_SECONDS * 1_000_000

    def close(self, now: int) -> None:
        """See :class:`.Thing`."""
        self.closed = now

    def supersede(self) -> None:
        """See :class:`.Thing`: never, for it has its name from the beginning."""


def dump_slot(slot: Slot) -> list[Any]:
    """All that is known of a slot, as MessagePack has it."""
    return [
        [[b.hash, b.author, b.authored, b.offset, b.parent, b.outline] for b in slot.blocks],
        [spread.dump() for spread in slot.spreads],
        [bytes(each) for each in slot.of_block],
        slot.tried,
        dict(slot.failures),
    ]


def load_slot(dumped: Sequence[Any], numbers: Mapping[int, int], first: int, last: int) -> Slot:
    """What :func:`dump_slot` dumped; ``numbers`` as :meth:`.Spread.load` takes them."""
    blocks, spreads, of_block, tried, failures = dumped
    told = [Spread.load(spread, numbers) for spread in spreads]
    kept = [
        bytearray(
            block
            for block, node in zip(indexes, array("H", spread[0]), strict=True)
            if node in numbers
        )
        for indexes, spread in zip(of_block, spreads, strict=True)
    ]
    return Slot(
        first,
        last,
        None,
        [
            Block(hash, author, authored, offset, parent, tuple(outline) if outline else None)
            for hash, author, authored, offset, parent, outline in blocks
        ],
        tuple(told),
        tuple(kept),
        list(tried),
        Counter(failures),
    )
