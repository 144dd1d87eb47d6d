"""How much of each table is kept that is bounded by time."""

from __future__ import annotations

from attrs import frozen

from telemetry_twisted.store.schema.network_tables import (
    ANCHORS,
    FETCHES,
    GUARANTEES,
    JOURNEYS,
    NETWORK_SLOTS,
)
from telemetry_twisted.store.schema.policy import DAY, Policy
from telemetry_twisted.store.schema.sum_tables import KINDS, NETWORK_SUMS, SUMS_OPEN
from telemetry_twisted.store.schema.table import Table
from telemetry_twisted.store.schema.tables import (
    CONNECTIONS,
    COUNTED,
    FAILURES,
    FAULTS,
    GAPS,
    LOSSES,
    RAW_SHARE,
    SLOTS,
    SPREADS,
    STATES,
)

SPREAD_WIDTHS = (600, 3600)
"""Windows into which the spread of slots is merged, in seconds."""

LATE_SECONDS = 7200
"""How long a slot may still change after its first report."""

MOST_CONNECTIONS = 1_000_000
"""Connections that are kept, the newest; those that last are not among them."""

MOST_GAPS = 10_000
"""Gaps that are kept."""


MOST_THINGS = 1_000_000
"""Slots, work packages, guarantees, anchors, and erasure roots that are kept, of each."""


@frozen
class Limit:
    """How much of a table is kept: rows whose ``column`` of time, which has so many ``units`` in a
    second, is not older than ``seconds``, and ``most`` rows if it is not None."""

    table: Table
    column: str
    seconds: int
    units: int = 1
    most: int | None = None


def limits(policy: Policy) -> list[Limit]:
    """How much of each table is kept that is bounded by time."""
    # Windows are made from slots for as long as these may change.
    slots = max(policy.slots, LATE_SECONDS + max(SPREAD_WIDTHS))
    sums = policy.sums
    second = 1_000_000
    return [
        *(
            Limit(tables[width], "bucket", kept)
            for tables in COUNTED
            for width, kept in policy.counts.items()
        ),
        *(
            Limit(table, "bucket", policy.network_sums[width])
            for width, table in NETWORK_SUMS.items()
        ),
        *(
            Limit(table, "bucket", sums[width])
            for kind in KINDS
            for width, table in kind.tables.items()
        ),
        Limit(SUMS_OPEN, "bucket", max(sums.values())),
        Limit(STATES, "bucket", policy.states),
        Limit(RAW_SHARE, "bucket", policy.states),
        Limit(FAILURES[60], "bucket", policy.slots),
        Limit(FAILURES[3600], "bucket", policy.yearly),
        Limit(FAILURES[DAY], "bucket", policy.yearly),
        *(Limit(table, "bucket", policy.yearly) for table in FAULTS.values()),
        *(Limit(table, "bucket", policy.yearly) for table in LOSSES.values()),
        Limit(SPREADS, "bucket", policy.yearly),
        Limit(NETWORK_SLOTS, "first", slots, second, MOST_THINGS),
        Limit(ANCHORS, "first", slots, second, MOST_THINGS),
        Limit(JOURNEYS, "first", policy.slots, second, MOST_THINGS),
        Limit(GUARANTEES, "first", policy.slots, second, MOST_THINGS),
        Limit(FETCHES, "first", policy.slots, second, MOST_THINGS),
        Limit(SLOTS, "first", slots, second),
        Limit(GAPS, "began", policy.yearly, second, MOST_GAPS),
        Limit(CONNECTIONS, "ended", policy.yearly, second, MOST_CONNECTIONS),
    ]


def first_window(now: int) -> int:
    """When the first window begins in which slots may change at ``now``, in seconds."""
    return (now - LATE_SECONDS) // max(SPREAD_WIDTHS) * max(SPREAD_WIDTHS)
