"""What a node did for others, and for work packages, of all that was observed of it."""

from __future__ import annotations

from telemetry_twisted.jip3.chains import CHAINS
from telemetry_twisted.jip3.observed import Outcome
from telemetry_twisted.network.summary.outliers import SERVING, Work
from telemetry_twisted.store.tallies import number_key, outcome_key

from .sum_values import NodeSums

_SERVED = frozenset(outcome_key(root, Outcome.SUCCESS) for root in SERVING)
_FAILED = frozenset(outcome_key(root, Outcome.FAILURE) for root in SERVING)
_REFINE = [latency.name for latency in CHAINS.latencies].index("refine")


def work_of(sums: NodeSums) -> Work:
    """What a node did."""
    totals = sums.totals
    served = failed = 0
    for key, times in sums.outcomes.items():
        if key in _SERVED:
            served += times
        elif key in _FAILED:
            failed += times
    return Work(
        served=served,
        failed=failed,
        refined=totals.get(number_key(_REFINE), 0),
        refining=totals.get(_REFINE, 0),
    )
