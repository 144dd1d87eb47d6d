"""The end of the server, which takes no longer than it may, whatever hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

LAST_SECONDS = 0.5
"""How long something may take to end after it was made to."""


class Ending:
    """Steps of an end that have deadlines, all in seconds from when this was made."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._start = clock.seconds()

    def step(
        self, event: Deferred[Any], seconds: float, what: str, force: Callable[[], object]
    ) -> Deferred[None]:
        """Await ``event``, and do not let it wait for ever.

        If it has not fired ``seconds`` after the start, ``force`` is to make it happen, and
        :data:`LAST_SECONDS` later it is not waited for any more. The Deferred always fires.

        :param what: what it is that ends, for the log.
        """
        over: Deferred[None] = Deferred()
        left = max(0.0, self._start + seconds - self._clock.seconds())

        def settled(result: object) -> None:
            for call in (forcing, leaving):
                if call.active():
                    call.cancel()
            if isinstance(result, Failure):
                self._log.failure("{what} ended badly", result, what=what)
            if not over.called:
                over.callback(None)

        def force_it() -> None:
            self._log.warn(
                "{what} did not end in time, within {seconds:g} s: now by force",
                what=what,
                seconds=seconds,
            )
            try:
                force()
            except Exception:
                self._log.failure("{what} could not be ended by force", what=what)

        def leave_it() -> None:
            self._log.error("{what}: left behind", what=what)
            over.callback(None)

        forcing = self._clock.callLater(left, force_it)
        leaving = self._clock.callLater(left + LAST_SECONDS, leave_it)
        event.addBoth(settled)
        return over
