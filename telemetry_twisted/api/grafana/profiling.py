"""How guarantors compare: the chains of packages that were submitted to each, by its own clock.

Where a core is asked for, they are the guarantors that guaranteed for it, with all that they did.
"""

from __future__ import annotations

from collections import defaultdict

from attrs import define

from telemetry_twisted.api.rest.endpoint import Endpoint, Sources
from telemetry_twisted.jip3.observed import Outcome
from telemetry_twisted.store.read.latencies import NUMBERS
from telemetry_twisted.store.read.ranges import whole
from telemetry_twisted.store.read.sums import Subject, rows_of
from telemetry_twisted.store.schema.sum_tables import OF_LATENCIES, OF_NODES
from telemetry_twisted.store.tallies import Tally, add_packed, number_key, outcome_key, sum_alike
from telemetry_twisted.timestamps import rfc3339

from .cores import guarantors
from .given import CoreChartGiven, CoreGiven, Count, Text
from .latencies import mean_of
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

SUBMISSION = 90
MOST_BUCKETS = 10
"""Buckets of all nodes that are read, at most, unless only those of a day are there."""

MOST_LISTED = 100
"""Nodes that are told, at most, unless more are asked for."""

MOST_OVER_TIME = 10
"""Nodes that are told over time, at most: the slowest."""

MOST_SHOWN = 2500
"""Rows of an answer over time, at most."""

STAGES = ("authorize", "refine", "report", "guarantee", "distribute")
FIRST, LAST = NUMBERS["authorize"], NUMBERS["pipeline"]


@define
class Profile:
    """What was observed of a node: sums and numbers of latencies, and outcomes of chains."""

    totals: Tally
    outcomes: Tally

    def add(self, totals: bytes, outcomes: bytes) -> None:
        """Add a row of the node."""
        add_packed(self.totals, totals, FIRST, LAST + 1)
        add_packed(self.totals, totals, number_key(FIRST), number_key(LAST) + 1)
        self.add_outcomes(outcomes)

    def add_outcomes(self, outcomes: bytes) -> None:
        """Add how chains of the node ended."""
        first = outcome_key(SUBMISSION, 0)
        add_packed(self.outcomes, outcomes, first, outcome_key(SUBMISSION + 1, 0))

    @property
    def failures(self) -> int:
        """Packages that failed."""
        return self.outcomes.get(outcome_key(SUBMISSION, Outcome.FAILURE), 0)

    @property
    def ended(self) -> int:
        """Packages that ended well or badly."""
        return self.failures + self.outcomes.get(outcome_key(SUBMISSION, Outcome.SUCCESS), 0)

    @property
    def mean(self) -> float | None:
        """How long a package took in milliseconds."""
        return mean_of(self.totals, "pipeline")

    def means(self) -> Row:
        """The mean of each stage."""
        return {f"avg_{name}_ms": mean_of(self.totals, name) for name in STAGES}


def _nothing() -> Profile:
    return Profile({}, {})


async def _profiles(
    sources: Sources, scope: Scope, begin: float, end: float, core: int | None
) -> dict[int, Profile]:
    """How long packages took nodes, by number; of how they ended nothing."""
    history = sources.history
    span = whole(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    asked: dict[str, int | list[int]] = {
        "network": scope.network.number,
        "latency": [*range(FIRST, LAST + 1)],
    }
    packed: defaultdict[int, list[bytes]] = defaultdict(list)
    columns = ("latency", "node_counts", "node_totals")
    for _, latency, counts, totals in await rows_of(history, OF_LATENCIES, span, columns, asked):
        packed[latency].append(totals)
        packed[number_key(latency)].append(counts)
    there = {*scope.nodes}
    if core is not None:
        there &= (await guarantors(sources, scope, begin, end, core)).keys()
    found = {node: _nothing() for node in there}
    async for key, rows in history.turns.steps(packed.items()):
        for node, number in sum_alike(rows).items():
            if node in found:
                found[node].totals[key] = number
    return found


async def _add_outcomes(
    sources: Sources, scope: Scope, begin: float, end: float, found: dict[int, Profile]
) -> None:
    """Add to ``found`` how packages ended."""
    if not found:
        return
    history = sources.history
    span = whole(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    only: dict[str, int | list[int]] = {"node": [*found], "network": scope.network.number}
    rows = await rows_of(history, OF_NODES, span, ("node", "outcomes"), only)
    async for _, node, outcomes in history.turns.steps(rows):
        found[node].add_outcomes(outcomes)


def _slowest_first(found: dict[int, Profile]) -> list[int]:
    return sorted(found, key=lambda node: (found[node].mean is None, -(found[node].mean or 0)))


class ProfilingGiven(CoreGiven, frozen=True, kw_only=True):
    """How many, in which order."""

    limit: Count | None = None
    sort: Text = "desc"


@grafana("validator-profiling")
async def profiling(sources: Sources, given: ProfilingGiven) -> Row:
    """How long packages take each guarantor; of no more than a hundred, unless more are asked for,
    those whose means come first."""
    scope = await scope_of(sources, given.network)
    found = await _profiles(sources, scope, *given.range, given.core)
    means = [each.mean for each in found.values() if each.mean is not None]
    of_all = sum(means) / len(means) if means else None
    order = _slowest_first(found)
    if given.sort == "asc":
        order.sort(key=lambda node: (found[node].mean is None, found[node].mean or 0))
    order = order[: MOST_LISTED if given.limit is None else given.limit]
    await _add_outcomes(sources, scope, *given.range, {node: found[node] for node in order})
    rows = []
    for node in order:
        each = found[node]
        if not each.ended and each.mean is None:
            continue
        rows.append(
            {
                "node_id": scope.nodes[node],
                "wp_count": each.ended,
                "failures": each.failures,
                "failure_rate": each.failures / each.ended if each.ended else 0.0,
                **each.means(),
                "avg_total_ms": each.mean,
                "slowdown_factor": each.mean / of_all if each.mean is not None and of_all else None,
            }
        )
    return {"network_avg_total_ms": of_all, "nodes": rows}


class ProfilingChartGiven(CoreChartGiven, frozen=True, kw_only=True):
    """Of which node."""

    node: Text | None = None


@grafana("validator-profiling-timeseries")
async def profiling_over_time(sources: Sources, given: ProfilingChartGiven) -> Rows:
    """How long packages take a guarantor over time, or the slowest over the whole range."""
    history = sources.history
    scope = await scope_of(sources, given.network)
    if given.node is None:
        found = await _profiles(sources, scope, *given.range, given.core)
        numbers = _slowest_first(found)[:MOST_OVER_TIME]
    else:
        numbers = scope.numbers((given.node,))
    step = given.step(len(numbers), MOST_SHOWN)
    windows: defaultdict[tuple[int, str], Profile] = defaultdict(_nothing)
    for node in numbers:
        subject = Subject(scope.network, node=node)
        window = subject.window(history, *given.range, step, MOST_SHOWN // len(numbers))
        rows = await subject.rows(history, window, ("totals", "outcomes"))
        for bucket, totals, outcomes in rows:
            windows[window.at(bucket), scope.nodes[node]].add(totals, outcomes)
    return [
        {
            "ts": rfc3339(at),
            "node_id": node_id,
            "wp_count": each.ended,
            "failures": each.failures,
            **each.means(),
            "avg_total_ms": each.mean,
        }
        for (at, node_id), each in sorted(windows.items())
        if each.ended or each.mean is not None
    ]


ENDPOINTS: tuple[Endpoint, ...] = (profiling, profiling_over_time)
