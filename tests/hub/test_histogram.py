"""Histograms, as Prometheus wants them."""

from __future__ import annotations

from telemetry_twisted.hub.histogram import Histogram


def test_buckets_are_cumulative_and_bounds_belong_to_them() -> None:
    histogram = Histogram("Anything.", (1, 2.5))
    for value in (0, 1, 1.5, 2.5, 3, 100):
        histogram.observe(value)
    assert histogram.as_json() == {
        "help": "Anything.",
        "buckets": [("1", 2), ("2.5", 4), ("+Inf", 6)],
        "sum": 108,
    }
