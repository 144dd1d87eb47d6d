"""Which events are told one by one, so that the network can be understood from them.

They are those of blocks, of work packages, of guarantees and of assurances that have to be brought
together over nodes. How many of them a node may have told is bounded, and so is what is told of
each: so no node costs more than its share.
"""

from __future__ import annotations

from collections import deque

from .table import TABLE

SIGHTED = frozenset({11, 12, *range(40, 48), 112, 113, 126, 129})
"""Types that are always told; those of the chains of work packages are as well."""

BLOCK_ANNOUNCED = 62
"""It is told if its header hash is new: many peers announce the same."""

BLOCK_EXECUTED = 47

NEW_HASHES = 16
"""Header hashes that are remembered, the last new ones."""

AT_ONCE = 2000
"""What a node may have told at once, in parts of :data:`PART_BYTES`."""

A_SECOND = 250
"""What it may have told in a second in the long run."""

PART_BYTES = 256
"""An event costs one, and one more for each so many bytes that are told of it."""

MOST_BYTES = 8192
"""What is told of a message, from its beginning."""

EXECUTED_BYTES = 17
"""What is told of one that a block was executed, whose costs are told otherwise."""


class Sights:
    """Decides it for one node."""

    def __init__(self) -> None:
        self._second = 0
        self._left = AT_ONCE
        self._hashes: deque[bytes] = deque(maxlen=NEW_HASHES)

    def fill(self, second: int) -> None:
        """It is ``second``, of a clock that nobody sets."""
        if second != self._second:
            self._left = min(AT_ONCE, self._left + A_SECOND * max(second - self._second, 1))
            self._second = second

    def wanted(self, content: bytes, of_package: bool, newest_slot: int) -> bool:
        """Whether it is an event that is told.

        :param of_package: whether it is in the chain of a work package, or in one inside that.
        :param newest_slot: what names a slot after this is not told.
        """
        kind = content[8]
        if not of_package and kind not in SIGHTED and kind != BLOCK_ANNOUNCED:
            return False
        offset = TABLE.events[kind].slot_offset
        if offset is not None and int.from_bytes(content[offset:][:4], "little") > newest_slot:
            return False
        return kind != BLOCK_ANNOUNCED or self._is_new(content[_HASH_OFFSET:][:32])

    def _is_new(self, hash: bytes) -> bool:
        new = hash not in self._hashes
        if new:
            self._hashes.append(hash)
        return new

    def pays(self, size: int, inner: bool) -> bool:
        """Whether the allowance has room for an event of which ``size`` bytes are told.

        :param inner: whether its chain is inside another. There may be a thousand such for each
            that is not, so they leave half of it to the others.
        """
        left = self._left - 1 - size // PART_BYTES
        if left < (AT_ONCE // 2 if inner else 0):
            return False
        self._left = left
        return True


_hash_offset = TABLE.events[BLOCK_ANNOUNCED].offset_of("hash")
assert _hash_offset is not None
_HASH_OFFSET: int = _hash_offset


def excerpt(content: bytes) -> bytes:
    """What is told of a message."""
    return content[: EXECUTED_BYTES if content[8] == BLOCK_EXECUTED else MOST_BYTES]
