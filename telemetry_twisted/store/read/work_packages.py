"""What became of work packages: how far each came, and the whole journey of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import ujson
from attrs import frozen
from msgspec import Meta

from telemetry_twisted.network.journey import EVENT, STAGES, SUPERSEDED
from telemetry_twisted.network.reporters import OFF
from telemetry_twisted.store.detail import unpack_detail
from telemetry_twisted.store.schema.network_tables import FETCHES, GUARANTEES, JOURNEYS

from .history import History
from .networks import Network
from .shapes import Answer, Hash, Next, NodeId, Range, Time, event_name, micros
from .slots import node_names
from .spreads import Spread, spread

MOST_COUNTED = 20_000
"""Work packages that are looked at, at most: the newest of the range, for the funnel and a page."""

STUCK_SECONDS = 30
"""A work package of which nothing was heard for so long, and that has not ended, is stuck."""

KNOWN = 32
"""The bytes of a hash: what is kept under a longer key has none so far."""

Outcome = Literal["distributed", "failed", "duplicate", "shared", "unfinished"]

_COLUMNS = (
    *("hash", "first", "last", "closed", "core", "stages", "outcome", "reason", "parts"),
    *("report", "erasure_root", "slot", "builder", "services", "events", "left_out"),
)


class WorkPackage(Answer):
    """A work package, over all guarantors that reported anything of it."""

    work_package: Annotated[
        Hash | None,
        Meta(description="Its hash; null where it failed before any guarantor told that."),
    ]
    first: Annotated[Time, Meta(description="When the first of it arrived here.")]
    last: Annotated[Time, Meta(description="When the last of it arrived here.")]
    core: int | None
    services: list[int]
    stages: Annotated[
        list[str], Meta(description="What it has reached with any guarantor, by their events.")
    ]
    outcome: Annotated[
        Outcome | None,
        Meta(
            description="How it ended, the best of what its guarantors came to; shared: all that "
            "is known is that guarantors signed it for another; unfinished: no end was heard of in "
            "600 s, or its connection ended; null while it goes on."
        ),
    ]
    stuck: Annotated[
        bool, Meta(description=f"Going on, but nothing was heard of it for {STUCK_SECONDS} s.")
    ]
    reason: Annotated[
        str | None,
        Meta(description="Why the last guarantor that failed with it did, as that says."),
    ]
    guarantors: Annotated[int, Meta(description="Submissions and shares of it, with any node.")]
    builder: Annotated[Hash | None, Meta(description="The peer ID of who submitted it.")]
    report: Annotated[Hash | None, Meta(description="The hash of its work report.")]
    erasure_root: Hash | None
    slot: Annotated[int | None, Meta(description="The slot of its guarantee.")]
    events: Annotated[int, Meta(description="Events of it that are kept.")]
    events_left_out: Annotated[
        int, Meta(description="Events of it that are not, for there were too many.")
    ]


class Funnel(Answer):
    """How many of the packages came how far: exact counts of those that nodes told of.

    A package counts in each stage that any guarantor reported. ``packages`` are all of the range,
    or, where it is not ``complete``, those of the newest 20,000; ``begins`` is when the first of
    them was heard of.
    """

    packages: int
    begins: Time | None
    complete: bool
    received: int
    authorized: int
    imported: int
    refined: int
    reported: int
    guaranteed: int
    distributed: int
    failed: int
    duplicate: int
    shared: int
    unfinished: int
    going_on: int


class WorkPackages(Range):
    """Work packages, the newest first, and the funnel of the range.

    A page looks at 20,000 packages at most: it may have few, and ``next`` tell where to go on.
    """

    genesis: Hash | None
    funnel: Funnel
    work_packages: list[WorkPackage]
    next: Next


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


async def work_packages(
    history: History,
    network: Network,
    begin: float,
    end: float,
    before: int,
    limit: int,
    core: int | None = None,
    service: int | None = None,
    outcome: str | None = None,
    stuck: bool | None = None,
) -> WorkPackages:
    """Work packages that were heard of first from ``begin`` to ``end``, the newest first, from
    before ``before`` (microseconds) if that is not 0."""
    stuck_since = int((history.now() - STUCK_SECONDS) * 1_000_000)
    where = ["network = ?", "first >= ?", "first < ?", "coalesce(outcome, '') <> ?"]
    more: list[object] = [SUPERSEDED]
    if core is not None:
        where.append("core = ?")
        more.append(core)
    if service is not None:
        where.append("(',' || trim(services, '[]') || ',') LIKE ?")
        more.append(f"%,{service},%")
    counted = await _newest(history, network, int(begin * 1_000_000), int(end * 1_000_000))
    funnel = await _funnel(history, counted, " AND ".join(where), more)
    if outcome is not None:
        where.append("outcome = ?")
        more.append(outcome)
    if stuck is not None:
        going_on = "(outcome IS NULL AND closed IS NULL AND last < ?)"
        where.append(going_on if stuck else f"NOT {going_on}")
        more.append(stuck_since)
    shown = counted
    if before:
        shown = await _newest(history, network, int(begin * 1_000_000), before)
    rows = await history.query(
        f"{JOURNEYS.select(*_COLUMNS)} WHERE {' AND '.join(where)} ORDER BY first DESC LIMIT ?",
        (*shown.bounds, *more, limit + 1),
    )
    page = whole(rows, limit)
    best: dict[bytes, WorkPackage] = {}
    async for row in history.turns.steps(page):
        package = _package(row, stuck_since)
        there = best.get(bytes(row[0]))
        if there is None or there.events < package.events:
            best[bytes(row[0])] = package
    after = None if shown.complete else shown.begin
    return WorkPackages(
        from_=micros(int(begin * 1_000_000)),
        to=micros(int(end * 1_000_000)),
        genesis=network.genesis,
        funnel=funnel,
        work_packages=[*best.values()],
        next=page[-1][1] if len(rows) > limit else after,
    )


@frozen
class _Newest:
    """The packages of a network that are looked at: those from ``begin`` to ``end``, which are all
    that were asked for if it is ``complete``."""

    network: int
    begin: int
    end: int
    complete: bool

    @property
    def bounds(self) -> tuple[int, int, int]:
        """What the first conditions compare with."""
        return self.network, self.begin, self.end


async def _newest(history: History, network: Network, begin: int, end: int) -> _Newest:
    ((oldest, number),) = await history.query(
        f"SELECT min(first), count(*) FROM ({JOURNEYS.select('first')} "
        "WHERE network = ? AND first >= ? AND first < ? ORDER BY first DESC LIMIT ?) AS newest",
        (network.number, begin, end, MOST_COUNTED),
    )
    complete = number < MOST_COUNTED
    return _Newest(network.number, begin if complete else oldest, end, complete)


def whole(rows: Sequence[tuple[Any, ...]], limit: int) -> Sequence[tuple[Any, ...]]:
    """As many of ``rows`` as fit a page of ``limit`` without parting those of one moment, their
    second column, unless all are of one."""
    if len(rows) <= limit:
        return rows
    page = [row for row in rows[:limit] if row[1] != rows[limit][1]]
    return page or rows[:limit]


async def _funnel(history: History, counted: _Newest, where: str, more: Sequence[object]) -> Funnel:
    rows = await history.query(
        "SELECT stages, outcome, closed IS NULL, count(*), min(first) "
        f"FROM {JOURNEYS.name} WHERE {where} GROUP BY 1, 2, 3",
        (*counted.bounds, *more),
    )
    counts = dict.fromkeys((*STAGES.values(), *get_args(Outcome), "going_on"), 0)
    total = 0
    for stages, outcome, open_, number, _ in rows:
        total += number
        for place, name in enumerate(STAGES.values()):
            if name != "distributed":
                counts[name] += number * (stages >> place & 1)
        counts[outcome or ("going_on" if open_ else "unfinished")] += number
    return Funnel(
        packages=total,
        begins=micros(min(row[4] for row in rows)) if rows else None,
        complete=counted.complete,
        **counts,
    )


async def journey(history: History, network: Network, hash: bytes) -> Journey | None:
    """One work package; None if nobody told of it."""
    rows = await history.query(
        f"{JOURNEYS.select(*_COLUMNS, 'detail')} WHERE network = ? AND hash = ?",
        (network.number, hash),
    )
    if not rows:
        return None
    *row, detail = max(rows, key=lambda row: row[_COLUMNS.index("events")])
    summary = _package(row, int((history.now() - STUCK_SECONDS) * 1_000_000))
    there, (_, packed, notes, offsets, *_) = unpack_detail(bytes(detail))
    names = await node_names(history, list(there.values()))
    return Journey(
        genesis=network.genesis,
        summary=summary,
        events=await _events(history, packed, notes, offsets, there, names),
        guarantee=await _guarantee(history, network, row[_COLUMNS.index("report")]),
        fetches=await _fetches(history, network, row[_COLUMNS.index("erasure_root")]),
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


def _hex(value: bytes | None) -> str | None:
    return None if value is None else f"0x{bytes(value).hex()}"


def _package(row: Sequence[Any], stuck_since: int) -> WorkPackage:
    said = dict(zip(_COLUMNS, row, strict=True))
    going_on = said["closed"] is None and said["outcome"] is None
    outcome = said["outcome"]
    return WorkPackage(
        work_package=_hex(said["hash"]) if len(said["hash"]) == KNOWN else None,
        first=micros(said["first"]),
        last=micros(said["last"]),
        core=said["core"],
        services=ujson.loads(said["services"]),
        stages=[name for place, name in enumerate(STAGES.values()) if said["stages"] >> place & 1],
        outcome=outcome or (None if going_on else "unfinished"),
        stuck=going_on and said["last"] < stuck_since,
        reason=said["reason"],
        guarantors=said["parts"],
        builder=_hex(said["builder"]),
        report=_hex(said["report"]),
        erasure_root=_hex(said["erasure_root"]),
        slot=said["slot"],
        events=said["events"],
        events_left_out=said["left_out"],
    )
