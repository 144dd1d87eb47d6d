"""How long requests between nodes took over time.

Latencies are those of chains that succeeded, exact to the microsecond and told within 5 %; those
that failed are counted, but have no latency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from attrs import define

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.bins import percentiles
from telemetry_twisted.jip3.observed import Outcome
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.latencies import NUMBERS, bins_of
from telemetry_twisted.store.read.sums import MOST_HISTOGRAMS, Subject
from telemetry_twisted.store.tallies import (
    Tally,
    add_packed,
    latency_key,
    number_key,
    outcome_key,
)
from telemetry_twisted.timestamps import rfc3339

from .given import ChartGiven
from .routes import Row, Rows, grafana
from .scope import scope_of

MOST_WINDOWS = 1000
"""Windows of an answer, at most: they are as wide as it takes."""

SHARES = {"p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99, "p100": 1.0}


@define
class Seen:
    """What was seen in a window: histograms by latency, sums of latencies, and outcomes."""

    bins: dict[int, Tally]
    totals: Tally
    outcomes: Tally

    def at(self, name: str, shares: Sequence[float]) -> list[float | None]:
        """What such shares took at most, in milliseconds."""
        found = percentiles(self.bins.get(NUMBERS[name], {}), shares)
        return [None if each is None else each / 1000 for each in found]

    def count(self, name: str) -> int:
        """How many there were of a latency."""
        return sum(self.bins.get(NUMBERS[name], {}).values())

    def mean(self, name: str) -> float | None:
        """The mean of a latency in milliseconds."""
        return mean_of(self.totals, name)

    def failed(self, roots: Sequence[int]) -> int:
        """How many chains failed that begin with one of ``roots``."""
        return sum(self.outcomes.get(outcome_key(root, Outcome.FAILURE), 0) for root in roots)


def mean_of(totals: Mapping[int, int], name: str) -> float | None:
    """The mean of a latency in milliseconds, None where there were none."""
    count = totals.get(number_key(NUMBERS[name]), 0)
    return totals.get(NUMBERS[name], 0) / count / 1000 if count else None


async def seen_in(
    history: History, subject: Subject, begin: float, end: float, step: int, names: Sequence[str]
) -> dict[int, Seen]:
    """What was seen of some latencies and of all outcomes, by where the window begins."""
    window = subject.window(history, begin, end, step, MOST_HISTOGRAMS)
    tallies: defaultdict[int, tuple[Tally, Tally, Tally]] = defaultdict(lambda: ({}, {}, {}))
    first = latency_key(min(NUMBERS[name] for name in names), 0)
    last = latency_key(max(NUMBERS[name] for name in names) + 1, 0)
    columns = ("latencies", "totals", "outcomes")
    rows = await subject.rows(history, window, columns)
    async for bucket, latencies, totals, outcomes in history.turns.steps(rows):
        tally = tallies[window.at(bucket)]
        add_packed(tally[0], latencies, first, last)
        add_packed(tally[1], totals)
        add_packed(tally[2], outcomes)
    return {
        at: Seen(bins_of(bins), totals, outcomes)
        for at, (bins, totals, outcomes) in sorted(tallies.items())
    }


async def seen_over(
    history: History, subject: Subject, begin: float, end: float, names: Sequence[str]
) -> Seen:
    """What was seen of some latencies over a range."""
    span = subject.whole(history, begin, end)
    tallies: tuple[Tally, Tally, Tally] = ({}, {}, {})
    first = latency_key(min(NUMBERS[name] for name in names), 0)
    last = latency_key(max(NUMBERS[name] for name in names) + 1, 0)
    columns = ("latencies", "totals", "outcomes")
    async for _, latencies, totals, outcomes in history.turns.steps(
        await subject.rows(history, span, columns)
    ):
        add_packed(tallies[0], latencies, first, last)
        add_packed(tallies[1], totals)
        add_packed(tallies[2], outcomes)
    return Seen(bins_of(tallies[0]), tallies[1], tallies[2])


Legs = dict[str, tuple[str | None, tuple[str, ...]]]
"""What is told, by the beginning of its name: the latency, None if it is not known; the shares."""

_FEW = ("p50", "p95", "p99")


async def _chart(sources: Sources, given: ChartGiven, legs: Legs, roots: Sequence[int]) -> Rows:
    scope = await scope_of(sources, given.network)
    names = [name for name, _ in legs.values() if name]
    step = given.step(1, MOST_WINDOWS)
    seen = await seen_in(sources.history, Subject(scope.network), *given.range, step, names)
    rows = []
    async for at, found in sources.history.turns.steps(seen.items()):
        row: Row = {"ts": rfc3339(at)}
        for prefix, (name, shares) in legs.items():
            told = (
                [None] * len(shares)
                if name is None
                else found.at(name, [SHARES[share] for share in shares])
            )
            for share, each in zip(shares, told, strict=True):
                row[f"{prefix}_{share}"] = None if each is None else round(each)
            row[f"{prefix}_samples"] = 0 if name is None else found.count(name)
        row["failed_count"] = found.failed(roots)
        if row["failed_count"] or any(row[f"{prefix}_samples"] for prefix in legs):
            rows.append(row)
    return rows


@grafana("shard-latency")
async def shards(sources: Sources, given: ChartGiven) -> Rows:
    """Shard requests as who asked and who was asked tell them."""
    legs: Legs = {
        "assurer": ("shard_out", tuple(SHARES)),
        "guarantor": ("shard_in_request", tuple(SHARES)),
    }
    return await _chart(sources, given, legs, (120, 121))


@grafana("bundle-latency")
async def bundles(sources: Sources, given: ChartGiven) -> Rows:
    """Requests for bundles and their shards. Of reconstruction, and of recovery from end to end,
    history does not keep how long they take."""
    legs: Legs = {
        "shard_req": ("bundle_shard_out", _FEW),
        "shard_resp": ("bundle_shard_in", _FEW),
        "full_req": ("bundle_out", _FEW),
        "full_resp": ("bundle_in", _FEW),
        "reconstruct": (None, _FEW),
        "e2e": (None, (*_FEW, "p100")),
    }
    return await _chart(sources, given, legs, (140, 141, 148, 149))


@grafana("segment-latency")
async def segments(sources: Sources, given: ChartGiven) -> Rows:
    """Requests for segments and their shards."""
    legs: Legs = {
        "shard_req": ("segment_shard_out", _FEW),
        "shard_resp": ("segment_shard_in", _FEW),
        "full_req": ("segment_out", _FEW),
        "full_resp": ("segment_in", _FEW),
        "reconstruct": ("reconstruct_segments", _FEW),
    }
    return await _chart(sources, given, legs, (162, 163, 168, 173, 174))


@grafana("preimage-latency")
async def preimages(sources: Sources, given: ChartGiven) -> Rows:
    """Requests for preimages."""
    legs: Legs = {"req": ("preimage_out", _FEW), "resp": ("preimage_in", _FEW)}
    return await _chart(sources, given, legs, (193, 194))


ENDPOINTS: tuple[Endpoint, ...] = (shards, bundles, segments, preimages)
