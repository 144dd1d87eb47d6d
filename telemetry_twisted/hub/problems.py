"""What keeps history from being kept as it should, for people: what, since when, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.clock import Now
from telemetry_twisted.timestamps import rfc3339

TOLD_SECONDS = 3600.0
"""For how long it is told that history has lost something, after it has lost the last of it."""

CATCH_UP_SECONDS = 20.0
"""For how long a store may be behind before that is a problem: its process has a low priority, and
where others use all processors, what it writes is late and complete."""

_MAY_CATCH_UP = frozenset({"slow", "late"})

_STORE = {
    "starting": ("history is not written yet: the store is starting", "what counts waits for it"),
    "slow": (
        "history is written late: the database is slow",
        "see what else uses its disk and the processors; what counts waits in memory",
    ),
    "late": (
        "history is written late: the store is busy, and has said nothing for a while",
        "see what else uses the processors; what counts waits in memory",
    ),
    "unavailable": (
        "history waits: the database does not answer",
        "see that it runs and can be reached; what counts waits in memory",
    ),
    "full": (
        "history waits: there is no room for it",
        "make room on the disk of the database; what counts waits in memory",
    ),
    "failed": (
        "history waits: the database refuses it",
        "see the log for what it was asked; what counts waits in memory",
    ),
    "stopped": ("history is not written any more: the store has ended", "see the log for why"),
}
_ANY_STATE = ("history is not written as it should: the store is {}", "see the log for why")


def store_problem(status: Mapping[str, Any], trouble: float) -> str | None:
    """What a store that is in ``status`` (as it is told in health) wants to be done, if anything.

    It takes what is there of ``state``, ``since``, ``last_commit`` and ``last_error``.

    :param trouble: for how many seconds it has not been ok.
    """
    state = status["state"]
    if state == "ok" or (state in _MAY_CATCH_UP and trouble < CATCH_UP_SECONDS):
        return None
    what, advice = _STORE.get(state, _ANY_STATE)
    since = status.get("last_commit" if state in _MAY_CATCH_UP else "since")
    when = "" if since is None else f", since {since}"
    error = status.get("last_error")
    why = "" if error is None or state in _MAY_CATCH_UP else f" ({error})"
    return f"{what.format(state)}{when}{why}; {advice}"


class RecentLosses:
    """Tells of what history has lost lately, for :data:`TOLD_SECONDS`.

    :param clock: measures how long ago that is.
    :param now: tells Unix time, which is what is shown.
    """

    def __init__(self, clock: IReactorTime, now: Now) -> None:
        self._clock = clock
        self._now = now
        self._counted: Mapping[str, int] = {}
        self._before: Mapping[str, int] = {}
        self._began = self._last = ""
        self._seen_at: float | None = None

    def look(self, lost: Mapping[str, int]) -> None:
        """See what was lost by now, by kind and since the server has started."""
        if any(count > self._counted.get(kind, 0) for kind, count in lost.items()):
            now = rfc3339(self._now())
            if self._over():
                self._began, self._before = now, self._counted
            self._last, self._seen_at = now, self._clock.seconds()
        self._counted = dict(lost)

    def _over(self) -> bool:
        return self._seen_at is None or self._clock.seconds() - self._seen_at > TOLD_SECONDS

    @property
    def problem(self) -> str | None:
        """What was lost, and from when to when, if anything was lately."""
        if self._over():
            return None
        more = {kind: count - self._before.get(kind, 0) for kind, count in self._counted.items()}
        what = ", ".join(
            f"{count:,} {kind.replace('_', ' ')}" for kind, count in more.items() if count
        )
        return (
            f"history lacks {what}, lost from {self._began} to {self._last}; see the log for why, "
            "and what the database needs to keep up"
        )
