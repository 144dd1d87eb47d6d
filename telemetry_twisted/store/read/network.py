"""The network as its nodes tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from telemetry_twisted import majority
from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.jip3.state_types import BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import LATEST, NODES, STATES

from .history import History
from .nodes import read_block, read_synced
from .shapes import Answer, Hash

HEARD_SECONDS = 60
"""What a node said holds for the network for so long after anything it said of its state.

A node says something of it every 2 s (JIP-3, event 10).
"""


class Head(Answer):
    """A block, and how many nodes have reached its slot."""

    slot: int
    hash: Hash
    nodes: int


class NodeCounts(Answer):
    """How many nodes have ever been known, and how many are there now, and in sync."""

    known: int
    connected: int
    synced: int


class Implementation(Answer):
    """How many of the nodes that are there run which software."""

    implementation: str | None
    implementation_version: str | None
    gp_version: str | None
    nodes: int


class Network(Answer):
    """The network; a block is null where no node tells of one."""

    nodes: NodeCounts
    best: Head | None
    finalized: Head | None
    implementations: list[Implementation]


async def network(history: History, connected: Collection[str]) -> Network:
    """The network as its nodes tell of it; ``connected`` are the IDs of those that are there.

    Its blocks are what most of them say (:mod:`~telemetry_twisted.majority`) that are within
    reason: who was heard within :data:`HEARD_SECONDS` of the newest that history holds, and is not
    ahead of the clock.
    """
    ((known,),) = await history.query(f"SELECT count(*) FROM {NODES.name}")
    present = await _software(history, connected)
    heard = await _heard(history) & present.keys()
    blocks: dict[int, list[tuple[int, str]]] = {BEST_BLOCK: [], FINALIZED_BLOCK: []}
    synced = 0
    newest = newest_slot(history.reached())
    async for number, kind, fields in history.turns.steps(await _states(history, present)):
        if kind == SYNC_STATUS:
            synced += read_synced(fields).synced
        elif number in heard and (said := read_block(fields)).slot <= newest:
            blocks[kind].append((said.slot, said.hash))
    return Network(
        nodes=NodeCounts(known=known, connected=len(present), synced=synced),
        best=_head(blocks[BEST_BLOCK]),
        finalized=_head(blocks[FINALIZED_BLOCK]),
        implementations=[
            Implementation(*software, nodes)
            for software, nodes in Counter(present.values()).most_common()
        ],
    )


Software = tuple[str | None, str | None, str | None]
"""What a node runs: implementation, its version, and that of the Gray Paper."""


async def _software(history: History, connected: Collection[str]) -> dict[int, Software]:
    """What each of the nodes runs that are there, by its number."""
    if not connected:
        return {}
    rows = await history.query(
        f"{NODES.select('node', 'implementation', 'implementation_version', 'gp_version')} "
        f"WHERE node_id IN ({marks(connected)}) ORDER BY node",
        (*connected,),
    )
    return {number: (name, version, gp) for number, name, version, gp in rows}


async def _states(history: History, nodes: Collection[int]) -> list[tuple[int, int, str]]:
    """The newest blocks and sync states of some nodes: number, type, and fields."""
    if not nodes:
        return []
    types = (BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS)
    rows = await history.query(
        f"{LATEST.select('node', 'type', 'fields')} "
        f"WHERE node IN ({marks(nodes)}) AND type IN ({marks(types)})",
        (*nodes, *types),
    )
    return [(number, kind, fields) for number, kind, fields in rows]


async def _heard(history: History) -> set[int]:
    """The numbers of the nodes that said something of their state lately, by the server's clock.

    The newest is what the store has written so far: where it is late, all of them are.
    """
    rows = await history.query(
        f"SELECT DISTINCT node FROM {STATES.name} WHERE bucket > "
        f"(SELECT max(bucket) FROM {STATES.name} WHERE bucket <= ?) - ? AND bucket <= ?",
        (now := int(history.now()), HEARD_SECONDS, now),
    )
    return {number for (number,) in rows}


def _head(blocks: list[tuple[int, str]]) -> Head | None:
    found = majority.majority_head(blocks)
    return None if found is None else Head(slot=found.slot, hash=found.hash, nodes=found.nodes)
