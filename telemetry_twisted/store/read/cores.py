"""What became of work on each core."""

from __future__ import annotations

from collections.abc import Mapping

from telemetry_twisted.store.schema.sum_tables import OF_EVENTS
from telemetry_twisted.store.tallies import Tally, add_packed, sum_alike, sum_packed, unpack_tally
from telemetry_twisted.timestamps import rfc3339

from .chains import ChainOutcomes, chains_in
from .history import History
from .latencies import LatencyDistribution, distributions, node_ids
from .networks import Network
from .ranges import whole
from .services import PhaseCost, phases_of
from .shapes import Answer, Genesis, Next, NodeId, Range, Time, event_name
from .sums import Subject, rows_of

MOST_LISTED = 25
"""Buckets that a list of all cores reads, at most, unless only those of a day are there."""


WORK = {
    "work_packages": 94,
    "reports": 102,
    "guarantees": 105,
    "distributed": 109,
    "failed": 92,
    "duplicates": 93,
}
"""What is told of the work on each core, and the type of event that it is the number of."""


class CoreWork(Answer):
    """What became of work packages on a core: how many were received, how many work reports were
    built of them, guaranteed, and distributed, how many failed or were duplicates.

    Each guarantor that works on a package counts.
    """

    work_packages: int
    reports: int
    guarantees: int
    distributed: int
    failed: int
    duplicates: int


class Core(CoreWork):
    """What became of work on a core; ``last_active`` is when the last bucket began in which there
    was any."""

    core: int
    last_active: Time


class Cores(Range):
    """What became of work on cores, in the order of their numbers.

    Counts of events whose chain tells of a core, exact, but for those that nodes dropped.
    """

    genesis: Genesis | None
    cores: list[Core]
    next: Next


class CoreEvents(Answer):
    """How many events of a type belong to a core."""

    event_type: int
    name: str | None
    count: int


class Guarantor(Answer):
    """How many guarantees a node built for a core."""

    node_id: NodeId
    guarantees: int


class CoreInDetail(Range):
    """All that is known of work on a core: what became of packages (``work``), events by type, how
    chains ended, how long each step took, what it cost, and who guaranteed for it, those first who
    built the most guarantees."""

    genesis: Genesis | None
    core: int
    work: CoreWork
    events: list[CoreEvents]
    chains: list[ChainOutcomes]
    latencies: list[LatencyDistribution]
    authorize: PhaseCost
    refine: PhaseCost
    guarantors: list[Guarantor]


def _work(events: Mapping[int, int]) -> dict[str, int]:
    return {name: events.get(kind, 0) for name, kind in WORK.items()}


async def cores(
    history: History, network: Network, begin: float, end: float, after: int, limit: int
) -> Cores:
    """What became of work on each core, from the one of number ``after`` on."""
    kept = {width: at for width, at in history.policy.sums.items() if width > 60}
    span = whole(begin, end, history.now(), kept, MOST_LISTED)
    only: dict[str, int | list[int]] = {"network": network.number, "type": [*WORK.values()]}
    rows = await rows_of(history, OF_EVENTS, span, ("type", "core_counts"), only)
    packed: dict[int, list[bytes]] = {kind: [] for kind in WORK.values()}
    for _, kind, by_core in rows:
        packed[kind].append(by_core)
    counts = {
        kind: sum_alike(tallies) async for kind, tallies in history.turns.steps(packed.items())
    }
    last = _last_active({core for by_core in counts.values() for core in by_core}, rows)
    page = [core for core in sorted(last) if core >= after]
    return Cores(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        genesis=network.genesis,
        cores=[
            Core(
                core=core,
                last_active=rfc3339(last[core]),
                **{name: counts[kind].get(core, 0) for name, kind in WORK.items()},
            )
            async for core in history.turns.steps(page[:limit])
        ],
        next=page[limit] if len(page) > limit else None,
    )


def _last_active(cores: set[int], rows: list[tuple[int, int, bytes]]) -> dict[int, int]:
    """The newest bucket of each core in rows of buckets, types and tallies by core."""
    last: dict[int, int] = {}
    for bucket, _, by_core in sorted(rows, reverse=True):
        if len(last) == len(cores):
            break
        for core in unpack_tally(by_core):
            last.setdefault(core, bucket)
    return last


async def core(
    history: History, network: Network, number: int, begin: float, end: float
) -> CoreInDetail:
    """All that is known of work on one core."""
    subject = Subject(network, core=number)
    span = subject.whole(history, begin, end)
    columns = ("events", "outcomes", "guarantors", "costs", "totals", "latencies")
    rows = await subject.rows(history, span, columns)
    *few, latencies = [[row[at] for row in rows] for at in range(1, 7)]
    events, outcomes, guarantors, costs, totals = map(sum_packed, few)
    tally: Tally = {}
    async for packed in history.turns.steps(latencies):
        add_packed(tally, packed)
    ids = await node_ids(history, [*guarantors])
    phases = phases_of(costs)
    return CoreInDetail(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        genesis=network.genesis,
        core=number,
        work=CoreWork(**_work(events)),
        events=[
            CoreEvents(event_type=kind, name=event_name(kind), count=count)
            for kind, count in sorted(events.items())
        ],
        chains=chains_in(outcomes),
        latencies=distributions(tally, totals),
        authorize=phases["authorize"],
        refine=phases["refine"],
        guarantors=[
            Guarantor(node_id=ids[node], guarantees=count)
            for node, count in sorted(guarantors.items(), key=lambda each: (-each[1], each[0]))
            if node in ids
        ],
    )
