"""One run of a child process, from its start to its end."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import Protocol, cast

from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.transport.link import Link

from .child import Child, Condition
from .silence import Silence, processor_seconds

SUPERVISION = "supervision"
"""The place of mistakes in what is told to the hub's side of a child."""

LINE_BYTES = 1 << 16
"""The longest line of what a child says on standard error that is logged whole."""


class Overseer(Protocol):
    """Who has begun a run, and is told of it."""

    condition: Condition

    def process_started(self, pid: int) -> None:
        """The run has begun."""

    def heard(self) -> None:
        """Something has come from a child that was not known to run."""

    def run_ended(self, run: Run, reason: str) -> None:
        """The child is gone."""


class Run(ProcessProtocol):
    """One run of a child: its process and its link, which end in either order.

    ``verdict`` says why the supervisor had to kill it.
    """

    _log = Logger()

    def __init__(
        self, overseer: Overseer, child: Child, clock: IReactorTime, errors: InternalErrors
    ) -> None:
        self.started = clock.seconds()
        self.silence = Silence(clock, lambda: processor_seconds(self.pid))
        self.pid = 0
        self.verdict = ""
        self._child = child
        self._overseer = overseer
        self._errors = errors
        self._exit: str | None = None
        self._link_is_up = True
        self._words = b""
        self.record_received = child.record_received

    def connectionMade(self) -> None:
        self._process = cast(IProcessTransport, self.transport)
        self.pid = self._process.pid
        self._overseer.process_started(self.pid)

    def errReceived(self, data: bytes) -> None:
        *lines, self._words = (self._words + data).split(b"\n")
        if len(self._words) > LINE_BYTES:
            lines.append(self._words)
            self._words = b""
        for line in lines:
            self._say(line)

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._log.info("{title}: {text}", title=self._overseer.condition.title, text=text)

    def link_made(self, link: Link) -> None:
        with self._errors.kept_at(SUPERVISION):
            self._child.link_made(link)

    def records_done(self) -> None:
        self.silence.heard()
        if not self._overseer.condition.running:
            self._overseer.heard()
        self._child.records_done()

    def link_lost(self, reason: Failure) -> None:
        self._link_is_up = False
        with self._errors.kept_at(SUPERVISION):
            self._child.link_lost(reason)
        self._consider()

    def processEnded(self, reason: Failure) -> None:
        if self._words:
            self._say(self._words)
        self._exit = _exit_text(reason.value)
        self._consider()

    def _consider(self) -> None:
        if self._exit is not None and not self._link_is_up:
            self._overseer.run_ended(self, self._exit)

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")


def _exit_text(exit: BaseException | None) -> str:
    """How a process ended, in words."""
    if isinstance(exit, ProcessTerminated):
        if exit.signal is not None:
            return f"killed by {signal.Signals(exit.signal).name}"
        return f"exit code {exit.exitCode}"
    return "exit code 0"
