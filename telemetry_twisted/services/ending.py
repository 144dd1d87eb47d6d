"""The end of the server, which takes no longer than it may, whatever hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.standstill import Standstill

LAST_SECONDS = 0.5
"""How long something may take to end after it was made to."""


@frozen
class Work:
    """What is still done by something that ends: it is waited for as long as that goes on, until so
    many ``seconds`` after the start.

    ``progress`` tells how far it is, as anything that is another when it has gone on.
    """

    progress: Callable[[], object]
    seconds: float


@define
class _Step:
    """The end of ``what``: it fires ``over`` in any case."""

    _clock: IReactorTime
    _start: float
    _what: str
    _force: Callable[[], object]
    over: Deferred[None] = field(factory=Deferred)
    _timers: list[IDelayedCall | Standstill] = field(factory=list)

    _log = Logger()

    def await_until(self, seconds: float) -> None:
        """Have it end by force so many ``seconds`` after the start."""
        self._after(seconds, self._force_it)

    def await_while_it_works(self, work: Work, seconds: float) -> None:
        """Have it end by force once it stood still for so many ``seconds``, of which those that
        have passed since the start count."""
        passed = self._clock.seconds() - self._start
        still = Standstill(self._clock, work.progress, seconds, self._force_it, waited=passed)
        self._timers.append(still)
        self._after(seconds + LAST_SECONDS, self._tell, work.seconds)
        self.await_until(work.seconds)

    def _after(self, seconds: float, act: Callable[..., None], *arguments: object) -> None:
        left = max(0.0, self._start + seconds - self._clock.seconds())
        self._timers.append(self._clock.callLater(left, act, *arguments))

    def settle(self, result: object) -> None:
        """It has ended."""
        self._cancel()
        if isinstance(result, Failure):
            self._log.failure("{what} ended badly", result, what=self._what)
        if not self.over.called:
            self.over.callback(None)

    def _cancel(self) -> None:
        for timer in self._timers:
            if isinstance(timer, Standstill) or timer.active():
                timer.cancel()
        self._timers.clear()

    def _tell(self, seconds: float) -> None:
        self._log.info(
            "{what} has much left to do; it is waited for while that goes on, for {seconds:g} s",
            what=self._what,
            seconds=seconds,
        )

    def _force_it(self) -> None:
        self._cancel()
        self._log.warn(
            "{what} did not end in time, within {seconds:.1f} s: now by force",
            what=self._what,
            seconds=self._clock.seconds() - self._start,
        )
        self._timers.append(self._clock.callLater(LAST_SECONDS, self._leave_it))
        try:
            self._force()
        except Exception:
            self._log.failure("{what} could not be ended by force", what=self._what)

    def _leave_it(self) -> None:
        self._log.error("{what}: left behind", what=self._what)
        self.over.callback(None)


class Ending:
    """Steps of an end that have deadlines, all in seconds from when this was made."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._start = clock.seconds()

    def step(
        self,
        event: Deferred[Any],
        seconds: float,
        what: str,
        force: Callable[[], object],
        work: Work | None = None,
    ) -> Deferred[None]:
        """Await ``event``, and do not let it wait for ever.

        If it has not fired ``seconds`` after the start, ``force`` is to make it happen, and
        :data:`LAST_SECONDS` later it is not waited for any more. The Deferred always fires.

        :param what: what it is that ends, for the log.
        :param work: what it still has to do: ``seconds`` count from when that went on last.
        """
        step = _Step(self._clock, self._start, what, force)
        if work is None:
            step.await_until(seconds)
        else:
            step.await_while_it_works(work, seconds)
        event.addBoth(step.settle)
        return step.over
