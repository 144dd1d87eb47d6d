"""The slots that nodes report now."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.jip3.observed import NO_EVENT, Sighting

from .fields import TYPE, picker, unix_time
from .going_on import GoingOn, Link
from .opened import Opened
from .reporters import Reporter
from .slot import (
    ANNOUNCED,
    BEST,
    EXECUTED,
    FINALIZED,
    IMPORTING,
    MOST_BLOCKS,
    OUTLINE,
    VERIFIED,
    Slot,
)

MOST_SLOTS = 1024
"""Slots that are open at once, of all networks."""

MOST_NEW_SLOTS = 64
"""Slots that one node may open between two commits: one that syncs goes through very many."""

MOST_CHAINS = 256
"""Imports and authorings of one node that go on at once; of more the oldest is forgotten."""

MOST_HASHES = 8192
"""Blocks of which it is remembered what slot they are of."""

OLD_SLOTS = 150
"""How far behind the newest of its network a slot may be that is opened: fifteen minutes."""

AUTHORING, AUTHORED, IMPORT = 40, 42, 43
BLOCK_ANNOUNCED, BEST_BLOCK, FINALIZED_BLOCK = 62, 11, 12
_VERIFIED = 45
_STAGE_OF = {_VERIFIED: VERIFIED, 47: EXECUTED}
_FAILURES = {41: "authoring", 44: "verification", 46: "execution"}

_OUTLINE_FIELDS = (OUTLINE[0], "hash", *OUTLINE[1:])
_announced = picker(BLOCK_ANNOUNCED, "slot", "hash")
_best = picker(BEST_BLOCK, "slot", "hash")
_finalized = picker(FINALIZED_BLOCK, "slot", "hash")
_authoring = picker(AUTHORING, "slot", "parent")
_authored = picker(AUTHORED, *_OUTLINE_FIELDS)
_importing = picker(IMPORT, "slot", *_OUTLINE_FIELDS)
_timestamp = struct.Struct("<Q").unpack_from

SlotKey = tuple[str, int]
"""A genesis hash, and a slot."""


class _Chain(NamedTuple):
    """An import or authoring that goes on: of which slot, and block, None while that is unknown."""

    key: SlotKey
    block: int | None
    parent: bytes | None = None


class Slots(Opened[SlotKey, Slot]):
    """The slots that nodes report now.

    ``slot_of`` is the slot of each block heard of lately, by network
    and hash.

    :param lost: where is counted what cannot be taken.
    """

    def __init__(self, lost: Counter[str]) -> None:
        super().__init__("slots", MOST_SLOTS, lost)
        self.slot_of: dict[tuple[str, bytes], int] = {}
        self._chains: GoingOn[_Chain] = GoingOn(MOST_CHAINS)
        self._newest: dict[str, int] = {}
        self._new: Counter[str] = Counter()

    def see(self, reporter: Reporter, sighting: Sighting) -> None:
        """Take an event of a node.

        :raises struct.error: if its content is too short.
        """
        content, arrival = sighting.content, sighting.arrived
        kind = content[TYPE]
        if kind == BEST_BLOCK:
            timestamp, slot, block = _best(content)
            self._report(BEST, reporter, timestamp, slot, block, arrival)
        elif kind == FINALIZED_BLOCK:
            timestamp, slot, block = _finalized(content)
            self._report(FINALIZED, reporter, timestamp, slot, block, arrival)
        elif kind == BLOCK_ANNOUNCED:
            timestamp, slot, block = _announced(content)
            self._report(ANNOUNCED, reporter, timestamp, slot, block, arrival)
        elif kind == IMPORT:
            timestamp, slot, size, block, *others = _importing(content)
            index = self._report(IMPORTING, reporter, timestamp, slot, block, arrival)
            if index is not None:
                self._outline(reporter.network, slot, index, (size, *others))
                chain = _Chain((reporter.network, slot), index)
                self._chains.put(reporter.link, sighting.event_id, chain)
        elif kind == AUTHORING:
            self._author(reporter, sighting.event_id, arrival, content)
        else:
            self._go_on(reporter, kind, sighting.root_id, arrival, content)

    def _slot(self, reporter: Reporter, number: int, arrival: int) -> Slot | None:
        """The slot, opened if it is not, None if it is not to be."""
        network = reporter.network
        key = network, number
        slot = self.get(key)
        if slot is not None and slot.closed is None:
            return slot
        newest = self._newest.get(network, 0)
        if number > newest:
            if number > newest_slot(arrival / 1_000_000):
                return None  # a fault of the node, counted as such
            self._newest[network] = number
        if self.is_late(key):
            return None
        if number < newest - OLD_SLOTS or self._new[reporter.node] == MOST_NEW_SLOTS:
            self._lost["slot_sightings"] += 1
            return None
        self._new[reporter.node] += 1
        slot = Slot(arrival, arrival)
        self.open(key, slot, arrival)
        return slot

    def _report(
        self, stage: int, reporter: Reporter, timestamp: int, number: int, hash: bytes, arrival: int
    ) -> int | None:
        """The index of the block that is reported, None if it counts no more."""
        slot = self._slot(reporter, number, arrival)
        if slot is None:
            return None
        block = slot.block(hash)
        if slot.report(stage, reporter, unix_time(timestamp), block):
            self._learn(reporter.network, hash, number)
            self.changed((reporter.network, number), arrival)
        return block

    def _learn(self, network: str, hash: bytes, number: int) -> None:
        if (network, hash) not in self.slot_of:
            self.slot_of[network, hash] = number
            if len(self.slot_of) > MOST_HASHES:
                del self.slot_of[next(iter(self.slot_of))]

    def _outline(self, network: str, number: int, index: int, outline: tuple[int, ...]) -> None:
        slot = self.get((network, number))
        if slot is not None and index < MOST_BLOCKS and slot.blocks[index].outline is None:
            slot.blocks[index].outline = outline

    def _author(self, reporter: Reporter, event: int, arrival: int, content: bytes) -> None:
        _, number, parent = _authoring(content)
        slot = self._slot(reporter, number, arrival)
        if slot is not None:
            if reporter.node not in slot.tried and len(slot.tried) < MOST_BLOCKS:
                slot.tried.append(reporter.node)
            self.changed((reporter.network, number), arrival)
            chain = _Chain((reporter.network, number), None, parent)
            self._chains.put(reporter.link, event, chain)

    def _go_on(
        self, reporter: Reporter, kind: int, root: int, arrival: int, content: bytes
    ) -> None:
        if root == NO_EVENT:
            return  # the node has dropped how it began, and it is counted as an orphan
        chain = self._chains.get(reporter.link, root)
        if chain is None:
            self._lost["slot_sightings"] += 1
            return
        slot = self.get(chain.key)
        if slot is None or slot.closed is not None:
            self._lost["late_slots"] += 1
            return
        (timestamp,) = _timestamp(content)
        if kind == AUTHORED:
            _, size, hash, *others = _authored(content)
            index = slot.block(hash)
            self._learn(chain.key[0], hash, chain.key[1])
            self._chains.put(reporter.link, root, chain._replace(block=index))
            if index < MOST_BLOCKS:
                block = slot.blocks[index]
                block.author, block.offset = reporter.node, reporter.offset
                block.authored, block.parent = unix_time(timestamp), chain.parent
                block.outline = (size, *others)
        elif kind in _STAGE_OF:
            if chain.block is not None:
                slot.report(_STAGE_OF[kind], reporter, unix_time(timestamp), chain.block)
        elif kind in _FAILURES:
            slot.failures[_FAILURES[kind]] += 1
        if kind not in (AUTHORED, _VERIFIED):
            self._chains.end(reporter.link, root)
        self.changed(chain.key, arrival)

    def gone(self, link: Link) -> None:
        """The connection of a node has ended, and all that went on in it."""
        self._chains.gone(link)

    def settle(self, now: float) -> None:
        """Let go of what is over at ``now``, in seconds."""
        self._new.clear()
        super().settle(now)
        self._chains.settle(lambda chain: chain.key in self)
        there = {network for network, _ in self}
        self._newest = {key: slot for key, slot in self._newest.items() if key in there}

    def chains_of(self, key: SlotKey) -> list[tuple[str, int, int, int | None, bytes | None]]:
        """What goes on of a slot: node, connection, the root's ID, block and parent."""
        return [
            (*link, root, chain.block, chain.parent)
            for link, root, chain in self._chains.items()
            if chain.key == key
        ]

    def go_on(self, key: SlotKey, slot: Slot, chains: Sequence[Sequence[Any]]) -> None:
        """Go on with a slot that a run before has written; nothing was taken of it since."""
        self.resume(key, slot)
        self._newest[key[0]] = max(self._newest.get(key[0], 0), key[1])
        for block in slot.blocks:
            self._learn(key[0], block.hash, key[1])
        for node, connection, root, index, parent in chains:
            self._chains.put((node, connection), root, _Chain(key, index, parent))
