"""How chains of events ended, and how far work packages came."""

from __future__ import annotations

from collections.abc import Mapping

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.observed import Outcome, Withheld
from telemetry_twisted.store.tallies import Tally, add_packed, latency_key, outcome_key, sum_alike
from telemetry_twisted.timestamps import rfc3339

from .history import History
from .latencies import NUMBERS, Distribution, bins_of, told
from .shapes import Answer, Genesis, Range, Series, Steps, event_name
from .sums import Subject

CONNECTING = {21: "connect_in", 24: "connect_out"}
"""The roots of attempts to connect, and how long those took that succeeded."""

STAGES = {
    94: "received",
    95: "authorized",
    97: "imported",
    101: "refined",
    102: "reported",
    105: "guaranteed",
    109: "distributed",
    92: "failed",
    93: "duplicate",
}
"""How far a work package came on one guarantor, by the type of event that says so, and how it ended
otherwise."""


class Outcomes(Answer):
    """How chains of events ended: well, badly, not at all (no event came any more within the time
    that such a chain has, or the connection ended), or nobody knows (a node had too many open)."""

    success: int
    failure: int
    unfinished: int
    forgotten: int


class ChainOutcomes(Outcomes):
    """How chains ended that begin with an event of a type."""

    event_type: int
    name: str | None


class LeftOut(Answer):
    """What chains do not tell: latencies left out because a node's time ran backwards; events that
    refer to what is not known any more; sightings of events, rows and costs for which there was no
    room."""

    time_backwards: int
    orphans: int
    sightings: int
    rows: int
    costs: int


class Chains(Range):
    """How chains of events ended, by the type of event that they begin with, and what was left out,
    which is not told by core."""

    genesis: Genesis | None
    chains: list[ChainOutcomes]
    left_out: LeftOut | None


class Attempts(Outcomes):
    """Attempts to connect: how they ended, how long those took that succeeded, and how many
    succeeded and failed in each step."""

    latency: Distribution
    succeeded: list[int]
    failed: list[int]


class Connections(Steps):
    """Attempts of nodes to connect with each other, as those tell that were called
    (``connecting_in``) and those that called (``connecting_out``)."""

    genesis: Genesis | None
    connecting_in: Attempts
    connecting_out: Attempts


class Stage(Series):
    """How many work packages came so far, over time."""

    event_type: int
    name: str


class Funnel(Steps):
    """How far work packages came, stage by stage, and how they ended otherwise.

    Each guarantor that works on a package counts. A package is told of from when its core is known.
    """

    genesis: Genesis | None
    stages: list[Stage]


def outcomes_of(tally: Mapping[int, int], root: int) -> dict[str, int]:
    """The fields of :class:`Outcomes` of chains that begin with ``root``."""
    return {outcome.name.lower(): tally.get(outcome_key(root, outcome), 0) for outcome in Outcome}


def chains_in(tally: Mapping[int, int]) -> list[ChainOutcomes]:
    """How chains ended, of each type of root of which there were any."""
    return [
        ChainOutcomes(event_type=root, name=event_name(root), **outcomes)
        for root in CHAINS.roots
        if any((outcomes := outcomes_of(tally, root)).values())
    ]


async def chains(history: History, subject: Subject, begin: float, end: float) -> Chains:
    """How chains ended over a range."""
    span = subject.whole(history, begin, end)
    columns = ("outcomes", "withheld") if subject.core is None else ("outcomes",)
    rows = await subject.rows(history, span, columns)
    withheld = sum_alike(row[2] for row in rows) if subject.core is None else None
    return Chains(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        genesis=subject.network.genesis,
        chains=chains_in(sum_alike(row[1] for row in rows)),
        left_out=None
        if withheld is None
        else LeftOut(**{what.name.lower(): withheld.get(what, 0) for what in Withheld}),
    )


async def connections(history: History, subject: Subject, begin: float, end: float) -> Connections:
    """How attempts to connect ended, and how long they took."""
    span = subject.span_of_histograms(history, begin, end)
    steps: list[Tally] = [{} for _ in span.times]
    totals: Tally = {}
    tally: Tally = {}
    rows = await subject.rows(history, span, ("outcomes", "totals", "latencies"))
    last = max(NUMBERS[name] for name in CONNECTING.values())
    async for bucket, outcomes, packed_totals, packed in history.turns.steps(rows):
        add_packed(steps[span.index(bucket)], outcomes)
        add_packed(totals, packed_totals, 0, last + 1)
        add_packed(tally, packed, 0, latency_key(last + 1, 0))
    histograms = bins_of(tally)

    def attempts(root: int) -> Attempts:
        number = NUMBERS[CONNECTING[root]]
        ended = [outcomes_of(step, root) for step in steps]
        return Attempts(
            **{name: sum(each[name] for each in ended) for name in outcomes_of({}, root)},
            latency=Distribution(**told(histograms.get(number, {}), totals.get(number, 0))),
            succeeded=[each["success"] for each in ended],
            failed=[each["failure"] for each in ended],
        )

    return Connections(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        resolution_seconds=span.step,
        genesis=subject.network.genesis,
        connecting_in=attempts(21),
        connecting_out=attempts(24),
    )


async def funnel(history: History, subject: Subject, begin: float, end: float) -> Funnel:
    """How far work packages came over time."""
    span = subject.span(history, begin, end)
    steps: list[list[bytes]] = [[] for _ in span.times]
    for bucket, events in await subject.rows(history, span, ("events",)):
        steps[span.index(bucket)].append(events)
    counts: dict[int, list[int]] = {kind: [] for kind in STAGES}
    async for step in history.turns.steps(steps):
        tally = sum_alike(step)
        for kind in STAGES:
            counts[kind].append(tally.get(kind, 0))
    return Funnel(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        resolution_seconds=span.step,
        genesis=subject.network.genesis,
        stages=[
            Stage(event_type=kind, name=name, total=sum(counts[kind]), counts=counts[kind])
            for kind, name in STAGES.items()
        ],
    )
