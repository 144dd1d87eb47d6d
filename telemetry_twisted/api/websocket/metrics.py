"""Metrics for those who asked for them: each at an interval of its own, by one timer for all."""

from __future__ import annotations

from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.rounds import Rounds

from .context import Gauges
from .frames import encode

ROUND_SECONDS = 0.1
"""How often it is looked who is due, which is how late metrics may be."""


class Asker(Protocol):
    """Who is told metrics."""

    def send_metrics(self, metrics: bytes) -> None:
        """Tell ``metrics``, a JSON object made for all."""


@define
class _Interval:
    seconds: float
    due: float


class Metrics:
    """Tells metrics, which are made once in a round for all who are due."""

    def __init__(self, gauges: Gauges, clock: IReactorTime, errors: InternalErrors) -> None:
        self._gauges = gauges
        self._clock = clock
        self._askers: dict[Asker, _Interval] = {}
        self._rounds = Rounds(self._tell, "metrics", clock, errors)

    def begin(self, asker: Asker, seconds: float) -> None:
        """Tell ``asker`` now, and every ``seconds`` from now on."""
        metrics = encode(self._gauges.metrics())
        self._askers[asker] = _Interval(seconds, self._clock.seconds() + seconds)
        self._rounds.start(ROUND_SECONDS)
        asker.send_metrics(metrics)

    def end(self, asker: Asker) -> None:
        """Tell ``asker`` no more, if it was told."""
        if self._askers.pop(asker, None) is not None and not self._askers:
            self._rounds.stop()

    def _tell(self) -> None:
        now = self._clock.seconds()
        due = [(asker, each) for asker, each in self._askers.items() if each.due <= now]
        if not due:
            return
        for _, each in due:
            each.due += each.seconds
            if each.due <= now:  # all else had to wait as well; it is not made up for
                each.due = now + each.seconds
        metrics = encode(self._gauges.metrics())
        for asker, _ in due:
            asker.send_metrics(metrics)
