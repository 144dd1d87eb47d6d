"""How blocks spread, and what is in them.

Of longer ranges every second slot is told, every third, and so on. Times have the offsets of nodes'
clocks taken out where those are known.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.store.read import windows
from telemetry_twisted.store.read.network import network as network_now
from telemetry_twisted.store.read.shapes import event_name
from telemetry_twisted.store.read.slots import Block, Slot, slot_at, slots_of
from telemetry_twisted.store.read.spreads import Spread
from telemetry_twisted.timestamps import microseconds

from .given import RangeGiven
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

MOST_SLOTS = 300
"""Slots of an answer, at most."""

MOST_AUTHORS = 50
"""Authors that are listed, at most."""

MEASURED = {43: "importing", 11: "best", 12: "finalized"}
"""The stage that each event is of."""

AUTHORED = 42

TOTALS = {
    "authoring_started": 40,
    "authoring_failed": 41,
    "authored": AUTHORED,
    "importing": 43,
    "verification_failed": 44,
    "verified": 45,
    "execution_failed": 46,
    "executed": 47,
    "best_block_changes": 11,
    "finalized_block_changes": 12,
}


async def _slots(sources: Sources, scope: Scope, begin: float, end: float) -> list[Slot]:
    """Some of the slots of a range, the oldest first."""
    first, last = slot_at(begin), slot_at(min(end, sources.now()))
    apart = (last - first) // MOST_SLOTS + 1
    return await slots_of(sources.history, scope.network, range(first, last + 1, apart))


class BlocksGiven(RangeGiven, frozen=True, kw_only=True):
    """Which event is measured."""

    event_type: Annotated[int, Meta(ge=-32768, le=32767)] | None = None


@grafana("blocks/convergence")
async def convergence(sources: Sources, given: BlocksGiven) -> Rows:
    """How long after its author had authored it nodes imported a block, took it for their best, and
    finalized it."""
    scope = await scope_of(sources, given.network)
    rows: Rows = []
    async for slot in sources.history.turns.steps(await _slots(sources, scope, *given.range)):
        block = next((block for block in slot.blocks if block.authored is not None), None)
        if block is not None:
            rows += _measured(slot, block)
    return [row for row in rows if given.event_type in (None, row["event_type"])]


def _measured(slot: Slot, block: Block) -> Rows:
    found = {}
    for kind, stage in sorted(MEASURED.items()):
        delays = _delays(block, slot.stages[stage]) if stage in slot.stages else None
        if delays is not None:
            found[kind] = (slot.stages[stage].nodes, delays)
    found[AUTHORED] = (1, [0, 0, 0, 0])
    return [
        {
            "slot": slot.slot,
            "event_type": kind,
            "event_type_name": event_name(kind),
            "node_count": nodes,
            "p50_ms": p50,
            "p75_ms": None,
            "p95_ms": p95,
            "p99_ms": p99,
            "p100_ms": last,
            "authored_at": block.authored_corrected or block.authored,
        }
        for kind, (nodes, (p50, p95, p99, last)) in sorted(found.items())
    ]


def _delays(block: Block, spread: Spread) -> list[int] | None:
    """After how many milliseconds 50, 95, 99 and 100 % of nodes had it."""
    if block.authored_corrected is not None and spread.corrected is not None:
        ranks, authored = spread.corrected, block.authored_corrected
    elif spread.reported is not None and block.authored is not None:
        ranks, authored = spread.reported, block.authored
    else:
        return None
    first = (microseconds(ranks.first) - microseconds(authored)) / 1000
    delays = (ranks.p50_ms, ranks.p95_ms, ranks.p99_ms, ranks.last_ms)
    return [round(first + delay) for delay in delays]


@grafana("blocks/contents")
async def contents(sources: Sources, given: RangeGiven) -> Rows:
    """What is in the blocks whose authors told of them."""
    scope = await scope_of(sources, given.network)
    return [
        {
            "slot": slot.slot,
            "timestamp": block.authored,
            "node_id": block.author,
            "num_guarantees": said.num_guarantees if said else None,
            "num_assurances": said.num_assurances if said else None,
            "num_preimages": said.num_preimages if said else None,
            "num_tickets": said.num_tickets if said else None,
            "num_disputes": said.num_dispute_verdicts if said else None,
            "extrinsic_size": said.size_bytes if said else None,
        }
        async for slot in sources.history.turns.steps(await _slots(sources, scope, *given.range))
        for block in slot.blocks
        if block.author is not None and block.authored is not None
        for said in (block.contents,)
    ]


@grafana("blocks/summary")
async def summary(sources: Sources, given: RangeGiven) -> Row:
    """How many events of blocks there were, and who authored how many."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    counts = await windows.counts_over(history, *given.range, scope.counted)
    each = await windows.each_over(history, *given.range, scope.nodes.keys())
    authors = {node: of_node.get(AUTHORED, 0) for node, of_node in each.items()}
    ranked = sorted(filter(authors.__getitem__, authors), key=lambda node: (-authors[node], node))
    now = await network_now(history, sources.connected & {*scope.nodes.values()})
    return {
        "totals": {name: counts.get(kind, 0) for name, kind in TOTALS.items()},
        "chain": {
            "best_slot": now.best.slot if now.best else None,
            "finalized_slot": now.finalized.slot if now.finalized else None,
        },
        "authoring_by_node": [
            {"node_id": scope.nodes[node], "blocks_authored": authors[node]}
            for node in ranked[:MOST_AUTHORS]
        ],
    }


ENDPOINTS: tuple[Endpoint, ...] = (convergence, contents, summary)
