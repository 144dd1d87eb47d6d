"""The blockchain that all simulated nodes share: slots, blocks, epochs, finality.

Everything is a pure function of the seed and a slot, so that nodes agree on it without talking.
Times are microseconds of the JAM Common Era.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import Any

from attrs import frozen

SECOND = 1_000_000
"""A second, in microseconds."""

SLOT = 6 * SECOND
"""A slot, in microseconds."""

ASSURED = 2 * SECOND
"""Microseconds of a slot after which all nodes distribute assurances of the block before it."""

EPOCH_SLOTS = 600
"""Slots in an epoch."""

ERA = datetime(2025, 1, 1, 12, tzinfo=timezone.utc)
"""Where the JAM Common Era begins."""

_SKIPPED = 0.03
"""Share of slots whose author fails, so that they have no block."""


def era_time(moment: datetime) -> int:
    """``moment`` in microseconds of the JAM Common Era."""
    return (moment - ERA) // timedelta(microseconds=1)


def digest(*parts: object) -> bytes:
    """32 bytes that depend on all of ``parts`` and on nothing else."""
    return blake2b("/".join(map(str, parts)).encode(), digest_size=32).digest()


def has_share(share: float, *parts: object) -> bool:
    """Whether ``parts`` are among a ``share`` (0 to 1) of all, chosen by nothing but themselves."""
    return int.from_bytes(digest(*parts)[:4], "little") < share * 2**32


def slot_hash(slot: int, *parts: object) -> bytes:
    """32 bytes that depend on ``parts``; the last eight also on ``slot``, in proportion to it.

    So a hash for one slot can be turned into that for another by adding a multiple of the slots
    between them, which is how a :class:`~.prepared.PreparedPiece` goes from slot to slot.
    """
    return digest(*parts)[:24] + (slot * 0x9E3779B1).to_bytes(8, "little")


@frozen
class Block:
    """A block of the blockchain.

    ``hash`` and ``parent`` are header hashes, ``author`` is the index of a node, ``ready`` the time
    at which its author has made it, ``outline`` and ``accumulated`` what ``Authored`` and
    ``BlockExecuted`` say of it.
    """

    slot: int
    hash: bytes
    parent: bytes
    author: int
    ready: int
    outline: dict[str, Any]
    accumulated: list[tuple[int, dict[str, Any]]]


class Blockchain:
    """The blocks of the slots, authored by ``authors`` nodes in a random order.

    A share of slots, ``forks``, have a second block, which no later one follows.
    """

    block: Callable[[int], Block | None]
    """The block of a slot, None if its author failed."""

    fork: Callable[[int], Block | None]
    """The second block of a slot, by another author; None as a rule."""

    def __init__(self, seed: int, authors: int, forks: float = 0.0) -> None:
        self.seed = seed
        self.authors = authors
        self.forks = forks if authors > 1 else 0.0
        self.block = lru_cache(maxsize=1024)(self._block)
        self.fork = lru_cache(maxsize=1024)(self._fork)

    def author(self, slot: int) -> int:
        """The index of the node whose turn ``slot`` is."""
        return int.from_bytes(digest(self.seed, "author", slot)[:8], "little") % self.authors

    def blocks(self, slot: int) -> list[Block]:
        """The blocks of ``slot``: one as a rule."""
        return [block for block in (self.block(slot), self.fork(slot)) if block]

    def follows_fork(self, slot: int, index: int) -> bool:
        """Whether node ``index`` takes the second block of ``slot`` for the best one at first."""
        fork = self.fork(slot)
        if fork is None or index in (fork.author, self.author(slot)):
            return fork is not None and index == fork.author
        return has_share(0.5, self.seed, "follows", slot, index)

    def head(self, slot: int) -> Block:
        """The newest block at or before ``slot``."""
        while (block := self.block(slot)) is None:
            slot -= 1
        return block

    def finalized(self, slot: int) -> Block:
        """The newest block that is finalized once the block of ``slot`` has been imported."""
        return self.head(slot - 2 - digest(self.seed, "finality", slot)[0] % 2)

    def _hash(self, slot: int) -> bytes:
        return digest(self.seed, "block", slot)

    def _skipped(self, slot: int) -> bool:
        return has_share(_SKIPPED, self.seed, "skipped", slot)

    def _fork(self, slot: int) -> Block | None:
        if self._skipped(slot) or not has_share(self.forks, self.seed, "forked", slot):
            return None
        others = self.authors - 1
        ahead = 1 + int.from_bytes(digest(self.seed, "rival", slot)[:8], "little") % others
        author = (self.author(slot) + ahead) % self.authors
        return self._make_block(slot, "fork", author)

    def _block(self, slot: int) -> Block | None:
        return None if self._skipped(slot) else self._make_block(slot, "block", self.author(slot))

    def _make_block(self, slot: int, what: str, author: int) -> Block:
        own_hash = digest(self.seed, what, slot)
        parent = slot - 1
        while self._skipped(parent):
            parent -= 1
        random = Random(f"{self.seed}/{what}/{slot}")
        guarantees = random.randrange(40)
        preimages = random.choice((0, 0, 0, 1, 2))
        size = random.randrange(20_000, 200_000)
        return Block(
            slot=slot,
            hash=own_hash,
            parent=self._hash(parent),
            author=author,
            ready=slot * SLOT + random.randrange(120_000, 400_000),
            outline={
                "size_bytes": size,
                "hash": own_hash,
                "num_tickets": random.choice((0, 0, 3, 16)),
                "num_preimages": preimages,
                "total_preimages_size": preimages * random.randrange(100, 4_000),
                "num_guarantees": guarantees,
                "num_assurances": random.randrange(600, 1_000),
                "num_dispute_verdicts": 0,
            },
            accumulated=[
                (service, _accumulate_cost(random))
                for service in sorted(random.sample(range(1, 4_000), min(guarantees, 3)))
            ],
        )


def exec_cost(random: Random, gas: int) -> dict[str, int]:
    """An execution of about ``gas`` gas and the nanoseconds it took."""
    used = random.randrange(gas // 2, gas + 1)
    return {"gas_used": used, "elapsed_ns": used * random.randrange(2, 9)}


def _accumulate_cost(random: Random) -> dict[str, Any]:
    calls = ("state", "lookup", "preimage", "service", "transfer")
    return {
        "num_calls": 1,
        "num_transfers": random.randrange(3),
        "num_items": random.randrange(1, 5),
        "total": exec_cost(random, 10_000_000),
        "load_ns": random.randrange(50_000, 900_000),
        "host_call": {
            **{call: exec_cost(random, 200_000) for call in calls},
            "transfer_dest_gas": random.randrange(0, 100_000),
            "other": exec_cost(random, 50_000),
        },
    }
