"""The network as its nodes tell of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from telemetry_twisted import majority
from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.jip3.state_types import BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS
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
    columns = ("implementation", "implementation_version", "gp_version")
    rows = await history.query(NODES.select("node", "node_id", *columns))
    present = {row[0]: row[2:] for row in rows if row[1] in connected}
    versions = Counter(present.values())
    heard = await _heard(history)
    blocks: dict[int, list[tuple[int, str]]] = {BEST_BLOCK: [], FINALIZED_BLOCK: []}
    synced = 0
    newest = newest_slot(history.reached())
    states = await history.query(
        f"{LATEST.select('node', 'type', 'fields')} WHERE type IN (?, ?, ?)",
        (BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS),
    )
    async for number, kind, fields in history.turns.steps(states):
        if number not in present:
            continue
        if kind == SYNC_STATUS:
            synced += read_synced(fields).synced
        elif number in heard and (said := read_block(fields)).slot <= newest:
            blocks[kind].append((said.slot, said.hash))
    return Network(
        nodes=NodeCounts(known=len(rows), connected=len(present), synced=synced),
        best=_head(blocks[BEST_BLOCK]),
        finalized=_head(blocks[FINALIZED_BLOCK]),
        implementations=[
            Implementation(
                implementation=name, implementation_version=version, gp_version=gp, nodes=nodes
            )
            for (name, version, gp), nodes in versions.most_common()
        ],
    )


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
