"""How the store fares: what state it is in, since when, and why."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.store.database.interface import (
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
)
from telemetry_twisted.timestamps import rfc3339

from .lines import Lines

SLOW_SECONDS = 8.0
"""A commit that has been due for longer than this while the database answers shows that it is
slow."""


class Fares:
    """Keeps what happened to commits, and logs it: each failure with its cause, but not for ever.

    :param name: of the database.
    """

    _log = Logger()

    def __init__(self, name: str, clock: IReactorTime, now: Now, lines: Lines) -> None:
        self._name = name
        self._clock = clock
        self._now = now
        self._lines = lines
        self._state = "starting"
        self._since = now()
        self._last_error: str | None = None
        self._last_commit_time: float | None = None
        self._commits = 0
        self._rows_written = 0

    def committed(self, rows: int) -> None:
        """A commit of so many rows is in the database."""
        self._commits += 1
        self._rows_written += rows
        self._last_commit_time = self._now()
        if self._set("ok"):
            self._log.info("history is written to {name}", name=self._name)

    def failed(self, error: Exception) -> None:
        """Something was not written, for ``error``."""
        self._last_error = str(error)
        if isinstance(error, DatabaseFull):
            state = "full"
        elif isinstance(error, DatabaseUnavailable):
            state = "unavailable"
        else:
            state = "failed"
        changed = self._set(state)
        if not self._lines.new(f"{type(error).__name__}: {error}") and not changed:
            return
        if isinstance(error, DatabaseError):
            self._log.error(
                "history waits, {name} does not take it: {error}", name=self._name, error=error
            )
        else:
            self._log.failure("history waits, for a mistake of the server's own", Failure(error))

    def broken(self, failure: Failure) -> None:
        """Nothing is written any more."""
        self._log.failure("history is no longer written", failure)
        self._last_error = str(failure.value)
        self._set("failed")

    def stopped(self) -> None:
        """All is written, and nothing more will be."""
        self._set("stopped")

    def _set(self, state: str) -> bool:
        if state == self._state:
            return False
        self._state = state
        self._since = self._now()
        return True

    def status(self, due: float) -> dict[str, Any]:
        """For ``health/detailed``, where the next commit is, or was, ``due``.

        ``state`` is ``starting``, ``ok``, ``slow`` (the database answers, but not in time),
        ``unavailable``, ``full``, ``failed`` (it refuses what it is asked) or ``stopped``, since
        ``since``.
        """
        slow = self._state == "ok" and self._clock.seconds() - due > SLOW_SECONDS
        return {
            "state": "slow" if slow else self._state,
            "since": rfc3339(self._since),
            "database": self._name,
            "last_error": self._last_error,
            "last_commit": None
            if self._last_commit_time is None
            else rfc3339(self._last_commit_time),
            "commits": self._commits,
            "rows_written": self._rows_written,
        }
