"""What history does not have: what nodes dropped or sent too much of, and when the server could not
keep up."""

from __future__ import annotations

from typing import Any

from telemetry_twisted.store.schema.policy import DAY, HOUR
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import GAPS, LOSSES
from telemetry_twisted.timestamps import rfc3339

from .history import History, total
from .shapes import Answer, Next, NodeId, Range, Time, micros, whole_buckets

RECENT_SECONDS = DAY
"""How far back the losses go that are shown with a node."""


HOURLY_SECONDS = 2 * DAY
"""The longest range that is told by hours; longer ones are in whole days."""


class Lost(Range):
    """What is missing of the events of a node: those that it dropped itself, in how many spans,
    and from when to when (event 0), and those that it sent beyond the rate that is accepted."""

    dropped: int
    spans: int
    first: Time | None
    last: Time | None
    rate_limited: int


class Loss(Answer):
    """What is missing of the events of one of the nodes."""

    node_id: NodeId
    dropped: int
    spans: int
    first: Time | None
    last: Time | None
    rate_limited: int


class Losses(Range):
    """What is missing of the events of nodes, the most first."""

    losses: list[Loss]
    next: Next


class Gap(Answer):
    """A time in which a server could not hand on what arrived, and how much of it history lacks:
    records of its link, and the events, facts, faults, connections and ended chains that they told
    of."""

    began: Time
    ended: Time
    server: str
    records: int
    events: int
    facts: int
    faults: int
    connections: int
    chains: int


class Gaps(Range):
    """When history has gaps, the newest first."""

    gaps: list[Gap]
    next: Next


_SUMS = (
    f"{total('dropped')} AS dropped, {total('spans')}, min(first), max(last), "
    f"{total('rate_limited')} AS rate_limited"
)


async def lost(history: History, number: int) -> Lost:
    """What is missing of the events of a node in the last :data:`RECENT_SECONDS`."""
    now = history.now()
    first, last = whole_buckets(now - RECENT_SECONDS, now, HOUR)
    buckets = range(first, last, HOUR)
    (sums,) = await history.query(
        f"SELECT {_SUMS} FROM {LOSSES[HOUR].name} l "
        f"WHERE bucket IN ({marks(buckets)}) AND node = ?",
        (*buckets, number),
    )
    return Lost(from_=rfc3339(first), to=rfc3339(last), **_named(*sums))


async def losses(history: History, begin: float, end: float, offset: int, limit: int) -> Losses:
    """What is missing of the events of nodes, the most first."""
    width = HOUR if end - begin <= HOURLY_SECONDS else DAY
    first, last = whole_buckets(begin, end, width)
    rows = await history.query(
        f"SELECT node_id, {_SUMS} FROM {LOSSES[width].name} l JOIN nodes n ON n.node = l.node "
        "WHERE bucket >= ? AND bucket < ? GROUP BY l.node, node_id "
        "ORDER BY sum(dropped + rate_limited) DESC, l.node LIMIT ? OFFSET ?",
        (first, last, limit + 1, offset),
    )
    return Losses(
        from_=rfc3339(first),
        to=rfc3339(last),
        losses=[Loss(node_id=node_id, **_named(*sums)) for node_id, *sums in rows[:limit]],
        next=offset + limit if len(rows) > limit else None,
    )


def _named(
    dropped: int, spans: int, first: int | None, last: int | None, rate_limited: int
) -> dict[str, Any]:
    return {
        "dropped": dropped,
        "spans": spans,
        "first": None if first is None else micros(first),
        "last": None if last is None else micros(last),
        "rate_limited": rate_limited,
    }


async def gaps(history: History, begin: float, end: float, offset: int, limit: int) -> Gaps:
    """The gaps that reach into a range of time, the newest first."""
    lacking = ("records", "events", "facts", "faults", "connections", "chains")
    rows = await history.query(
        f"{GAPS.select('began', 'ended', 'server', *lacking)} WHERE began < ? AND ended >= ? "
        "ORDER BY began DESC, server LIMIT ? OFFSET ?",
        (int(end * 1_000_000), int(begin * 1_000_000), limit + 1, offset),
    )
    return Gaps(
        from_=rfc3339(begin),
        to=rfc3339(end),
        gaps=[
            Gap(micros(began), micros(ended), server, *(count or 0 for count in lost))
            for began, ended, server, *lost in rows[:limit]
        ],
        next=offset + limit if len(rows) > limit else None,
    )
