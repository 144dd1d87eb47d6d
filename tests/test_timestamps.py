"""Times that are written and read back."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.timestamps import microseconds, rfc3339


@given(st.integers(0, 4_000_000_000_000_000))
def test_microseconds_survive(micros: int) -> None:
    text = rfc3339(micros / 1_000_000)
    assert abs(microseconds(text) - micros) <= 1
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert moment.tzinfo == timezone.utc
    assert len(text) == len("2000-01-01T00:00:00.000000Z")


def test_a_time_that_rounds_up_to_the_next_second() -> None:
    assert rfc3339(0.9999999) == "1970-01-01T00:00:01.000000Z"
