"""The moments at which turns begin: the same as if each were made from nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from telemetry_twisted.ingestion.moments import Moments
from telemetry_twisted.jip3.moment import Moment, newest_slot
from telemetry_twisted.timestamps import rfc3339

NOON = 1_800_000_000.0

steps = st.floats(0, 2, allow_nan=False)
settings_of_the_clock = st.sampled_from([0.0, 0.0, 0.0, -3_600.0, 90_000.5, -0.4])


@given(st.lists(st.tuples(steps, settings_of_the_clock), min_size=1, max_size=20))
def test_a_moment_is_what_both_clocks_say(passed: list[tuple[float, float]]) -> None:
    clock = Clock()
    shift = NOON
    moments = Moments(lambda: clock.seconds() + shift, clock)
    for seconds, set_by in passed:
        clock.advance(seconds)
        shift += set_by
        now = clock.seconds() + shift
        moment, received, read = moments.now()
        assert moment.received == rfc3339(now).encode()
        assert received == int(now * 1_000_000)
        assert read == int(clock.seconds() * 1_000_000)
        whole = Moment.at(now, b"")
        assert moment.minute == whole.minute
        assert moment.second == int(clock.seconds())
        assert abs(moment.earliest - whole.earliest) < 1_000_000
        assert abs(moment.latest - whole.latest) < 1_000_000


def test_a_slot_is_as_new_as_nodes_may_be_where_the_clock_was_set_back() -> None:
    clock = Clock()
    now = [NOON]
    moments = Moments(lambda: now[0], clock)
    now[0] -= 3_600
    moment, _, _ = moments.now()
    assert moment.newest_slot == newest_slot(NOON)
