"""Looks after the listening socket that the ingestion processes share."""

from __future__ import annotations

import select
import socket

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

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

    :param listening: the listening socket; it stays the caller's.
    """

    _log = Logger()

    def __init__(self, listening: socket.socket, permits: Permits, clock: IReactorTime) -> None:
        self._permits = permits
        self._poll = select.poll()
        self._poll.register(listening, select.POLLIN)
        self._spent = 0
        self._looks = 0
        self._look_call = LoopingCall(self._look)
        self._look_call.clock = clock

    def start(self) -> None:
        """Look from now on."""
        self._look_call.start(LOOK_SECONDS, now=False).addErrback(
            lambda failure: self._log.failure("nothing looks after the backlog any more", failure)
        )

    def stop(self) -> None:
        """Look no more."""
        if self._look_call.running:
            self._look_call.stop()

    def _look(self) -> None:
        waits = bool(self._poll.poll(0)) and self._spent == self._permits.spent
        self._spent = self._permits.spent
        self._looks = self._looks + 1 if waits else 0
        if self._looks >= PATIENCE_LOOKS:
            self._permits.pass_over(starting=self._looks >= START_LOOKS)
        # Processes may have become ready to accept since.
        self._permits.give()
