"""The tables of history, declared once for both databases.

Everything that counts is kept in *buckets* of time, and a row holds the whole value of its bucket,
never an increment: writing it twice is writing it once, so a commit whose answer was lost can be
repeated. ``run`` is part of each such key, so servers that share a database never write each
other's rows; whoever reads adds the runs up. A server whose wall clock is set back gets another run
for the buckets of the seconds that come again. Times are seconds of Unix time in ``bucket``, and
microseconds everywhere else. ``node`` is the small integer that ``nodes`` gives to a node ID;
0 stands for none of them, or for all.
"""

from __future__ import annotations

from .counted import counted
from .network_tables import THINGS
from .raw_tables import RAW_BATCHES, RAW_CHUNKS, RAW_POSTINGS
from .sum_tables import SUM_TABLES
from .table import AUTOMATIC, BLOB, INTEGER, TEXT, Table

NO_NODE = 0
"""The ``node`` of faults before a node said who it is, and of what older releases counted of all
nodes together."""


def _failures(resolution: str) -> Table:
    return Table(
        f"failures_{resolution}",
        {"bucket": INTEGER, "type": INTEGER, "reason": TEXT, "run": INTEGER, "failures": INTEGER},
        ("bucket", "type", "reason", "run"),
    )


def _faults(resolution: str) -> Table:
    return Table(
        f"faults_{resolution}",
        {
            "bucket": INTEGER,
            "node": INTEGER,
            "kind": TEXT,
            "discriminator": INTEGER,
            "reason": TEXT,
            "run": INTEGER,
            "faults": INTEGER,
            "last_seen": INTEGER,
            "last_offset": INTEGER,
            "excerpt": BLOB,
        },
        ("bucket", "node", "kind", "discriminator", "reason", "run"),
    )


def _losses(resolution: str) -> Table:
    return Table(
        f"losses_{resolution}",
        {
            "bucket": INTEGER,
            "node": INTEGER,
            "run": INTEGER,
            "dropped": INTEGER,
            "spans": INTEGER,
            "first": INTEGER,
            "last": INTEGER,
            "rate_limited": INTEGER,
        },
        ("bucket", "node", "run"),
        since=2,
    )


RUNS = Table(
    "runs",
    {
        "run": AUTOMATIC,
        "started": INTEGER,
        "seen": INTEGER,
        "ended": INTEGER,
        "server": TEXT,
        "position": INTEGER,
        "commits": INTEGER,
        "raw_written": INTEGER,
        "raw_dropped": INTEGER,
    },
    ("run",),
    later={"server": 2, "position": 2, "commits": 2, "raw_written": 2, "raw_dropped": 2},
)
"""Each life of a store process. ``seen`` is its last commit; ``ended`` is null until it ends.

``server`` is the token of the server that it works for, null for a run that only has the rows of
seconds that came again. ``position`` is the number of that server's last record that is in the
database, ``commits`` how many transactions of the run are, by which it learns whether one is whose
answer was lost. ``raw_written`` and ``raw_dropped`` are the raw events that the run has written and
let go of.
"""

NODES = Table(
    "nodes",
    {
        "node": AUTOMATIC,
        "node_id": TEXT,
        "address": TEXT,
        "implementation": TEXT,
        "implementation_version": TEXT,
        "gp_version": TEXT,
        "protocol_version": INTEGER,
        "cores": INTEGER,
        "flags": INTEGER,
        "info": TEXT,
        "first_seen": INTEGER,
        "last_seen": INTEGER,
    },
    ("node_id",),
    least=frozenset({"first_seen"}),
    greatest=frozenset({"last_seen"}),
    indexes={("last_seen",): 2},
)
"""Every node that ever connected. ``info`` is all it said of itself, as JSON."""

CONNECTIONS = Table(
    "connections",
    {
        "node": INTEGER,
        "started": INTEGER,
        "run": INTEGER,
        "address": TEXT,
        "ended": INTEGER,
        "reason": TEXT,
    },
    ("node", "started"),
    indexes={("ended",): 2},
)
"""Each connection of a node. ``ended`` and ``reason`` are null while it lasts."""

COUNTS = counted("counts", "node")
"""Events of each node by type, by the width of the bucket in seconds."""

TOTALS = counted("totals", since=3)
"""Events of all nodes together by type, by the width of the bucket in seconds."""

COUNTED = (COUNTS, TOTALS)
"""All that events are counted by."""

LATEST = Table(
    "latest",
    {"node": INTEGER, "type": INTEGER, "at": INTEGER, "fields": TEXT},
    ("node", "type"),
)
"""The newest status, best block, finalized block and sync state of each node, as JSON."""

STATES = Table(
    "states",
    {
        "bucket": INTEGER,
        "node": INTEGER,
        "run": INTEGER,
        "best": INTEGER,
        "finalized": INTEGER,
        "synced": INTEGER,
        "num_peers": INTEGER,
        "num_val_peers": INTEGER,
        "num_sync_peers": INTEGER,
        "num_guarantees": INTEGER,
        "num_shards": INTEGER,
        "shards_size": INTEGER,
        "num_preimages": INTEGER,
        "preimages_size": INTEGER,
    },
    ("bucket", "node", "run"),
)
"""What a node's state was at the end of each 10 s in which it said something of it."""

STATE_COLUMNS = tuple(STATES.columns)[3:]
"""What is known of a node's state, beside the bucket, the node and the run."""

SLOTS = Table(
    "slots",
    {
        "type": INTEGER,
        "slot": INTEGER,
        "run": INTEGER,
        "nodes": INTEGER,
        "first": INTEGER,
        "p50": INTEGER,
        "p95": INTEGER,
        "p99": INTEGER,
        "last": INTEGER,
        "off_clock": INTEGER,
        "blocks": TEXT,
        "histogram": BLOB,
        "reports": BLOB,
    },
    ("type", "slot", "run"),
    unless="excluded.nodes < slots.nodes",
    later={"reports": 2},
    indexes={("first",): 1},
)
"""How BestBlockChanged or FinalizedBlockChanged (``type``) of a slot spread over the nodes.

``first`` is in microseconds of Unix time, ``p50`` to ``last`` in microseconds after it, null where
every clock was too wrong to be used, which ``off_clock`` counts; ``blocks`` is JSON
``[[hash, nodes], …]``. ``reports`` is what each node reported, packed (:mod:`..reports`), by which
the next run of the same server goes on with the slot, whose row is its own then; null once it is
old. By it the rows of several servers are merged; without it, the one with the most nodes counts.
"""

SPREADS = Table(
    "spreads",
    {
        "width": INTEGER,
        "type": INTEGER,
        "bucket": INTEGER,
        "slots": INTEGER,
        "nodes": INTEGER,
        "histogram": BLOB,
    },
    ("width", "type", "bucket"),
    unless="excluded.slots < spreads.slots",
)
"""The slots of a window of ``width`` seconds merged; recomputed while they may change."""

FAILURES = {60: _failures("1m"), 3600: _failures("1h"), 86400: _failures("1d")}
"""Events with a reason, by the width of the bucket in seconds."""

FAULTS = {3600: _faults("1h"), 86400: _faults("1d")}
"""Decode errors and violations; ``discriminator`` is -1 where there was none."""

GAPS = Table(
    "gaps",
    {
        "began": INTEGER,
        "server": TEXT,
        "ended": INTEGER,
        "records": INTEGER,
        "events": INTEGER,
        "facts": INTEGER,
        "faults": INTEGER,
        "connections": INTEGER,
        "chains": INTEGER,
    },
    ("began", "server"),
    since=2,
    later={"chains": 3},
)
"""When records of a server's history were given up, and what was in them."""

LOST_COLUMNS = tuple(GAPS.columns)[3:]
"""What is counted of a gap, beside when and whose it was: records, and what was in them."""

LOSSES = {3600: _losses("1h"), 86400: _losses("1d")}
"""Events that a node said it dropped, in how many spans, from ``first`` to ``last`` (microseconds
of Unix time, null where it dropped none), and how many the server did not take for it sent too
many; by the width of the bucket in seconds."""

RAW_SHARE = Table(
    "raw_share",
    {"bucket": INTEGER, "run": INTEGER, "seen": INTEGER, "offered": INTEGER, "dropped": INTEGER},
    ("bucket", "run"),
)
"""By 10 s: events the hub saw, those offered to the store, and those of them that are not kept,
be it that there was no room or that a store process took them along."""

TABLES = (
    RUNS,
    NODES,
    CONNECTIONS,
    *(table for tables in COUNTED for table in tables.values()),
    LATEST,
    STATES,
    SLOTS,
    SPREADS,
    *FAILURES.values(),
    *FAULTS.values(),
    GAPS,
    *LOSSES.values(),
    *THINGS,
    RAW_SHARE,
    *SUM_TABLES,
    RAW_BATCHES,
    RAW_CHUNKS,
    RAW_POSTINGS,
)
