"""What is done again and again, and goes on being done after it has failed once."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from .errors import InternalErrors


class Rounds:
    """Calls ``work`` every so many seconds.

    A :class:`~twisted.internet.task.LoopingCall` ends for good at the first exception. Here one bad
    round is counted as a mistake at ``place``, and the next comes all the same.
    """

    def __init__(
        self, work: Callable[[], object], place: str, clock: IReactorTime, errors: InternalErrors
    ) -> None:
        def round() -> None:
            with errors.kept_at(place):
                work()

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
        """No more rounds; nothing happens if there are none."""
        if self._calls.running:
            self._calls.stop()
