"""What one node did over time."""

from __future__ import annotations

from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import CONNECTIONS, STATE_COLUMNS, STATES
from telemetry_twisted.timestamps import rfc3339

from .counts import GroupSeries, counts_by_type, groups_of
from .history import History
from .nodes import Connection, connection
from .ranges import Span
from .shapes import Answer, NodeId, Steps, Time

MOST_BUCKETS = 720
"""Buckets that the answer reads, at most: those of one node lie far apart."""

STATE_SECONDS = 20
"""How far back from the end of a step a state is looked for."""

MOST_CONNECTIONS = 100
"""The newest connections in the range that are shown."""


class State(Answer):
    """What a node's state was at the end of a step, null where it had not said so."""

    time: Time
    best: int | None
    finalized: int | None
    synced: bool | None
    num_peers: int | None
    num_val_peers: int | None
    num_sync_peers: int | None
    num_guarantees: int | None
    num_shards: int | None
    shards_size: int | None
    num_preimages: int | None
    preimages_size: int | None


class Timeline(Steps):
    """What a node sent, its state, and its connections over time."""

    node_id: NodeId
    groups: list[GroupSeries]
    states: list[State]
    connections: list[Connection]


async def timeline(
    history: History, number: int, node_id: str, begin: float, end: float
) -> Timeline:
    """What one node sent, what state it was in, and when it was connected."""
    span = history.span(begin, end, MOST_BUCKETS)
    series = await counts_by_type(history, span, [number], None)
    states = await _states(history, span, number)
    connections = await history.query(
        f"{CONNECTIONS.select('started', 'ended', 'address', 'reason')} WHERE node = ? "
        "AND started < ? AND (ended IS NULL OR ended >= ?) ORDER BY started DESC LIMIT ?",
        (number, span.end * 1_000_000, span.begin * 1_000_000, MOST_CONNECTIONS),
    )
    return Timeline(
        node_id=node_id,
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        resolution_seconds=span.step,
        groups=groups_of(series),
        states=states,
        connections=[connection(*row) for row in connections],
    )


async def _states(history: History, span: Span, number: int) -> list[State]:
    """The last state of each step. A node says something of it every 2 s when all is well."""
    now = int(history.now()) // 10 * 10 + 10
    kept = now - history.policy.states
    ends = [min(start + span.step, now) for start in span.times]
    buckets = [
        bucket
        for start, end in zip(span.times, ends, strict=True)
        for bucket in range(max(start, end - STATE_SECONDS), end, 10)
        if bucket >= kept
    ]
    if not buckets:
        return []
    rows = await history.query(
        f"{STATES.select('bucket', *STATE_COLUMNS)} "
        f"WHERE node = ? AND bucket IN ({marks(buckets)}) ORDER BY bucket",
        (number, *buckets),
    )
    newest = {span.index(row[0]): row for row in rows}
    return [_state(*row) for row in newest.values()]


def _state(bucket: int, *values: int | None) -> State:
    known = dict(zip(STATE_COLUMNS, values, strict=True))
    synced = known.pop("synced")
    return State(
        time=rfc3339(bucket),
        synced=None if synced is None else bool(synced),
        **known,
    )
