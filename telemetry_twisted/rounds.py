"""What is done again and again, and goes on being done after it has failed once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from .errors import InternalErrors


class Rounds:
    """Calls ``work`` every so many seconds; while a round that is a coroutine goes on, no other.

    A :class:`~twisted.internet.task.LoopingCall` ends for good at the first exception. Here one bad
    round is counted as a mistake at ``place``, and the next comes all the same.
    """

    def __init__(
        self, work: Callable[[], object], place: str, clock: IReactorTime, errors: InternalErrors
    ) -> None:
        self._round: Deferred[None] = succeed(None)

        def round() -> Deferred[None] | None:
            with errors.kept_at(place):
                begun = work()
                if isinstance(begun, Coroutine):
                    self._round = Deferred.fromCoroutine(begun)
                    return self._round.addErrback(failed)
            return None

        def failed(failure: Failure) -> None:
            if self.running or not failure.check(CancelledError):
                errors.note(place, failure)

        self._calls = LoopingCall(round)
        self._calls.clock = clock

    @property
    def running(self) -> bool:
        """Whether another round will come."""
        return self._calls.running

    def start(self, seconds: float, now: bool = False) -> None:
        """A round every ``seconds`` from now on, the first at once if ``now``."""
        if not self._calls.running:
            self._calls.start(seconds, now)

    def stop(self) -> None:
        """No more rounds, and an end to one that goes on; nothing happens if there are none."""
        if self._calls.running:
            self._calls.stop()
            self._round.cancel()
