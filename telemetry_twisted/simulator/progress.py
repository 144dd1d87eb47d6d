"""The line that a run shows of itself while it goes on."""

from __future__ import annotations

from typing import TextIO

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from .fleet import Fleet

PERIOD = 1.0
"""Seconds between two updates."""


@define(eq=False)
class Progress:
    """One line about ``fleet`` on the terminal ``stream``, written anew every :data:`PERIOD`."""

    fleet: Fleet
    stream: TextIO
    clock: IReactorTime
    _events: int = field(default=0, init=False)
    _time: float = field(default=0.0, init=False)
    _loop: LoopingCall = field(init=False)

    @_loop.default
    def _make_loop(self) -> LoopingCall:
        loop = LoopingCall(self._show)
        loop.clock = self.clock
        return loop

    def start(self) -> None:
        """Begin to show the line."""
        self._loop.start(PERIOD, now=False)

    def stop(self) -> None:
        """Take the line away."""
        self._loop.stop()
        self._write("")

    def _show(self) -> None:
        summary = self.fleet.summary()
        events, time = summary.events, summary.seconds
        rate = (events - self._events) / (time - self._time)
        self._events, self._time = events, time
        held = self.fleet.held
        self._write(
            f"{time:6,.0f} s  {self.fleet.connected:,} of {summary.network.nodes:,} nodes"
            f"{f', {held:,} held back' if held else ''}  {rate:,.0f} events/s  {events:,} events"
        )

    def _write(self, line: str) -> None:
        self.stream.write(f"\r{line}\x1b[K")
        self.stream.flush()
