"""Which buckets answer a question."""

from __future__ import annotations

import pytest

from telemetry_twisted.store.read.ranges import MOST_POINTS, span_of
from telemetry_twisted.store.schema.policy import DAY, HOUR, Policy
from tests.store.conftest import NOW

KEPT = Policy().counts


@pytest.mark.parametrize(
    ("back", "length", "step", "width"),
    [
        (900, 900, 10, 10),
        (HOUR, HOUR, 10, 10),
        (6 * HOUR, 6 * HOUR, 60, 60),
        (DAY, DAY, 300, 60),
        (2 * DAY + HOUR, HOUR, 60, 60),
        (7 * DAY, 7 * DAY, 3600, 3600),
        (30 * DAY, 30 * DAY, 7200, 3600),
        (60 * DAY, HOUR, 3600, 3600),
        (400 * DAY, HOUR, 3600, 3600),
        (365 * DAY, 365 * DAY, 604800, 3600),
    ],
)
def test_resolution_follows_the_range(back: int, length: int, step: int, width: int) -> None:
    now = NOW - NOW % 604800
    span = span_of(now - back, now - back + length, now, KEPT, 1500)
    assert (span.step, span.width) == (step, width)
    assert len(span.times) <= MOST_POINTS + 1
    assert span.begin <= now - back
    assert span.end >= now - back + length


def test_span_is_whole_steps() -> None:
    span = span_of(NOW + 1, NOW + 2, NOW, KEPT, 1500)
    assert (span.begin, span.end) == (NOW, NOW + 10)
    assert [span.index(bucket) for bucket in span.buckets] == [0]
