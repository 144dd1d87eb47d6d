"""Problems of history: what, since when, and what to do."""

from __future__ import annotations

from collections import Counter

import pytest
from twisted.internet.task import Clock

from telemetry_twisted.hub.problems import (
    CATCH_UP_SECONDS,
    TOLD_SECONDS,
    RecentLosses,
    store_problem,
)

SINCE = "2026-11-25T21:00:00.000000Z"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("starting", f"is starting, since {SINCE} (no route to host); what counts"),
        ("unavailable", f"does not answer, since {SINCE} (no route to host); see that it runs"),
        ("full", f"no room for it, since {SINCE} (no route to host); make room"),
        ("failed", f"refuses it, since {SINCE} (no route to host); see the log"),
        ("stopped", "has ended, since"),
        ("of a kind yet to come", f"is of a kind yet to come, since {SINCE}"),
    ],
)
def test_a_store_that_is_not_ok_is_a_problem(state: str, words: str) -> None:
    problem = store_problem({"state": state, "since": SINCE, "last_error": "no route to host"}, 0)
    assert words in str(problem)


@pytest.mark.parametrize(
    ("state", "words"), [("slow", "is slow, since"), ("late", "said nothing for a while, since")]
)
def test_a_store_that_may_catch_up_is_given_time_for_it(state: str, words: str) -> None:
    status = {"state": state, "since": "then", "last_commit": SINCE, "last_error": "of long ago"}
    assert store_problem(status, CATCH_UP_SECONDS - 1) is None
    assert f"{words} {SINCE}; " in str(store_problem(status, CATCH_UP_SECONDS))
    assert store_problem({**status, "state": "ok"}, 99) is None


def test_what_is_not_known_of_a_store_is_left_out() -> None:
    assert str(store_problem({"state": "starting"}, 0)).startswith("history is not written yet: ")


def test_losses_are_told_for_an_hour_after_the_last() -> None:
    clock, lost = Clock(), Counter[str]()
    losses = RecentLosses(clock, clock.seconds)

    def problem_after(seconds: float, **more: int) -> str | None:
        clock.advance(seconds)
        lost.update(more)
        losses.look(lost)
        return losses.problem

    assert problem_after(0) is None
    lacks = "history lacks 1,234 events, lost from 1970-01-01T00:00:01.000000Z to 1970-01-01T"
    assert f"{lacks}00:00:01.000000Z" in str(problem_after(1, events=1234, facts=0))
    assert f"{lacks}00:00:01.000000Z" in str(problem_after(600))
    both = f"{lacks}00:20:01.000000Z".replace("events", "events, 5 facts")
    assert both in str(problem_after(600, facts=5))
    assert both in str(problem_after(TOLD_SECONDS))
    assert problem_after(1) is None
    problem = str(problem_after(1, facts=2))
    assert "history lacks 2 facts, lost from 1970-01-01T01:20:03.000000Z" in problem
