"""How long it took from one event of a chain to another: histograms, added up when asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from telemetry_twisted.jip3.bins import percentiles
from telemetry_twisted.jip3.chains import CHAINS, Latency
from telemetry_twisted.store.schema.sum_tables import OF_LATENCIES, OF_NODES
from telemetry_twisted.store.schema.table import marks
from telemetry_twisted.store.schema.tables import NODES
from telemetry_twisted.store.tallies import (
    BIN_BITS,
    Tally,
    add_packed,
    latency_key,
    sum_packed,
)
from telemetry_twisted.timestamps import rfc3339

from .history import History
from .networks import Network
from .ranges import whole
from .shapes import Answer, Genesis, Next, NodeId, Range, Steps, event_name
from .sums import Subject, rows_of

SHARES = (0.5, 0.75, 0.95, 0.99, 1.0)
"""Of which shares it is told how long they took at most."""

LONGEST_RANKED = 2
"""Buckets over which nodes are compared, at most."""

NUMBERS: Mapping[str, int] = {each.name: n for n, each in enumerate(CHAINS.latencies)}
"""The number of each latency."""

Name = Annotated[str, Meta(extra_json_schema={"enum": [*NUMBERS]})]
"""Which latency it is."""

Milliseconds = Annotated[float, Meta(description="In milliseconds.")] | None


class Distribution(Answer):
    """How often something was seen to take how long.

    Both times are the node's own, so the count and the mean are exact, to the microsecond; what a
    share of all took at most is within 5 %. Null where there were none.
    """

    count: int
    mean_ms: Milliseconds
    p50_ms: Milliseconds
    p75_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds
    p100_ms: Milliseconds


class LatencyDistribution(Distribution):
    """How long it took from one event of a chain to another: the types of both, and of how many
    chains of which share took how long."""

    name: Name
    begins_with: int
    begins_with_name: str | None
    ends_with: int
    ends_with_name: str | None


class Latencies(Range):
    """How long what nodes did took, in the order of JIP-3."""

    genesis: Genesis | None
    latencies: list[LatencyDistribution]


class LatencyChart(Steps):
    """How long something took over time: a distribution for each step."""

    genesis: Genesis | None
    name: Name
    distributions: list[Distribution]


class NodeDistribution(Distribution):
    """How long it took a node."""

    node_id: NodeId


class LatencyNodes(Range):
    """How long it took each node, those first that took longest on average, and the mean of all."""

    genesis: Genesis | None
    name: Name
    network_mean_ms: Milliseconds
    nodes: list[NodeDistribution]
    next: Next


def told(bins: Mapping[int, int], total: int) -> dict[str, Any]:
    """The fields of a :class:`Distribution` of ``bins`` and the ``total`` in microseconds."""
    count = sum(bins.values())
    found = percentiles(bins, SHARES)
    return {
        "count": count,
        "mean_ms": _mean(total, count),
        **{
            f"p{round(share * 100)}_ms": None if at is None else at / 1000
            for share, at in zip(SHARES, found, strict=True)
        },
    }


def _mean(total: int, count: int) -> float | None:
    return round(total / count / 1000, 3) if count else None


def bins_of(tally: Mapping[int, int]) -> dict[int, Tally]:
    """The histogram of each latency in a tally."""
    found: dict[int, Tally] = {}
    for key, count in tally.items():
        found.setdefault(key >> BIN_BITS, {})[key & (1 << BIN_BITS) - 1] = count
    return found


async def latencies(history: History, subject: Subject, begin: float, end: float) -> Latencies:
    """How long everything took over a range."""
    span = subject.whole(history, begin, end)
    tally: Tally = {}
    totals: Tally = {}
    rows = await subject.rows(history, span, ("totals", "latencies"))
    async for _, packed_totals, packed in history.turns.steps(rows):
        add_packed(totals, packed_totals)
        add_packed(tally, packed)
    return Latencies(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        genesis=subject.network.genesis,
        latencies=distributions(tally, totals),
    )


def distributions(tally: Mapping[int, int], totals: Mapping[int, int]) -> list[LatencyDistribution]:
    """Each latency that was seen."""
    histograms = bins_of(tally)
    return [
        _named(CHAINS.latencies[number], histograms[number], totals.get(number, 0))
        for number in range(len(CHAINS.latencies))
        if number in histograms
    ]


def _named(latency: Latency, bins: Mapping[int, int], total: int) -> LatencyDistribution:
    return LatencyDistribution(
        name=latency.name,
        begins_with=latency.begin,
        begins_with_name=event_name(latency.begin),
        ends_with=latency.end,
        ends_with_name=event_name(latency.end),
        **told(bins, total),
    )


async def chart(
    history: History, subject: Subject, name: str, begin: float, end: float
) -> LatencyChart:
    """How long something took over time."""
    span = subject.span_of_histograms(history, begin, end)
    steps: list[tuple[Tally, Tally]] = [({}, {}) for _ in span.times]
    number = NUMBERS[name]
    rows = await subject.rows(history, span, ("totals", "latencies"))
    async for bucket, packed_totals, packed in history.turns.steps(rows):
        totals, tally = steps[span.index(bucket)]
        _add_one(number, packed_totals, packed, totals, tally)
    return LatencyChart(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        resolution_seconds=span.step,
        genesis=subject.network.genesis,
        name=name,
        distributions=[
            Distribution(**told(tally, totals.get(number, 0))) for totals, tally in steps
        ],
    )


def _add_one(number: int, packed_totals: bytes, packed: bytes, totals: Tally, bins: Tally) -> None:
    """Add the latency of a ``number`` alone; its bins by their own numbers."""
    add_packed(totals, packed_totals, number, number + 1)
    first = latency_key(number, 0)
    found: Tally = {}
    add_packed(found, packed, first, latency_key(number + 1, 0))
    for key, count in found.items():
        bins[key - first] = bins.get(key - first, 0) + count


async def nodes(
    history: History,
    network: Network,
    name: str,
    begin: float,
    end: float,
    offset: int,
    limit: int,
) -> LatencyNodes:
    """How long it took each node, those first that took longest on average.

    A range that is longer than :data:`LONGEST_RANKED` days is cut to the last of them.
    """
    kept = {width: at for width, at in history.policy.sums.items() if width > 60}
    begin = max(begin, end - LONGEST_RANKED * max(kept))
    span = whole(begin, end, history.now(), kept, LONGEST_RANKED)
    number = NUMBERS[name]
    first, last = latency_key(number, 0), latency_key(number + 1, 0)
    counts: Tally = {}
    totals: Tally = {}
    asked = {"network": network.number, "latency": number}
    columns = ("node_counts", "node_totals")
    for _, packed_counts, packed_totals in await rows_of(
        history, OF_LATENCIES, span, columns, asked
    ):
        add_packed(counts, packed_counts)
        add_packed(totals, packed_totals)
    ranked = sorted(counts, key=lambda node: (-totals.get(node, 0) / counts[node], node))
    shown = ranked[offset : offset + limit]
    ids = await node_ids(history, shown)
    rows: dict[int, list[bytes]] = {node: [] for node in shown}
    if shown:
        of_shown: dict[str, int | list[int]] = {"node": shown, "network": network.number}
        for _, node, packed in await rows_of(
            history, OF_NODES, span, ("node", "latencies"), of_shown
        ):
            rows[node].append(packed)

    def distribution(node: int) -> dict[str, Any]:
        bins = sum_packed(rows[node], first, last)
        found = told({key - first: count for key, count in bins.items()}, 0)
        # As they were when nodes were ranked, should more have come meanwhile.
        mean = _mean(totals.get(node, 0), counts[node])
        return {**found, "count": counts[node], "mean_ms": mean}

    return LatencyNodes(
        from_=rfc3339(span.begin),
        to=rfc3339(span.end),
        genesis=network.genesis,
        name=name,
        network_mean_ms=_mean(sum(totals.values()), sum(counts.values())),
        nodes=[
            NodeDistribution(node_id=ids[node], **distribution(node))
            async for node in history.turns.steps(shown)
            if node in ids
        ],
        next=offset + limit if len(ranked) > offset + limit else None,
    )


async def node_ids(history: History, numbers: list[int]) -> dict[int, str]:
    """The IDs of some nodes; one that was forgotten has none."""
    if not numbers:
        return {}
    return dict(
        await history.query(
            f"{NODES.select('node', 'node_id')} WHERE node IN ({marks(numbers)})", numbers
        )
    )
