"""How guarantees travel."""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated

import ujson
from msgspec import Meta

from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.store.schema.network_tables import GUARANTEES

from .history import History
from .networks import Network
from .pages import page_of
from .shapes import Answer, Hash, Next, NodeId, Range, Time, micros
from .spreads import Spread, spread

NEAR_MICROS = 1800 * 1_000_000
"""How far from the beginning of its slot a guarantee is looked for, in microseconds."""


class Built(Answer):
    """A node that reported that it built a guarantee, and when by its own clock."""

    node_id: NodeId
    built: Time
    corrected: Annotated[Time | None, Meta(description="With the offset of its clock taken out.")]


class Guarantee(Answer):
    """The guarantees of a work report."""

    report: Hash
    first: Annotated[Time, Meta(description="When the first of it arrived here.")]
    slot: int | None
    validators: Annotated[
        list[int], Meta(description="Indexes of those that signed, by the fullest that was seen.")
    ]
    builders: list[Built]
    receptions: Annotated[
        int, Meta(description="All receptions that nodes reported: exact, a node may have several.")
    ]
    received: Annotated[
        Spread, Meta(description="When each node first had one, after the first node that had.")
    ]
    discarded: Annotated[dict[str, int], Meta(description="Guarantees thrown away, by reason.")]
    final: bool


class Guarantees(Range):
    """Guarantees by work report, the newest first."""

    genesis: Hash | None
    guarantees: list[Guarantee]
    next: Next


GUARANTEE = (
    *("report", "first", "closed", "slot", "validators", "built", "receptions", "spread"),
    "discards",
)


async def guarantees(
    history: History,
    network: Network,
    begin: float,
    end: float,
    before: int,
    limit: int,
    slot: int | None = None,
) -> Guarantees:
    """Guarantees that were heard of first from ``begin`` to ``end``, the newest first, from before
    ``before`` (microseconds) if that is not 0."""
    where = "network = ? AND first >= ? AND first < ?"
    since, until = int(begin * 1_000_000), min(int(end * 1_000_000), before or 2**62)
    more: tuple[object, ...] = ()
    if slot is not None:
        where += " AND slot = ?"
        more = (slot,)
        # A guarantee travels soon after its slot began; others need not be looked at.
        began = COMMON_ERA + slot * SLOT
        since = max(since, began - NEAR_MICROS)
        until = min(until, began + NEAR_MICROS)
    rows = await history.query(
        f"{GUARANTEES.select(*GUARANTEE)} WHERE {where} ORDER BY first DESC LIMIT ?",
        (network.number, since, until, *more, limit + 1),
    )
    found, after = await page_of(
        history, rows, limit, lambda row: read_guarantee(*row), attrgetter("receptions")
    )
    return Guarantees(
        from_=micros(int(begin * 1_000_000)),
        to=micros(int(end * 1_000_000)),
        genesis=network.genesis,
        guarantees=found,
        next=after,
    )


def read_guarantee(
    report: bytes,
    first: int,
    closed: int | None,
    slot: int | None,
    validators: str,
    built: str,
    receptions: int,
    told: str,
    discards: str,
) -> Guarantee:
    return Guarantee(
        report=f"0x{bytes(report).hex()}",
        first=micros(first),
        slot=slot,
        validators=ujson.loads(validators),
        builders=[
            Built(
                node_id=node,
                built=micros(time),
                corrected=None if offset == OFF else micros(time + offset),
            )
            for node, (time, offset) in ujson.loads(built).items()
        ],
        receptions=receptions,
        received=spread(ujson.loads(told)),
        discarded=ujson.loads(discards),
        final=closed is not None,
    )
