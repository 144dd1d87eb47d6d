"""What a node did for others, and for work packages, of all that was observed of it."""

from __future__ import annotations

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.observed import Outcome
from telemetry_twisted.network.summary.outliers import SERVING, Work
from telemetry_twisted.store.tallies import number_key, outcome_key

from .sum_values import NodeSums

_REFINE = [latency.name for latency in CHAINS.latencies].index("refine")


def work_of(sums: NodeSums) -> Work:
    """What a node did."""
    outcomes, totals = sums.outcomes, sums.totals
    return Work(
        served=sum(outcomes.get(outcome_key(root, Outcome.SUCCESS), 0) for root in SERVING),
        failed=sum(outcomes.get(outcome_key(root, Outcome.FAILURE), 0) for root in SERVING),
        refined=totals.get(number_key(_REFINE), 0),
        refining=totals.get(_REFINE, 0),
    )
