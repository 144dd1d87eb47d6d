"""How assurances spread."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, itemgetter
from typing import Annotated, Any

import ujson
from msgspec import Meta

from telemetry_twisted.jip3.bins import percentiles
from telemetry_twisted.jip3.moment import COMMON_ERA, SLOT
from telemetry_twisted.network.anchors import WINDOW_SLOTS
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.network.spread import SHARES
from telemetry_twisted.store.detail import unpack_detail
from telemetry_twisted.store.schema.network_tables import ANCHORS

from .history import History
from .networks import Network
from .pages import page_of
from .shapes import Answer, Hash, Next, NodeId, Range, Time, micros
from .spreads import OffClock

LATENESS = 0.95
"""Senders are ranked by after how long such a share of receptions of their assurance had come."""


class Delays(Answer):
    """After how many milliseconds so many receptions had come: within 3.1 % (histogram bins)."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    greatest_ms: float


class Anchor(Answer):
    """The assurances of all senders that are anchored to a block.

    Delays are those of all receptions after their sender said that it began, or where it did not
    say so after the first reception: ``reported`` by each receiver's own clock, ``corrected`` with
    the offsets of clocks taken out.
    """

    anchor: Hash
    slot: Annotated[int | None, Meta(description="Of the block, null where no node reported that.")]
    first: Annotated[Time, Meta(description="When the first of it arrived here.")]
    senders: Annotated[int, Meta(description="Nodes whose assurances anything was heard of.")]
    began: Annotated[int, Meta(description="Those that reported that they began to distribute.")]
    receptions: int
    off_clock: OffClock
    reported: Delays | None
    corrected: Delays | None
    final: bool


class Assurances(Range):
    """Anchors of assurances, the newest first."""

    genesis: Hash | None
    anchors: list[Anchor]
    next: Next


class Sender(Answer):
    """The assurance of one sender."""

    node_id: NodeId
    began: Annotated[
        Time | None, Meta(description="When it began, by its own clock; null: it did not say so.")
    ]
    began_corrected: Annotated[
        Time | None, Meta(description="The same with the offset of its clock taken out.")
    ]
    in_window: Annotated[
        bool | None,
        Meta(
            description=f"Whether it began, as corrected, within {WINDOW_SLOTS} slots of the "
            "beginning of the anchor's; null where either is not known."
        ),
    ]
    took_ms: Annotated[
        float | None, Meta(description="From begin to end of distributing, by its clock: exact.")
    ]
    assured: Annotated[int | None, Meta(description="Cores that its bitfield assures: exact.")]
    share: Annotated[float | None, Meta(description="The share of cores that it assures.")]
    receptions: int
    off_clock: OffClock
    reported: Delays | None
    corrected: Delays | None


class AnchorSenders(Answer):
    """An anchor sender by sender: those whose assurances came latest come first."""

    genesis: Hash | None
    anchor: Anchor
    senders: list[Sender]
    next: Next


ANCHOR = (*("anchor", "first", "closed", "slot", "senders", "began", "receptions", "spread"),)


async def assurances(
    history: History, network: Network, begin: float, end: float, before: int, limit: int
) -> Assurances:
    """Anchors that were heard of first from ``begin`` to ``end``, the newest first, from before
    ``before`` (microseconds) if that is not 0."""
    until = min(int(end * 1_000_000), before or 2**62)
    rows = await history.query(
        f"{ANCHORS.select(*ANCHOR)} WHERE network = ? AND first >= ? AND first < ? "
        "ORDER BY first DESC LIMIT ?",
        (network.number, int(begin * 1_000_000), until, limit + 1),
    )
    anchors, after = await page_of(history, rows, limit, read_anchor, attrgetter("receptions"))
    return Assurances(
        from_=micros(int(begin * 1_000_000)),
        to=micros(int(end * 1_000_000)),
        genesis=network.genesis,
        anchors=anchors,
        next=after,
    )


async def senders(
    history: History, network: Network, anchor: bytes, offset: int, limit: int
) -> AnchorSenders | None:
    """An anchor sender by sender, ``limit`` of them from number ``offset`` on; None if nothing was
    heard of it."""
    rows = await history.query(
        f"{ANCHORS.select(*ANCHOR, 'detail')} WHERE network = ? AND anchor = ? "
        "ORDER BY receptions DESC LIMIT 1",
        (network.number, anchor),
    )
    if not rows:
        return None
    *row, detail = rows[0]
    found = read_anchor(row)
    ranked: list[tuple[int, Sequence[Any]]] = []
    if detail is not None:
        _, (dumped, _) = unpack_detail(bytes(detail))
        async for each in history.turns.steps(dumped):
            *_, reported, corrected, _waiting = each
            (late,) = percentiles(corrected or reported, (LATENESS,))
            ranked.append((-1 if late is None else late, each))
    ranked.sort(key=itemgetter(0), reverse=True)
    return AnchorSenders(
        genesis=network.genesis,
        anchor=found,
        senders=[
            _sender(found.slot, *each[:-1])
            async for _, each in history.turns.steps(ranked[offset : offset + limit])
        ],
        next=offset + limit if len(ranked) > offset + limit else None,
    )


def _sender(
    slot: int | None,
    sender: bytes,
    began: int | None,
    ended: int | None,
    offset: int,
    assured: int | None,
    cores: int | None,
    receptions: int,
    off_clock: int,
    reported: dict[int, int],
    corrected: dict[int, int],
) -> Sender:
    right = None if began is None or offset == OFF else began + offset
    window = None
    if slot is not None and right is not None:
        window = right < COMMON_ERA + (slot + WINDOW_SLOTS) * SLOT
    return Sender(
        node_id=bytes(sender).hex(),
        began=None if began is None else micros(began),
        began_corrected=None if right is None else micros(right),
        in_window=window,
        took_ms=None if began is None or ended is None else (ended - began) / 1000,
        assured=assured,
        share=assured / cores if assured is not None and cores else None,
        receptions=receptions,
        off_clock=off_clock,
        reported=_delays(percentiles(reported, SHARES) if reported else None),
        corrected=_delays(percentiles(corrected, SHARES) if corrected else None),
    )


def read_anchor(row: Sequence[Any]) -> Anchor:
    anchor, first, closed, slot, senders, began, receptions, told = row
    off_clock, reported, corrected = ujson.loads(told)
    return Anchor(
        anchor=f"0x{bytes(anchor).hex()}",
        slot=slot,
        first=micros(first),
        senders=senders,
        began=began,
        receptions=receptions,
        off_clock=off_clock,
        reported=_delays(reported),
        corrected=_delays(corrected),
        final=closed is not None,
    )


def _delays(told: Sequence[int | None] | None) -> Delays | None:
    if told is None:
        return None
    return Delays(*((delay or 0) / 1000 for delay in told))
