"""Looks after the listening socket that the ingestion processes share."""

from __future__ import annotations

import select
import socket

from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.rounds import Rounds

from .permits import Permits

LOOK_SECONDS = 0.1
"""How often it is looked whether connections wait."""

PATIENCE_LOOKS = 2
"""In how many looks a connection may wait for a process that has permits, and uses none."""

START_LOOKS = 30
"""The same for a process that has just been started, and will have its share in a moment."""


class Backlog:
    """Sees to it that no connection waits for a process that does not accept.

    The hub never accepts, but it can see whether anything waits in the backlog. When something
    does, and goes on to, those who hold permits are passed over
    (:meth:`~.permits.Permits.pass_over`).
    """

    def __init__(self, permits: Permits, clock: IReactorTime, errors: InternalErrors) -> None:
        self._permits = permits
        self._poll = select.poll()
        self._spent = 0
        self._looks = 0
        self._rounds = Rounds(self._look, "backlog", clock, errors)

    def start(self, listening: socket.socket) -> None:
        """Look after ``listening``, a listening socket that stays the caller's."""
        self._poll.register(listening, select.POLLIN)
        self._rounds.start(LOOK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        self._rounds.stop()

    def _look(self) -> None:
        waits = bool(self._poll.poll(0)) and self._spent == self._permits.spent
        self._spent = self._permits.spent
        self._looks = self._looks + 1 if waits else 0
        if self._looks >= PATIENCE_LOOKS:
            self._permits.pass_over(starting=self._looks >= START_LOOKS)
        # Processes may have become ready to accept since.
        self._permits.give()
