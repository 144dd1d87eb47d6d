"""What failed: events that report a failure, and what nodes got wrong about JIP-3."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from msgspec import Meta

from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import FAILURES, FAULTS
from telemetry_twisted.timestamps import rfc3339

from .history import History, total
from .shapes import Answer, Next, NodeId, Range, Time, event_name, micros, whole_buckets

FaultKind = Literal["decode_error", "violation"]


class Failure(Answer):
    """A type of events that report a failure, a reason, and how often it came."""

    event_type: int
    name: str | None
    reason: str
    count: int


class Failures(Range):
    """Failures by type and reason, the most frequent first."""

    failures: list[Failure]
    next: Next


class Fault(Answer):
    """What a node got wrong, how often, and where and in which bytes (hex) it was last.

    ``node_id`` is null before a node said who it is.
    """

    node_id: NodeId | None
    kind: FaultKind
    event_type: int | None
    name: str | None
    reason: str
    count: int
    last_seen: Time
    offset: int | None
    excerpt: Annotated[str, Meta(pattern="^([0-9a-f]{2})*$")] | None


class Faults(Range):
    """What nodes got wrong, the most frequent first."""

    protocol_errors: list[Fault]
    next: Next


Excerpts = dict[tuple[Any, ...], tuple[int, bytes]]
"""Where and in which bytes faults were seen last, by what makes each of them one."""


async def failures(
    history: History,
    begin: float,
    end: float,
    types: Collection[int] | None,
    offset: int,
    limit: int,
) -> Failures:
    """Failures by type and reason, the most frequent first."""
    width = 60 if end - begin <= 7200 else 3600 if end - begin <= 4 * DAY else DAY
    first, last = whole_buckets(begin, end, width)
    chosen = f"AND type IN ({marks(types)}) " if types is not None else ""
    rows = await history.query(
        f"SELECT type, reason, {total('failures')} AS total FROM {FAILURES[width].name} "
        f"WHERE bucket >= ? AND bucket < ? {chosen}"
        "GROUP BY type, reason ORDER BY total DESC, type, reason LIMIT ? OFFSET ?",
        (first, last, *(types or ()), limit + 1, offset),
    )
    return Failures(
        from_=rfc3339(first),
        to=rfc3339(last),
        failures=[
            Failure(event_type=kind, name=event_name(kind), reason=reason, count=count)
            for kind, reason, count in rows[:limit]
        ],
        next=offset + limit if len(rows) > limit else None,
    )


async def faults(
    history: History,
    begin: float,
    end: float,
    node: int | None,
    kind: FaultKind | None,
    offset: int,
    limit: int,
) -> Faults:
    """What nodes got wrong, the most frequent first."""
    width = 3600 if end - begin <= 4 * DAY else DAY
    first, last = whole_buckets(begin, end, width)
    table = FAULTS[width].name
    conditions, parameters = ["bucket >= ?", "bucket < ?"], [first, last]
    for column, value in (("node", node), ("kind", kind)):
        if value is not None:
            conditions.append(f"f.{column} = ?")
            parameters.append(value)  # type: ignore[arg-type]
    rows = await history.query(
        "SELECT f.node, node_id, kind, discriminator, reason, "
        f"{total('faults')} AS total, max(f.last_seen), max(bucket) "
        f"FROM {table} f LEFT JOIN nodes n ON n.node = f.node WHERE {' AND '.join(conditions)} "
        "GROUP BY f.node, node_id, kind, discriminator, reason "
        "ORDER BY total DESC, f.node, kind, discriminator, reason LIMIT ? OFFSET ?",
        (*parameters, limit + 1, offset),
    )
    shown = rows[:limit]
    excerpts = await _excerpts(history, table, shown) if shown else {}
    return Faults(
        from_=rfc3339(first),
        to=rfc3339(last),
        protocol_errors=[_fault(row, excerpts) for row in shown],
        next=offset + limit if len(rows) > limit else None,
    )


def _fault(row: tuple[Any, ...], excerpts: Excerpts) -> Fault:
    number, node_id, kind, discriminator, reason, count, latest, _ = row
    key = number, kind, discriminator, reason, latest
    offset, excerpt = excerpts.get(key, (None, None))
    return Fault(
        node_id=node_id,
        kind=kind,
        event_type=None if discriminator < 0 else discriminator,
        name=event_name(discriminator),
        reason=reason,
        count=count,
        last_seen=micros(latest),
        offset=offset,
        excerpt=None if excerpt is None else excerpt.hex(),
    )


async def _excerpts(history: History, table: str, shown: list[tuple[Any, ...]]) -> Excerpts:
    among = marks(shown)
    return {
        tuple(key): (place, excerpt)
        for *key, place, excerpt in await history.query(
            "SELECT node, kind, discriminator, reason, last_seen, last_offset, excerpt "
            f"FROM {table} WHERE bucket IN ({among}) AND node IN ({among}) "
            f"AND last_seen IN ({among})",
            [row[column] for column in (7, 0, 6) for row in shown],
        )
    }
