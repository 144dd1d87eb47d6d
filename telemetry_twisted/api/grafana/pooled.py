"""Delays of many things told as those of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .routes import Row

_PARTS = (0.5, 0.45, 0.04, 0.01)
"""Which share of all lies between one of the told shares and the one before."""

Delays = tuple[float, float, float, float]
"""After how many milliseconds 50, 95, 99 and 100 % had it."""


def pooled(each: Sequence[tuple[int, Delays]]) -> Row:
    """The delays of all of some things, of each of which it is told how many nodes had it, and
    after how long which share.

    As in a histogram with few bins, all in a bin are told by its upper edge: what is told is never
    less than it was. Of one thing alone it is what is known of it.
    """
    points = sorted(
        (delay, nodes * part)
        for nodes, delays in each
        for delay, part in zip(delays, _PARTS, strict=True)
    )
    total = sum(weight for _, weight in points)
    if not total:
        return {"p50_ms": None, "p75_ms": None, "p95_ms": None, "p99_ms": None, "p100_ms": None}
    p50, p95, p99, last = (round(_at(points, share * total)) for share in (0.5, 0.95, 0.99, 1.0))
    return {"p50_ms": p50, "p75_ms": None, "p95_ms": p95, "p99_ms": p99, "p100_ms": last}


def _at(points: Iterable[tuple[float, float]], rank: float) -> float:
    upto = 0.0
    delay = 0.0
    for delay, weight in points:
        upto += weight
        if upto >= rank - 1e-6:
            return delay
    return delay
