"""The tables of what is observed of chains of events: how they ended, how long they took, what they
cost.

They are added up in four ways, a row each for a bucket of time and what it is about: a network, a
node, a core, a service; and the few figures that lists of all nodes, cores or services tell once
more the other way round, a row each for what is told: a latency, a type of event, a phase. So a
list reads a few rows, and none that hold histograms. Nothing is added up over two networks. What is
told of a whole network is kept by 10 s, by the minute and by the hour, as counts are, and by the
day as long as by the hour. What is told of one of very many nodes, cores or services is kept by the
minute for as long as counts by 10 s are, by the hour for as long as those by the minute, and by the
day for as long as those by the hour.

Rows of a minute hold the whole value of their bucket, as all rows of history do. Those of an hour
are made of them when the minute is over, and those of a day of the rows of an hour, in a
transaction that also takes the bucket from ``sums_open``: so a row is in the wider bucket as soon
as it is in no open one. Who asks by the hour adds the minutes that are open, and so on.

A ``BLOB`` holds a tally (:mod:`telemetry_twisted.store.tallies`): ``outcomes`` how many chains
ended, by their root and how; ``latencies`` histograms of how long it took from one event to
another; ``totals`` the sum of each latency in microseconds, and of how many it is; ``events`` how
many there were, by type, that belong to a core; ``costs`` those of phases of work, field by field;
``guarantors`` how many guarantees each node (its number) built for the core; ``withheld`` what was
left out, by kind; ``node_counts`` and ``node_totals`` how often a latency was seen by each node,
and the sum of it in microseconds; ``core_counts`` how many events belong to each core;
``service_counts``, ``service_gas``, ``service_times`` and ``service_loads`` what each service cost
in a phase: how often, gas, and nanoseconds of executing and of getting ready.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from .policy import DAY, HOUR
from .table import AUTOMATIC, BLOB, INTEGER, TEXT, Table

MINUTE = 60

SINCE = 3
"""The version of the schema that brought these tables."""

WIDER = {MINUTE: HOUR, HOUR: DAY}
"""The bucket that another becomes part of, by their widths in seconds."""

_NAMES = {10: "10s", MINUTE: "1m", HOUR: "1h", DAY: "1d"}

NETWORKS = Table(
    "networks",
    {"network": AUTOMATIC, "genesis": TEXT, "first_seen": INTEGER, "last_seen": INTEGER},
    ("genesis",),
    least=frozenset({"first_seen"}),
    greatest=frozenset({"last_seen"}),
    since=SINCE,
)
"""Every network that was heard of: the small integer that stands for its genesis hash, and when
something was written of it (microseconds of Unix time)."""

NETWORK_SUMS = {
    width: Table(
        f"network_sums_{_NAMES[width]}",
        {
            "bucket": INTEGER,
            "network": INTEGER,
            "run": INTEGER,
            "outcomes": BLOB,
            "events": BLOB,
            "withheld": BLOB,
            "totals": BLOB,
            "latencies": BLOB,
        },
        ("bucket", "network", "run"),
        since=SINCE,
        large=True,
    )
    for width in (10, MINUTE, HOUR, DAY)
}
"""What was observed in a network, by the width of the bucket in seconds."""


@frozen
class Kind:
    """What is told of many things in each network.

    ``key`` are the columns that say of which, ``sums`` those that are added up, ``tables`` those of
    each width. Of ``least`` and ``greatest`` the least and the greatest is kept, the others are
    tallies. ``number`` stands for it in ``sums_open``.
    """

    number: int
    key: tuple[str, str]
    sums: tuple[str, ...]
    tables: Mapping[int, Table]
    least: str
    greatest: str


def _kind(
    number: int,
    subject: str,
    key: tuple[str, str],
    sums: tuple[str, ...],
    least: str = "",
    greatest: str = "",
    large: frozenset[int] = frozenset(),
    listed: bool = False,
) -> Kind:
    own = {name: INTEGER if name in (least, greatest) else BLOB for name in sums}
    tables = {
        width: Table(
            f"{subject}_sums_{_NAMES[width]}",
            {"bucket": INTEGER, **dict.fromkeys(key, INTEGER), "run": INTEGER, **own},
            ("bucket", *key, "run"),
            # Minutes are kept for a day, and are few the other way round: in memory soon.
            series={(*key, "bucket"): SINCE} if width >= HOUR and not listed else {},
            since=SINCE,
            large=width in large,
        )
        for width in (MINUTE, HOUR, DAY)
    }
    return Kind(number, key, sums, tables, least, greatest)


OF_NODES = _kind(
    1,
    "node",
    ("node", "network"),
    ("clock_least", "clock_greatest", "outcomes", "withheld", "totals", "latencies"),
    least="clock_least",
    greatest="clock_greatest",
    large=frozenset({HOUR, DAY}),
)
"""What was observed of nodes. ``clock_least`` and ``clock_greatest`` bound by how much what it sent
arrived after the time that it said, in microseconds; null where its clock was off."""

OF_CORES = _kind(
    2,
    "core",
    ("network", "core"),
    ("events", "outcomes", "guarantors", "costs", "totals", "latencies"),
)
"""What was observed of cores."""

OF_SERVICES = _kind(3, "service", ("network", "service"), ("costs",))
"""What services cost."""

OF_LATENCIES = _kind(
    4,
    "latency",
    ("network", "latency"),
    ("node_counts", "node_totals"),
    large=frozenset({MINUTE, HOUR, DAY}),
    listed=True,
)
"""How long each latency took the nodes: what ``totals`` of :data:`OF_NODES` tells, by node."""

OF_EVENTS = _kind(5, "event", ("network", "type"), ("core_counts",), listed=True)
"""How many events of each type belong to the cores: ``events`` of :data:`OF_CORES`, by core."""

OF_PHASES = _kind(
    6,
    "phase",
    ("network", "phase"),
    ("service_counts", "service_gas", "service_times", "service_loads"),
    listed=True,
)
"""What each phase cost the services: some of ``costs`` of :data:`OF_SERVICES`, by service."""

KINDS = (OF_NODES, OF_CORES, OF_SERVICES, OF_LATENCIES, OF_EVENTS, OF_PHASES)

SUMS_OPEN = Table(
    "sums_open",
    {"bucket": INTEGER, "kind": INTEGER, "width": INTEGER, "run": INTEGER},
    ("bucket", "kind", "width", "run"),
    since=SINCE,
)
"""The buckets of each :class:`Kind` that are not part of a wider one yet."""

SUM_TABLES = (
    NETWORKS,
    *NETWORK_SUMS.values(),
    *(table for kind in KINDS for table in kind.tables.values()),
    SUMS_OPEN,
)
