"""Times that are written and read back."""

from __future__ import annotations

from datetime import datetime, timezone

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.timestamps import Stamp, microseconds, rfc3339


@given(st.integers(0, 4_000_000_000_000_000))
def test_microseconds_survive(micros: int) -> None:
    text = rfc3339(micros / 1_000_000)
    assert abs(microseconds(text) - micros) <= 1
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert moment.tzinfo == timezone.utc
    assert len(text) == len("2000-01-01T00:00:00.000000Z")


def test_a_time_that_rounds_up_to_the_next_second() -> None:
    assert rfc3339(0.9999999) == "1970-01-01T00:00:01.000000Z"


def test_a_stamp_is_made_anew_after_a_millisecond_or_when_the_clock_is_set_back() -> None:
    now = [0.0]
    stamp = Stamp(lambda: now[0])
    assert stamp() == b"1970-01-01T00:00:00.000000Z"
    now[0] = 5.0
    assert stamp() == b"1970-01-01T00:00:05.000000Z"
    now[0] = 5.0009
    assert stamp() == b"1970-01-01T00:00:05.000000Z"
    now[0] = 5.001
    assert stamp() == b"1970-01-01T00:00:05.001000Z"
    now[0] = 1.0
    assert stamp() == b"1970-01-01T00:00:01.000000Z"
