"""Attempts to tell a receiver something, again and again until it takes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.quiet import QuietLog
from telemetry_twisted.timestamps import rfc3339

from .posting import NotTaken, Refused

FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0
"""Seconds between an attempt that failed and the next: they double, with a little chance in it."""

PLACE = "alert delivery"
"""The place of mistakes in it (:class:`.InternalErrors`)."""


class Attempts:
    """Makes one attempt after another while there is something to tell, and waits after failures.

    :param receiver: what it is called in the log and in figures.
    :param waiting: says whether there is something to tell.
    :param attempt: tells it, as far as one message goes. If it raises :class:`.NotTaken`, another
        attempt follows later.
    """

    _log = Logger()

    def __init__(
        self,
        receiver: str,
        waiting: Callable[[], bool],
        attempt: Callable[[], Awaitable[None]],
        clock: IReactorTime,
        now: Now,
        errors: InternalErrors,
    ) -> None:
        self.delivered = self.failed = self.refused = 0
        self._receiver = receiver
        self._waiting = waiting
        self._attempt = attempt
        self._clock = clock
        self._now = now
        self._errors = errors
        self._quiet = QuietLog(self._log, clock)
        self._delay = backoffPolicy(FIRST_DELAY, LONGEST_DELAY, 2.0)
        self._error: str | None = None
        self._failing_since: str | None = None
        self._failures = 0
        self._running = False
        self._round: Deferred[None] | None = None

    def start(self) -> None:
        """Make attempts from now on."""
        self._running = True
        self.wake()

    def stop(self) -> None:
        """Make no more, and break off one that is under way."""
        self._running = False
        if self._round is not None:
            self._round.cancel()

    def wake(self) -> None:
        """There may be something to tell."""
        if self._running and self._round is None:
            self._round = Deferred.fromCoroutine(self._go_on())
            self._round.addErrback(self._broke).addBoth(self._over)

    def _over(self, _: object) -> None:
        self._round = None

    def _broke(self, failure: Failure) -> None:
        if self._running or not failure.check(CancelledError):
            self._errors.note(PLACE, failure)

    async def _go_on(self) -> None:
        while self._running and self._waiting():
            await self._try()

    async def _try(self) -> None:
        try:
            await self._attempt()
        except NotTaken as error:
            await self._wait(error)
        except Refused as error:
            self._refuse(error)
        else:
            self._taken()

    def _refuse(self, error: Refused) -> None:
        self.refused += 1
        self._failed(error)
        self._quiet.warn(
            "{receiver} refused an alert, which is not sent again: {error}",
            receiver=self._receiver,
            error=error,
        )

    async def _wait(self, error: NotTaken) -> None:
        self.failed += 1
        self._failed(error)
        if self._failures == 1:
            self._quiet.warn(
                "{receiver} does not take alerts, and is tried again: {error}",
                receiver=self._receiver,
                error=error,
            )
        delay = min(self._delay(self._failures), LONGEST_DELAY)
        await deferLater(self._clock, delay, lambda: None)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._error = str(error)
        self._failing_since = self._failing_since or rfc3339(self._now())

    def _taken(self) -> None:
        self.delivered += 1
        if self._failures:
            self._log.info("{receiver} takes alerts again", receiver=self._receiver)
        self._failures = 0
        self._error = self._failing_since = None

    def as_json(self) -> dict[str, Any]:
        """The part of it in what a :class:`.Receiver` tells."""
        return {
            "receiver": self._receiver,
            "delivered": self.delivered,
            "failed": self.failed,
            "refused": self.refused,
            "error": self._error,
            "failing_since": self._failing_since,
        }
