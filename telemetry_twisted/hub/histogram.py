"""How values are spread, for people who look at many at once."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any


class Histogram:
    """Counts values by the smallest of ``bounds`` that they do not exceed."""

    def __init__(self, help: str, bounds: Sequence[float]) -> None:
        self._help = help
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum: float = 0

    def observe(self, value: float, times: int = 1) -> None:
        """Count ``value``, which was seen so many ``times``."""
        self._counts[bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def as_json(self) -> dict[str, Any]:
        """``help``, ``sum``, and ``buckets``: bounds, as text, and how many values are within."""
        bounds = [*map(str, self._bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        return {"help": self._help, "buckets": buckets, "sum": self.sum}
