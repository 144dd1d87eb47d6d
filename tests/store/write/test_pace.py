"""How often history is written, by what that takes."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from telemetry_twisted.hub.store.pending import DETAILS_PART, PENDING_BYTES
from telemetry_twisted.store.write.pace import (
    COMMIT_SECONDS,
    LONGEST_SECONDS,
    MOST_BYTES,
    REST,
    Pace,
)

NEWS, QUIET = False, True


def commit(pace: Pace, clock: Clock, seconds: float) -> None:
    """A commit that takes so many seconds."""
    assert pace.is_due(NEWS)
    with pace.commit():
        clock.advance(seconds)


@pytest.mark.parametrize(
    ("takes", "rest"),
    [
        (0.0, COMMIT_SECONDS),
        (0.1, COMMIT_SECONDS),
        (0.5, 0.5 * REST),
        (5.0, LONGEST_SECONDS),
        (60.0, LONGEST_SECONDS),
    ],
)
def test_the_longer_a_commit_takes_the_longer_none_is_due(takes: float, rest: float) -> None:
    clock = Clock()
    pace = Pace(clock)
    commit(pace, clock, takes)
    clock.advance(rest - 0.01)
    assert not pace.is_due(NEWS)
    clock.advance(0.02)
    assert pace.is_due(NEWS)
    assert pace.is_due(QUIET) == (rest == LONGEST_SECONDS)
    clock.advance(LONGEST_SECONDS)
    assert pace.is_due(QUIET)


def test_much_is_written_sooner_but_not_all_the_time() -> None:
    clock = Clock()
    pace = Pace(clock)
    commit(pace, clock, 5)
    clock.advance(COMMIT_SECONDS - 0.01)
    assert not pace.is_due(NEWS, MOST_BYTES)
    clock.advance(0.02)
    assert pace.is_due(NEWS, MOST_BYTES)
    assert not pace.is_due(NEWS, MOST_BYTES - 1)


def test_who_is_in_a_hurry_has_one_more_commit() -> None:
    clock = Clock()
    pace = Pace(clock)
    commit(pace, clock, 5)
    pace.hurry()
    assert pace.is_due(QUIET)
    commit(pace, clock, 5)
    assert not pace.is_due(NEWS)


def test_a_hurry_while_one_is_under_way_is_for_the_next() -> None:
    clock = Clock()
    pace = Pace(clock)
    with pace.commit():
        pace.hurry()
    assert pace.is_due(QUIET)


@pytest.mark.parametrize("hurries", [False, True])
def test_a_commit_that_failed_is_still_due(hurries: bool) -> None:
    clock = Clock()
    pace = Pace(clock)
    if hurries:
        commit(pace, clock, 0)
        pace.hurry()
    with pytest.raises(OSError, match="no room"), pace.commit():
        raise OSError("no room")
    assert pace.is_due(NEWS)
    commit(pace, clock, 0)
    assert not pace.is_due(NEWS)


def test_a_commit_comes_before_the_hub_has_no_more_room() -> None:
    assert MOST_BYTES < PENDING_BYTES // DETAILS_PART
