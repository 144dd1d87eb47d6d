"""The tables of what is understood of networks: slots, work packages, guarantees, assurances.

A row is what one run knows of a thing; it is written again whenever more is known, until it is
``closed`` (microseconds of Unix time), and final then. ``first`` and ``last`` are when something
was first and last heard of the thing, by the server's clock. ``network`` is the number that
``networks`` gives to a genesis hash: nothing is ever of two networks. Where several servers have
seen a thing, it has a row of each.

``detail`` is all that there is to go on with a thing after a new start, and for who looks at it
closely (:mod:`telemetry_twisted.store.detail`); of some it is let go of once they are closed.
"""

from __future__ import annotations

from collections.abc import Mapping

from .table import BLOB, INTEGER, TEXT, Table


def _things(
    name: str, key: str, kind: str, columns: Mapping[str, str], counted: tuple[str, ...] = ()
) -> Table:
    """The table of a kind of things, by their ``key``.

    :param counted: the columns by which some of very many are counted, or found, in the index.
    """
    return Table(
        name,
        {
            "network": INTEGER,
            key: kind,
            "run": INTEGER,
            "first": INTEGER,
            "last": INTEGER,
            "closed": INTEGER,
            **columns,
            "detail": BLOB,
        },
        ("network", key, "run"),
        unless=f"{name}.closed IS NOT NULL",
        indexes={("first", *counted): 3, ("closed",): 3},
        since=3,
        large=True,
    )


NETWORK_SLOTS = _things(
    "network_slots",
    "slot",
    INTEGER,
    {"tried": INTEGER, "blocks": TEXT, "stages": TEXT, "failures": TEXT},
)
"""Slots: how many nodes ``tried`` to author a block; ``blocks`` as JSON ``[[hash, author, authored,
offset, parent, outline, nodes], …]``, of which ``nodes`` by stage are those whose first report was
of that block; ``stages`` as JSON, by stage, ``[nodes, off_clock, reported, corrected]``, the last
two ``[first, p50, p95, p99, last]`` or null; ``failures`` as JSON by kind."""

JOURNEYS = _things(
    "journeys",
    "hash",
    BLOB,
    {
        "core": INTEGER,
        "stages": INTEGER,
        "outcome": TEXT,
        "reason": TEXT,
        "parts": INTEGER,
        "report": BLOB,
        "erasure_root": BLOB,
        "slot": INTEGER,
        "builder": BLOB,
        "services": TEXT,
        "events": INTEGER,
        "left_out": INTEGER,
    },
    ("network", "core", "outcome", "closed", "stages", "parts", "services"),
)
"""Work packages, by hash; one of which that is not known yet has a longer key, and a row with the
outcome ``named`` once it has become part of another. ``stages`` has a bit for each stage that it
has reached, ``outcome`` is null while it goes on, ``parts`` are its submissions and shares,
``events`` how many are in ``detail``, which lacks those that were ``left_out``."""

GUARANTEES = _things(
    "guarantees",
    "report",
    BLOB,
    {
        "slot": INTEGER,
        "validators": TEXT,
        "built": TEXT,
        "receptions": INTEGER,
        "spread": TEXT,
        "discards": TEXT,
    },
    ("network", "slot"),
)
"""Guarantees by work report: the ``validators`` that signed (JSON, indexes), who ``built`` one
(JSON, ``{node_id: [time, offset]}``), all ``receptions``, and how they ``spread`` over nodes (JSON,
as the stages of a slot). No ``detail`` once it is closed."""

ANCHORS = _things(
    "anchors",
    "anchor",
    BLOB,
    {"slot": INTEGER, "senders": INTEGER, "began": INTEGER, "receptions": INTEGER, "spread": TEXT},
)
"""Assurances by anchor, of ``slot`` if that is known: ``senders`` of whom anything was heard, of
which so many told that they ``began``; ``spread`` is JSON ``[off_clock, reported, corrected]``, the
last two ``[p50, p95, p99, greatest]`` of the delays of all receptions, or null."""

FETCHES = _things("fetches", "erasure_root", BLOB, {"kinds": TEXT})
"""Shards and bundles as they are fetched, by erasure root: JSON by the type of the chain's root,
``[succeeded, failed, first, last, sum, greatest]``."""

THINGS = (NETWORK_SLOTS, JOURNEYS, GUARANTEES, ANCHORS, FETCHES)
"""All of them."""
