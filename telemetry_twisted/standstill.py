"""Whether something that may take long still goes on."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

LOOK_SECONDS = 0.25
"""How often it is looked at."""


class Standstill:
    """Calls ``act`` once ``progress`` has told the same for ``seconds``, unless it is cancelled.

    As in :class:`~.hub.silence.Silence`, each look counts for :data:`LOOK_SECONDS` at most, however
    late it comes: who is given no processor does not see what goes on.

    :param progress: tells how far it is, as anything that is another when it has gone on.
    :param waited: for how many seconds it is known to have stood still.
    """

    def __init__(
        self,
        clock: IReactorTime,
        progress: Callable[[], object],
        seconds: float,
        act: Callable[[], object],
        waited: float = 0.0,
    ) -> None:
        self._clock = clock
        self._progress = progress
        self._seconds = seconds
        self._act = act
        self._waited = waited
        self._seen = progress()
        self._look_again()

    def _look_again(self) -> None:
        self._looked = self._clock.seconds()
        left = min(max(self._seconds - self._waited, 0.0), LOOK_SECONDS)
        self._next = self._clock.callLater(left, self._look)

    def _look(self) -> None:
        seen = self._progress()
        if seen == self._seen:
            self._waited += min(self._clock.seconds() - self._looked, LOOK_SECONDS)
        else:
            self._seen, self._waited = seen, 0.0
        if self._waited >= self._seconds:
            self._act()
        else:
            self._look_again()

    def cancel(self) -> None:
        """It has ended, or does not matter any more."""
        if self._next.active():
            self._next.cancel()
