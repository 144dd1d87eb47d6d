"""What history answers with: rows of the database in the form of the JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.histogram import Histogram
from telemetry_twisted.store.schema.tables import STATE_COLUMNS
from telemetry_twisted.timestamps import rfc3339

from .ranges import Span


def event_name(kind: int) -> str | None:
    """The name of an event type, None if it has none."""
    event = TABLE.events.get(kind)
    return event.name if event else None


def micros(at: int) -> str:
    """A time in microseconds of Unix time."""
    return rfc3339(min(at, _LATEST_TIME) / 1_000_000)


_LATEST_TIME = 253_402_300_799_000_000
"""The last second of the year 9999, in microseconds: a node may claim any time."""


def node(row: Sequence[Any], latest: Mapping[str, Any]) -> dict[str, Any]:
    """A node: a row of ``nodes``, and its newest facts by name."""
    _, node_id, address, implementation, version, gp_version, protocol, cores, flags, *seen = row
    synced = latest.get("synced")
    return {
        "node_id": node_id,
        "address": address,
        "implementation": implementation,
        "implementation_version": version,
        "gp_version": gp_version,
        "protocol_version": protocol,
        "cores": cores,
        "flags": flags,
        "first_seen": micros(seen[0]),
        "last_seen": micros(seen[1]),
        "best": latest.get("best"),
        "finalized": latest.get("finalized"),
        "synced": synced["synced"] if synced else None,
    }


def connection(started: int, ended: int | None, address: str, reason: str | None) -> dict[str, Any]:
    """A connection of a node; times in microseconds."""
    return {
        "started": micros(started),
        "ended": None if ended is None else micros(ended),
        "address": address,
        "reason": reason,
    }


def state(bucket: int, best: int, finalized: int, synced: int, *figures: int) -> dict[str, Any]:
    """The state of a node in the bucket of 10 s that begins at ``bucket``."""
    named = dict(zip(STATE_COLUMNS[3:], figures, strict=True))
    return {
        "time": rfc3339(bucket),
        "best": best,
        "finalized": finalized,
        "synced": None if synced is None else bool(synced),
        **named,
    }


def head(blocks: Iterable[tuple[int, str]]) -> dict[str, Any] | None:
    """The block that a twentieth of those who report one have reached."""
    ordered = sorted(blocks, reverse=True)
    if not ordered:
        return None
    slot, block = ordered[len(ordered) // 20]
    return {"slot": slot, "hash": block, "nodes": sum(one[0] >= slot for one in ordered)}


def grouped(
    series: Mapping[int, Sequence[int]], group_of: Callable[[int], str | None]
) -> dict[str, list[int]]:
    """Counts of event types, over time, added up by the group that each type is in."""
    groups: dict[str, list[int]] = {}
    for kind, counts in sorted(series.items()):
        name = group_of(kind) or "unknown"
        before = groups.get(name)
        groups[name] = (
            list(counts) if before is None else [a + b for a, b in zip(before, counts, strict=True)]
        )
    return groups


def range_of(span: Span) -> dict[str, Any]:
    """The range of a chart, and its resolution."""
    return {
        "from": rfc3339(span.begin),
        "to": rfc3339(span.end),
        "resolution_seconds": span.step,
    }


def series(counts: Sequence[int]) -> dict[str, Any]:
    """Counts over time, and their sum."""
    return {"total": sum(counts), "counts": counts}


def spread(
    first: int | None, nodes: int, p50: int | None, p95: int, p99: int, last: int
) -> dict[str, Any]:
    """How the blocks of a slot spread: ``first`` and the delays after it in microseconds."""
    delays = zip(("p50_ms", "p95_ms", "p99_ms", "all_ms"), (p50, p95, p99, last), strict=True)
    return {
        "first": None if first is None else micros(first),
        "nodes": nodes,
        **{name: None if delay is None else delay / 1000 for name, delay in delays},
    }


def delays_of(histogram: Histogram) -> dict[str, float | None]:
    """The delays in ``histogram``, by the share of nodes that were no later."""
    shares = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("all_ms", 1.0))
    found = {name: histogram.percentile(share) for name, share in shares}
    return {name: None if delay is None else delay / 1000 for name, delay in found.items()}


def fault(
    node_id: str | None,
    kind: str,
    discriminator: int,
    reason: str,
    count: int,
    last_seen: int,
    offset: int | None,
    excerpt: bytes | None,
) -> dict[str, Any]:
    """What a node got wrong, how often, and where it was last."""
    return {
        "node_id": node_id,
        "kind": kind,
        "event_type": None if discriminator < 0 else discriminator,
        "name": event_name(discriminator),
        "reason": reason,
        "count": count,
        "last_seen": micros(last_seen),
        "offset": offset,
        "excerpt": None if excerpt is None else excerpt.hex(),
    }
