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
from telemetry_twisted.store.schema.sum_tables import OF_NODES
from telemetry_twisted.store.tallies import Tally, add_packed, number_key, outcome_key
from telemetry_twisted.timestamps import rfc3339

from .cores import guarantors
from .given import CoreChartGiven, CoreGiven, Count, Text
from .latencies import mean_of
from .routes import Row, Rows, grafana
from .scope import Scope, scope_of

SUBMISSION = 90
MOST_BUCKETS = 10
"""Buckets of all nodes that are read, at most, unless only those of a day are there."""

MOST_OVER_TIME = 20
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
    """Those of nodes that had packages, by number."""
    history = sources.history
    span = whole(begin, end, history.now(), history.policy.sums, MOST_BUCKETS)
    found: defaultdict[int, Profile] = defaultdict(_nothing)
    only = {"network": scope.network.number}
    rows = await rows_of(history, OF_NODES, span, ("node", "totals", "outcomes"), only)
    async for _, node, totals, outcomes in history.turns.steps(rows):
        found[node].add(totals, outcomes)
    there = {*scope.nodes}
    if core is not None:
        there &= (await guarantors(sources, scope, begin, end, core)).keys()
    return {
        node: each
        for node, each in found.items()
        if node in there and (each.ended or each.mean is not None)
    }


def _slowest_first(found: dict[int, Profile]) -> list[int]:
    return sorted(found, key=lambda node: (found[node].mean is None, -(found[node].mean or 0)))


class ProfilingGiven(CoreGiven, frozen=True, kw_only=True):
    """How many, in which order."""

    limit: Count | None = None
    sort: Text = "desc"


@grafana("validator-profiling")
async def profiling(sources: Sources, given: ProfilingGiven) -> Row:
    """How long packages take each guarantor."""
    scope = await scope_of(sources, given.network)
    found = await _profiles(sources, scope, *given.range, given.core)
    means = [each.mean for each in found.values() if each.mean is not None]
    of_all = sum(means) / len(means) if means else None
    order = _slowest_first(found)
    if given.sort == "asc":
        order.sort(key=lambda node: (found[node].mean is None, found[node].mean or 0))
    rows = []
    for node in order if given.limit is None else order[: given.limit]:
        each = found[node]
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
        window = subject.window(history, *given.range, step)
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
