"""Events themselves, as long as they are kept.

Those of a core or a work package are what journeys tell of them, for raw events do not say.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.read import raw, windows
from telemetry_twisted.store.read.packages import packages_in
from telemetry_twisted.store.read.raw_search import NEWEST, Wanted
from telemetry_twisted.store.read.shapes import micros
from telemetry_twisted.store.read.sums import Subject

from .given import Core, Count, RangeGiven, Text, Types
from .packages import hash_of, package_events
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

MOST_EVENTS = 2000
"""Events of a page, at most."""

MOST_PASSED_OVER = 10_000
"""How far an offset reaches."""

MOST_JOURNEYS = 10
"""Packages of a core whose events are told, the newest."""


class EventsGiven(RangeGiven, frozen=True, kw_only=True):
    """Which events."""

    event_types: Types = Types(frozenset())
    limit: Count = 500
    offset: Count = 0
    node: Text | None = None
    core: Core | None = None
    wp_hash: Text | None = None


@grafana("events")
async def events(sources: Sources, given: EventsGiven) -> Row:
    """Events, the newest first. How many there are is counted, even of those that are not kept as
    long as the range is."""
    limit = min(given.limit, MOST_EVENTS)
    scope = await scope_of(sources, given.network)
    hash = hash_of(given.wp_hash or "")
    if hash is not None or given.core is not None:
        found = await _of_journeys(sources, scope, given, hash)
        total = len(found)
        page = found[given.offset : given.offset + limit]
    else:
        begin, end = given.range
        wanted = given.event_types.numbers or None
        numbers = scope.numbers(None if given.node is None else (given.node,))
        page, total = [], 0
        if given.node is None or numbers:
            node = numbers[0] if given.node is not None else None
            upto = min(given.offset, MOST_PASSED_OVER) + limit
            some = await raw_rows(sources, begin, end, wanted, node, upto + 1)
            page = some[given.offset : given.offset + limit]
            total = len(some)
            if total > upto:
                total = max(total, await _counted(sources, scope, given, node))
    return {
        "events": page,
        "pagination": {
            "offset": given.offset,
            "limit": limit,
            "total": total,
            "has_more": given.offset + limit < total,
        },
    }


async def _counted(sources: Sources, scope: Scope, given: EventsGiven, node: int | None) -> int:
    nodes = scope.counted if node is None else [node]
    counts = await windows.counts_over(sources.history, *given.range, nodes)
    return windows.sum_of(counts, given.event_types.numbers or counts.keys())


async def _of_journeys(
    sources: Sources, scope: Scope, given: EventsGiven, hash: bytes | None
) -> Rows:
    hashes = [hash] if hash is not None else []
    if hash is None:
        subject = Subject(scope.network, core=given.core)
        found = await packages_in(sources.history, subject, *given.range, MOST_JOURNEYS)
        hashes = [package.hash for package in found]
    types = given.event_types.numbers or TABLE.events
    rows = [
        row
        for each in hashes
        for row in await package_events(sources, scope.network, each)
        if row["event_type"] in types and given.node in (None, row["node_id"])
    ]
    return sorted(rows, key=lambda row: str(row["ts"]), reverse=True)


class _Message(msgspec.Struct):
    node_id: str
    event_type: int
    event: dict[str, dict[str, Any]]


class _Kept(msgspec.Struct):
    data: _Message
    timestamp: str


_read = msgspec.json.Decoder(_Kept).decode


async def raw_rows(
    sources: Sources,
    begin: float,
    end: float,
    types: Collection[int] | None,
    node: int | None,
    limit: int,
) -> Rows:
    """Events that are kept, the newest first."""
    wanted = Wanted(node, types, int(begin * 1_000_000), int(end * 1_000_000))
    messages: list[bytes] = []
    place = NEWEST
    async with sources.searches:
        while len(messages) < limit:
            found = await raw.browse(sources.history, wanted, place, limit - len(messages))
            messages += found.messages
            if found.next is None or not found.messages:
                break
            place = found.next
            if sum(map(len, messages)) >= raw.PAGE_BYTES:
                break
    return [_row(_read(each)) async for each in sources.history.turns.steps(messages)]


def _row(kept: _Kept) -> Row:
    (said,) = kept.data.event.values()
    at = said.get("timestamp")
    return {
        "ts": micros(COMMON_ERA + at) if isinstance(at, int) else kept.timestamp,
        "node_id": kept.data.node_id,
        "event_type": kept.data.event_type,
        "data": kept.data.event,
        "created_at": kept.timestamp,
    }


ENDPOINTS: tuple[Endpoint, ...] = (events,)
