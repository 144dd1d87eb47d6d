"""The whole journey of one work package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import ujson
from msgspec import Meta

from telemetry_twisted.network.journey import EVENT
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.store.detail import unpack_detail
from telemetry_twisted.store.schema.network_tables import FETCHES, GUARANTEES, JOURNEYS

from .history import History
from .networks import Network
from .shapes import Answer, Hash, NodeId, Time, event_name, micros
from .slots import node_names
from .spreads import Spread, spread
from .work_packages import PACKAGE, STUCK_SECONDS, WorkPackage, read_package


class JourneyEvent(Answer):
    """Something that a node did for a package."""

    node_id: NodeId | None
    event_type: int
    event: str | None
    event_id: Annotated[int, Meta(description="The JIP-3 event ID, within the connection.")]
    time: Annotated[Time, Meta(description="When, by the node's own clock: exact.")]
    corrected: Annotated[
        Time | None,
        Meta(description="The same with the offset of its clock taken out, by which they stand."),
    ]
    arrived: Annotated[Time, Meta(description="When it was read here.")]
    after_ms: Annotated[
        float | None,
        Meta(description="How long after the event before of the same node: exact; may be < 0."),
    ]
    peer: Annotated[Hash | None, Meta(description="The other node that it names, if any.")]
    reason: Annotated[str | None, Meta(description="Why something failed, as the node says.")]


class Fetched(Answer):
    """Requests for shards or bundles of it: counts, and how long those that succeeded took."""

    event_type: int
    succeeded: int
    failed: int
    first: Time
    last: Time
    mean_ms: Annotated[float | None, Meta(description="Exact, by the clock of who was asked.")]
    greatest_ms: float


class Journey(Answer):
    """Everything that is known of one work package."""

    genesis: Hash | None
    summary: WorkPackage
    events: Annotated[
        list[JourneyEvent], Meta(description="In order, by times with offsets taken out.")
    ]
    guarantee: Annotated[
        Spread | None, Meta(description="How the guarantees of its report reached nodes.")
    ]
    fetches: list[Fetched]


async def journey(history: History, network: Network, hash: bytes) -> Journey | None:
    """One work package; None if nobody told of it."""
    rows = await history.query(
        f"{JOURNEYS.select(*PACKAGE, 'detail')} WHERE network = ? AND hash = ?",
        (network.number, hash),
    )
    if not rows:
        return None
    *row, detail = max(rows, key=lambda row: row[PACKAGE.index("events")])
    summary = read_package(row, int((history.now() - STUCK_SECONDS) * 1_000_000))
    there, (_, packed, notes, offsets, *_) = unpack_detail(bytes(detail))
    names = await node_names(history, list(there.values()))
    return Journey(
        genesis=network.genesis,
        summary=summary,
        events=await _events(history, packed, notes, offsets, there, names),
        guarantee=await _guarantee(history, network, row[PACKAGE.index("report")]),
        fetches=await _fetches(history, network, row[PACKAGE.index("erasure_root")]),
    )


async def _events(
    history: History,
    packed: bytes,
    notes: Sequence[str],
    offsets: Mapping[int, int],
    there: Mapping[int, int],
    names: Mapping[int, str],
) -> list[JourneyEvent]:
    told = []
    for node, kind, note, time, arrived, event_id in EVENT.iter_unpack(packed):
        offset = offsets.get(node, OFF)
        # Where the clock is of no use, when it came says best when it was.
        when = arrived if offset == OFF else time + offset
        told.append((when, node, event_id, kind, note, time, arrived, offset))
    told.sort()
    before: dict[int, int] = {}
    events = []
    async for when, node, event_id, kind, note, time, arrived, offset in history.turns.steps(told):
        text = notes[note - 1] if note else None
        peer = text is not None and _is_peer(text)
        last = before.get(node)
        before[node] = time
        events.append(
            JourneyEvent(
                node_id=names.get(there[node]),
                event_type=kind,
                event=event_name(kind),
                event_id=event_id,
                time=micros(time),
                corrected=None if offset == OFF else micros(when),
                arrived=micros(arrived),
                after_ms=None if last is None else (time - last) / 1000,
                peer=f"0x{text}" if peer else None,
                reason=None if peer else text,
            )
        )
    return events


def _is_peer(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)


async def _guarantee(history: History, network: Network, report: bytes | None) -> Spread | None:
    if report is None:
        return None
    rows = await history.query(
        f"{GUARANTEES.select('receptions', 'spread')} WHERE network = ? AND report = ? "
        "ORDER BY receptions DESC LIMIT 1",
        (network.number, bytes(report)),
    )
    return spread(ujson.loads(rows[0][1])) if rows else None


async def _fetches(history: History, network: Network, root: bytes | None) -> list[Fetched]:
    if root is None:
        return []
    rows = await history.query(
        f"{FETCHES.select('kinds')} WHERE network = ? AND erasure_root = ? "
        "ORDER BY last DESC LIMIT 1",
        (network.number, bytes(root)),
    )
    kinds = ujson.loads(rows[0][0]) if rows else {}
    return [
        Fetched(
            event_type=int(kind),
            succeeded=succeeded,
            failed=failed,
            first=micros(first),
            last=micros(last),
            mean_ms=total / succeeded / 1000 if succeeded else None,
            greatest_ms=greatest / 1000,
        )
        for kind, (succeeded, failed, first, last, total, greatest) in kinds.items()
    ]
