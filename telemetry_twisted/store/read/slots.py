"""The slots of a network: who made their blocks, what is in those, how they spread, and forks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import ujson
from msgspec import Meta

from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.network.slot import OUTLINE, STAGES
from telemetry_twisted.network.spread import Spread as Reports
from telemetry_twisted.store.detail import unpack_detail
from telemetry_twisted.store.schema.network_tables import NETWORK_SLOTS
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import NODES

from .history import History
from .networks import Network
from .shapes import Answer, Hash, Next, NodeId, Range, Time, micros
from .spreads import Spread, spread

_COLUMNS = ("slot", "first", "last", "closed", "tried", "blocks", "stages", "failures")
_BEST, _FINALIZED = STAGES.index("best"), STAGES.index("finalized")


class Contents(Answer):
    """What is in a block, as its outline tells (JIP-3, block outline)."""

    size_bytes: int
    num_tickets: int
    num_preimages: int
    total_preimages_size: int
    num_guarantees: int
    num_assurances: int
    num_dispute_verdicts: int


class Block(Answer):
    """A block of a slot."""

    hash: Hash
    author: Annotated[
        NodeId | None,
        Meta(description="The node that reported that it authored it; null if none that is here."),
    ]
    authored: Annotated[
        Time | None, Meta(description="When, by the author's own clock (exact to a microsecond).")
    ]
    authored_corrected: Annotated[
        Time | None, Meta(description="The same with the offset of the author's clock taken out.")
    ]
    parent: Hash | None
    contents: Contents | None
    nodes_best: Annotated[
        int, Meta(description="Nodes that took this one for best first, of the blocks of the slot.")
    ]
    nodes_finalized: int


class Slot(Answer):
    """A slot; where nobody reported anything of it, ``blocks`` and ``stages`` are empty.

    Each stage tells how the blocks of the slot spread: ``announced`` to a node, ``importing``,
    ``verified`` and ``executed`` by it, its ``best``, and ``finalized``.
    """

    slot: int
    began: Annotated[Time, Meta(description="When the slot begins (JAM Common Era), not measured.")]
    empty: Annotated[bool, Meta(description="Whether no node reported any block of it.")]
    fork: Annotated[bool, Meta(description="Whether nodes took several blocks of it for best.")]
    final: Annotated[
        bool, Meta(description="Whether nothing is waited for any more: figures stay as they are.")
    ]
    authors_tried: Annotated[
        int, Meta(description="Nodes that reported that they began to author a block of it.")
    ]
    blocks: list[Block]
    stages: dict[str, Spread]
    failures: Annotated[
        dict[str, int],
        Meta(description="Failures that nodes reported of it: authoring, verification, execution."),
    ]


class Slots(Range):
    """Slots, the newest first."""

    genesis: Hash | None
    slots: list[Slot]
    next: Next


class NodeTimes(Answer):
    """When a node reported each stage of a slot, by its own clock, null where it did not."""

    node_id: NodeId
    offset_ms: Annotated[
        float | None,
        Meta(
            description="What to add to its times to have them by the server's clock, as it was "
            "known then; null where the clock is off by more than a slot, or unknown."
        ),
    ]
    announced: Time | None
    importing: Time | None
    verified: Time | None
    executed: Time | None
    best: Time | None
    finalized: Time | None
    best_block: Annotated[
        Hash | None, Meta(description="The block of the slot that it took for best first.")
    ]


class SlotNodes(Answer):
    """A slot node by node: those that took it for best last come first, as corrected."""

    genesis: Hash | None
    slot: Slot
    nodes: list[NodeTimes]
    next: Next


def slot_at(seconds: float) -> int:
    """The slot at a time, in seconds of Unix time."""
    return max((int(seconds * 1_000_000) - COMMON_ERA) // SLOT, 0)


async def slots(
    history: History, network: Network, begin: float, end: float, before: int, limit: int
) -> Slots:
    """The slots of a range of time, the newest first, from the one before ``before`` if it is not
    0; those of which nobody reported anything are there as empty."""
    oldest, newest = slot_at(begin), slot_at(end)
    newest = min(newest, before - 1) if before else newest
    oldest_shown = max(newest - limit + 1, oldest)
    rows = await history.query(
        f"{NETWORK_SLOTS.select(*_COLUMNS)} "
        "WHERE network = ? AND slot >= ? AND slot <= ? ORDER BY slot DESC",
        (network.number, oldest_shown, newest),
    )
    known: dict[int, Slot] = {}
    async for row in history.turns.steps(rows):
        found = _slot(row)
        there = known.get(found.slot)
        if there is None or _reports(there) < _reports(found):
            known[found.slot] = found
    first = min(known, default=newest + 1)
    ((oldest_known,),) = await history.query(
        f"SELECT min(slot) FROM {NETWORK_SLOTS.name} WHERE network = ? AND slot >= ?",
        (network.number, oldest),
    )
    first = oldest_shown if oldest_known is not None and oldest_known < oldest_shown else first
    shown = [known.get(number) or _empty(number) for number in range(newest, first - 1, -1)]
    more = oldest_known is not None and oldest_known < oldest_shown
    return Slots(
        from_=micros(COMMON_ERA + oldest * SLOT),
        to=micros(int(end * 1_000_000)),
        genesis=network.genesis,
        slots=shown,
        next=oldest_shown if more else None,
    )


async def slots_of(history: History, network: Network, numbers: Sequence[int]) -> list[Slot]:
    """Those of some slots that anybody reported anything of, the oldest first."""
    if not numbers:
        return []
    rows = await history.query(
        f"{NETWORK_SLOTS.select(*_COLUMNS)} WHERE network = ? AND slot IN ({marks(numbers)})",
        (network.number, *numbers),
    )
    known: dict[int, Slot] = {}
    async for row in history.turns.steps(rows):
        found = _slot(row)
        there = known.get(found.slot)
        if there is None or _reports(there) < _reports(found):
            known[found.slot] = found
    return [known[number] for number in sorted(known)]


async def slot_nodes(
    history: History, network: Network, number: int, offset: int, limit: int
) -> SlotNodes | None:
    """A slot node by node, ``limit`` of them from number ``offset`` on; None if nobody reported
    it."""
    rows = await history.query(
        f"{NETWORK_SLOTS.select(*_COLUMNS, 'detail')} WHERE network = ? AND slot = ?",
        (network.number, number),
    )
    if not rows:
        return None
    *row, detail = max(rows, key=lambda row: _reports(_slot(row[:-1])))
    slot = _slot(row)
    if detail is None:
        return SlotNodes(genesis=network.genesis, slot=slot, nodes=[], next=None)
    there, (dumped, _) = unpack_detail(bytes(detail))
    times: dict[int, list[int | None]] = {}
    offsets: dict[int, int] = {}
    blocks: dict[int, int] = {}
    same = {number: number for number in there}
    for stage, (packed, indexes) in enumerate(zip(dumped[1], dumped[2], strict=True)):
        reports = Reports.load(packed, same)
        offsets.update(zip(reports.nodes, reports.offsets, strict=True))
        for node, time in zip(reports.nodes, reports.times, strict=True):
            times.setdefault(node, [None] * len(STAGES))[stage] = time
        if stage == _BEST:
            blocks = dict(zip(reports.nodes, indexes, strict=True))

    def lateness(node: int) -> int:
        best, its = times[node][_BEST], offsets[node]
        return -1 if best is None or its == OFF else best + its

    ranked = sorted(times, key=lateness, reverse=True)
    shown = ranked[offset : offset + limit]
    names = await node_names(history, [there[node] for node in shown])
    nodes = []
    async for node in history.turns.steps(shown):
        if there[node] not in names:
            continue
        told = [None if time is None else micros(time) for time in times[node]]
        best = blocks.get(node, len(slot.blocks))
        nodes.append(
            NodeTimes(
                node_id=names[there[node]],
                offset_ms=None if offsets[node] == OFF else offsets[node] / 1000,
                best_block=slot.blocks[best].hash if best < len(slot.blocks) else None,
                **dict(zip(STAGES, told, strict=True)),
            )
        )
    return SlotNodes(
        genesis=network.genesis,
        slot=slot,
        nodes=nodes,
        next=offset + limit if len(ranked) > offset + limit else None,
    )


async def node_names(history: History, numbers: Sequence[int]) -> dict[int, str]:
    """The IDs of nodes by their numbers."""
    if not numbers:
        return {}
    return dict(
        await history.query(
            f"{NODES.select('node', 'node_id')} WHERE node IN ({marks(numbers)})", (*numbers,)
        )
    )


def _reports(slot: Slot) -> int:
    return sum(stage.nodes for stage in slot.stages.values())


def _slot(row: Sequence[Any]) -> Slot:
    number, _, _, closed, tried, blocks, stages, failures = row
    told = [_block(*block) for block in ujson.loads(blocks)]
    return Slot(
        slot=number,
        began=micros(COMMON_ERA + number * SLOT),
        empty=not told,
        fork=sum(block.nodes_best > 0 for block in told) > 1,
        final=closed is not None,
        authors_tried=tried,
        blocks=told,
        stages={name: spread(each) for name, each in ujson.loads(stages).items()},
        failures=ujson.loads(failures),
    )


def _empty(number: int) -> Slot:
    return Slot(
        slot=number,
        began=micros(COMMON_ERA + number * SLOT),
        empty=True,
        fork=False,
        final=False,
        authors_tried=0,
        blocks=[],
        stages={},
        failures={},
    )


def _block(
    hash: str,
    author: str | None,
    authored: int | None,
    offset: int | None,
    parent: str | None,
    outline: Sequence[int] | None,
    nodes: Sequence[int],
) -> Block:
    right = authored is not None and offset is not None and offset != OFF
    return Block(
        hash=f"0x{hash}",
        author=author,
        authored=None if authored is None else micros(authored),
        authored_corrected=micros((authored or 0) + (offset or 0)) if right else None,
        parent=None if parent is None else f"0x{parent}",
        contents=None if outline is None else Contents(**dict(zip(OUTLINE, outline, strict=True))),
        nodes_best=nodes[_BEST],
        nodes_finalized=nodes[_FINALIZED],
    )
