"""What became of work packages: how far each came."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal, get_args

import ujson
from attrs import frozen
from msgspec import Meta

from telemetry_twisted.network.journey import STAGES, SUPERSEDED
from telemetry_twisted.store.schema.network_tables import JOURNEYS

from .history import History
from .networks import Network
from .pages import page_of
from .shapes import Answer, Hash, Next, Range, Time, micros

MOST_COUNTED = 20_000
"""Work packages that are looked at, at most: the newest of the range, for the funnel and a page."""

STUCK_SECONDS = 30
"""A work package of which nothing was heard for so long, and that has not ended, is stuck."""

KNOWN = 32
"""The bytes of a hash: what is kept under a longer key has none so far."""

Outcome = Literal["distributed", "failed", "duplicate", "shared", "unfinished"]

PACKAGE = (
    *("hash", "first", "last", "closed", "core", "stages", "outcome", "reason", "parts"),
    *("report", "erasure_root", "slot", "builder", "services", "events", "left_out"),
)
"""The columns that tell of a package."""


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
    where = [AMONG, "coalesce(outcome, '') <> ?"]
    more: list[object] = [SUPERSEDED]
    if core is not None:
        where.append("core = ?")
        more.append(core)
    if service is not None:
        where.append("(',' || trim(services, '[]') || ',') LIKE ?")
        more.append(f"%,{service},%")
    counted = await newest(history, network, int(begin * 1_000_000), int(end * 1_000_000))
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
        shown = await newest(history, network, int(begin * 1_000_000), before)
    rows = await history.query(
        f"{JOURNEYS.select(*PACKAGE)} WHERE {' AND '.join(where)} ORDER BY first DESC LIMIT ?",
        (*shown.bounds, *more, limit + 1),
    )
    packages, after = await page_of(
        history, rows, limit, lambda row: read_package(row, stuck_since), attrgetter("events")
    )
    if after is None and not shown.complete:
        after = shown.begin
    return WorkPackages(
        from_=micros(int(begin * 1_000_000)),
        to=micros(int(end * 1_000_000)),
        genesis=network.genesis,
        funnel=funnel,
        work_packages=packages,
        next=after,
    )


AMONG = "network = ? AND first >= ? AND first < ?"
"""SQL that holds for the packages that are looked at."""


@frozen
class Newest:
    """The packages of a network that are looked at: those from ``begin`` to ``end``, which are all
    that were asked for if it is ``complete``."""

    network: int
    begin: int
    end: int
    complete: bool

    @property
    def bounds(self) -> tuple[int, int, int]:
        """What :data:`AMONG` compares with."""
        return self.network, self.begin, self.end


async def newest(history: History, network: Network, begin: int, end: int) -> Newest:
    """The packages that are looked at, of those that were heard of first from ``begin`` to ``end``
    (microseconds)."""
    rows = await history.query(
        f"{JOURNEYS.select('first')} WHERE network = ? AND first >= ? AND first < ? "
        "ORDER BY first DESC LIMIT 1 OFFSET ?",
        (network.number, begin, end, MOST_COUNTED - 1),
    )
    oldest = rows[0][0] if rows else begin
    return Newest(network.number, oldest, end, not rows)


async def _funnel(history: History, counted: Newest, where: str, more: Sequence[object]) -> Funnel:
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


def _hex(value: bytes | None) -> str | None:
    return None if value is None else f"0x{bytes(value).hex()}"


def read_package(row: Sequence[Any], stuck_since: int) -> WorkPackage:
    """The package in a row of :data:`PACKAGE`; it is stuck if nothing was heard of it since."""
    said = dict(zip(PACKAGE, row, strict=True))
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
