"""The tables of raw events, which are kept for browsing."""

from __future__ import annotations

from .table import BLOB, INTEGER, Table

RAW_BATCHES = Table(
    "raw_batches",
    {
        "batch": INTEGER,
        "run": INTEGER,
        "first": INTEGER,
        "last": INTEGER,
        "events": INTEGER,
        "bytes": INTEGER,
    },
    ("batch", "run"),
)
"""Raw events that were written together; ``batch`` is when, ``first`` and ``last`` bound theirs."""

RAW_CHUNKS = Table(
    "raw_chunks",
    {
        "batch": INTEGER,
        "run": INTEGER,
        "number": INTEGER,
        "received": INTEGER,
        "lengths": BLOB,
        "events": BLOB,
    },
    ("batch", "run", "number"),
    large=True,
)
"""The chunks of a batch as they came, their events compressed; see :mod:`.raw_layout`."""

RAW_POSTINGS = Table(
    "raw_postings",
    {"term": INTEGER, "batch": INTEGER, "run": INTEGER, "positions": BLOB},
    ("term", "batch", "run"),
    indexes={("batch", "run"): 1},
)
"""Where in a batch the events of a node or of a type are; see :mod:`.raw_layout`."""
