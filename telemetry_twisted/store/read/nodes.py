"""The nodes: who they are, and what they said last."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from attrs import define
from msgspec import Struct, structs

from telemetry_twisted.jip3.state_types import (
    BEST_BLOCK,
    FINALIZED_BLOCK,
    STATE_TYPES,
    STATUS,
    SYNC_STATUS,
)
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import CONNECTIONS, LATEST, NODES

from .history import History
from .losses import Lost, lost
from .shapes import Answer, Hash, Json, Next, NodeId, Time, micros

MOST_CONNECTIONS = 20
"""The newest connections of a node that are shown with it."""


class Block(Answer):
    """A block, and when the node that reported it says that it did."""

    slot: int
    hash: Hash
    at: Time


class Node(Answer):
    """A node: what it said of itself when it came, and its newest facts."""

    node_id: NodeId
    connected: bool
    address: str | None
    implementation: str | None
    implementation_version: str | None
    gp_version: str | None
    protocol_version: int | None
    cores: int | None
    flags: int | None
    first_seen: Time
    last_seen: Time
    best: Block | None
    finalized: Block | None
    synced: bool | None


class Nodes(Answer):
    """Nodes in the order in which they first came."""

    nodes: list[Node]
    next: Next


class Connection(Answer):
    """A connection of a node; ``ended`` and ``reason`` are null while it lasts."""

    started: Time
    ended: Time | None
    address: str
    reason: str | None


class SaidStatus(Answer):
    """What a node says of itself (event 10), as ``latest`` holds it."""

    num_peers: int
    num_val_peers: int
    num_sync_peers: int
    num_guarantees: list[int]
    num_shards: int
    shards_size: int
    num_preimages: int
    preimages_size: int


class Status(SaidStatus):
    """What a node said of itself last, and when it says that it did."""

    at: Time


class NodeInDetail(Node):
    """All that is known of a node: ``info`` is all that it said of itself, ``connections`` are its
    newest, ``losses`` what is missing of the last day."""

    status: Status | None
    info: Json | None
    connections: list[Connection]
    losses: Lost


class SaidBlock(Struct):
    """A block as ``latest`` holds it."""

    slot: int
    hash: str


class SaidSynced(Struct):
    """Whether a node is in sync, as ``latest`` holds it."""

    synced: bool


read_block = msgspec.json.Decoder(SaidBlock).decode
read_synced = msgspec.json.Decoder(SaidSynced).decode
_read_status = msgspec.json.Decoder(SaidStatus).decode


@define
class Latest:
    """The newest facts of a node."""

    status: Status | None = None
    best: Block | None = None
    finalized: Block | None = None
    synced: bool | None = None

    def add(self, kind: int, at: int, fields: str) -> None:
        """Add what a row of ``latest`` holds."""
        if kind == STATUS:
            self.status = Status(**structs.asdict(_read_status(fields)), at=micros(at))
        elif kind == SYNC_STATUS:
            self.synced = read_synced(fields).synced
        elif kind in (BEST_BLOCK, FINALIZED_BLOCK):
            said = read_block(fields)
            block = Block(slot=said.slot, hash=said.hash, at=micros(at))
            if kind == BEST_BLOCK:
                self.best = block
            else:
                self.finalized = block


_COLUMNS = tuple(column for column in NODES.columns if column not in ("node", "node_id", "info"))
_LISTED = (BEST_BLOCK, FINALIZED_BLOCK, SYNC_STATUS)
_TIMES = ("first_seen", "last_seen")


async def node_number(history: History, node_id: str) -> int | None:
    """The number of a node in the database, None if it never connected."""
    rows = await history.query(f"{NODES.select('node')} WHERE node_id = ?", (node_id,))
    return int(rows[0][0]) if rows else None


async def nodes(
    history: History,
    after: int,
    limit: int,
    present: Collection[str] = (),
    connected: bool | None = None,
    implementation: str | None = None,
) -> Nodes:
    """Nodes in the order in which they first came, from the one after number ``after``.

    :param present: the IDs of those that are there now.
    :param connected: whether to list just those, or just the others; all if None.
    """
    conditions: list[str] = ["node > ?"]
    parameters: list[object] = [after]
    if connected is not None and (connected or present):
        # An empty list is no SQL; no node has an empty ID.
        among = tuple(present) or ("",)
        conditions.append(f"node_id {'' if connected else 'NOT '}IN ({marks(among)})")
        parameters += among
    if implementation is not None:
        conditions.append("implementation = ?")
        parameters.append(implementation)
    rows = await history.query(
        f"{NODES.select('node', 'node_id', *_COLUMNS)} WHERE {' AND '.join(conditions)} "
        "ORDER BY node LIMIT ?",
        (*parameters, limit + 1),
    )
    page = rows[:limit]
    latest = await _latest(history, [row[0] for row in page], _LISTED)
    there = set(present)
    shown = [
        Node(**_known(row, there, latest.get(row[0], Latest())))
        async for row in history.turns.steps(page)
    ]
    return Nodes(nodes=shown, next=page[-1][0] if len(rows) > limit else None)


async def node(
    history: History, node_id: str, present: Collection[str] = ()
) -> NodeInDetail | None:
    """All that is known of one node, with its newest connections; None if it never connected."""
    rows = await history.query(
        f"{NODES.select('node', 'node_id', *_COLUMNS, 'info')} WHERE node_id = ?", (node_id,)
    )
    if not rows:
        return None
    ((*row, info),) = rows
    number = row[0]
    latest = (await _latest(history, [number], STATE_TYPES)).get(number, Latest())
    connections = await history.query(
        f"{CONNECTIONS.select('started', 'ended', 'address', 'reason')} WHERE node = ? "
        "ORDER BY started DESC LIMIT ?",
        (number, MOST_CONNECTIONS),
    )
    return NodeInDetail(
        **_known(row, present, latest),
        status=latest.status,
        info=msgspec.Raw(info) if info else None,
        connections=[connection(*each) for each in connections],
        losses=await lost(history, number),
    )


def _known(row: Sequence[Any], present: Collection[str], latest: Latest) -> dict[str, Any]:
    """What the row of a node tells, by the names of the fields of :class:`Node`."""
    _, node_id, *values = row
    known = dict(zip(_COLUMNS, values, strict=True))
    return {
        **known,
        **{name: micros(known[name]) for name in _TIMES},
        "node_id": node_id,
        "connected": node_id in present,
        "best": latest.best,
        "finalized": latest.finalized,
        "synced": latest.synced,
    }


def connection(started: int, ended: int | None, address: str, reason: str | None) -> Connection:
    """A row of ``connections``; times in microseconds."""
    return Connection(
        started=micros(started),
        ended=None if ended is None else micros(ended),
        address=address,
        reason=reason,
    )


async def _latest(
    history: History, numbers: Sequence[int], types: Collection[int]
) -> dict[int, Latest]:
    """The newest facts of some ``types`` of nodes, by number."""
    if not numbers:
        return {}
    found: dict[int, Latest] = {}
    rows = await history.query(
        f"{LATEST.select('node', 'type', 'at', 'fields')} "
        f"WHERE node IN ({marks(numbers)}) AND type IN ({marks(types)})",
        (*numbers, *types),
    )
    async for number, kind, at, fields in history.turns.steps(rows):
        found.setdefault(number, Latest()).add(kind, at, fields)
    return found
