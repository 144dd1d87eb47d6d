"""Starts a child process, watches over it, and starts it again when it dies or hangs."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from typing import cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.transport.child import LINK_FD
from telemetry_twisted.transport.link import LINK_BYTES, Link

from .child import Child, ChildState

FIRST_DELAY = 0.1
"""Seconds until a child that died is replaced; doubled each time it dies young."""

LONGEST_DELAY = 10.0
"""Seconds that the delay grows to, and the age at which a child that dies did not die young."""

SUPERVISION = "supervision"
"""The place of mistakes in what is told to the hub's side of a child."""


class Supervisor(Service):
    """Keeps one child process running.

    :param now: tells when its state changes.
    :param errors: where mistakes of the hub's side of the child stay.
    """

    _log = Logger()

    def __init__(
        self, reactor: IServerReactor, child: Child, now: Now, errors: InternalErrors
    ) -> None:
        self.condition = child.condition
        self._reactor = reactor
        self._child = child
        self._now = now
        self._errors = errors
        self._run: _Run | None = None
        self._delay = FIRST_DELAY
        self._restart: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None

    def startService(self) -> None:
        Service.startService(self)
        self._start()

    def _start(self) -> None:
        self._restart = None
        self._enter(ChildState.STARTING)
        try:
            self._launch()
        except Exception as error:
            if not isinstance(error, OSError):
                self._errors.note(SUPERVISION, Failure())
            self._over(f"it could not be started: {error}")

    def _launch(self) -> None:
        with ExitStack() as stack:
            launch = self._child.launch()
            for descriptor in launch.descriptors.values():
                stack.callback(os.close, descriptor)
            here, there = socket.socketpair()
            stack.callback(there.close)
            there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LINK_BYTES)
            run = _Run(self, self._child, self._reactor.seconds(), self._errors)
            try:
                self._reactor.spawnProcess(
                    run,
                    sys.executable,
                    [sys.executable, *launch.arguments],
                    env=os.environ,
                    childFDs={
                        0: 0,
                        1: 1,
                        2: "r",
                        LINK_FD: there.fileno(),
                        **launch.descriptors,
                    },
                )
            except BaseException:
                here.close()
                raise
        self._run = run
        Link(self._reactor, here, run, self._errors).start()

    def process_started(self, pid: int) -> None:
        """A run has begun."""
        self.condition.pid = pid
        with self._errors.kept_at(SUPERVISION):
            self._child.process_started()

    def heard(self) -> None:
        """Something has come from the child."""
        if not self.condition.running:
            self._enter(ChildState.RUNNING)

    def run_ended(self, run: _Run, reason: str) -> None:
        """The child is gone."""
        self._run = None
        if self._reactor.seconds() - run.started >= LONGEST_DELAY:
            self._delay = FIRST_DELAY
        self._over(reason)

    def _over(self, reason: str) -> None:
        """There is no child, or none any more; see to the next."""
        self.condition.pid = None
        self.condition.last_end = reason
        self._enter(ChildState.STOPPED)
        with self._errors.kept_at(SUPERVISION):
            self._child.process_ended(reason)
        if self._ended is not None:
            self._ended.callback(None)
        elif self.running:
            self._log.error(
                "{title} ended ({reason}); another is started in {delay:.1f} s",
                title=self.condition.title,
                reason=reason,
                delay=self._delay,
            )
            self.condition.restarts += 1
            self._restart = self._reactor.callLater(self._delay, self._start)
            self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _enter(self, state: ChildState) -> None:
        self.condition.state = state
        self.condition.since = self._now()
        with self._errors.kept_at(SUPERVISION):
            self._child.state_changed()

    def stopService(self) -> Deferred[None]:
        """Start no more; fires when the child, told to end by its handler, is gone."""
        Service.stopService(self)
        self._ended = Deferred()
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._run is None:
            self._ended.callback(None)
        return self._ended

    def kill(self) -> None:
        """End the child at once, if it runs."""
        if self._run is not None:
            self._run.kill()


class _Run(ProcessProtocol):
    """One run of a child: its process and its link, which end in either order."""

    _log = Logger()

    def __init__(
        self, supervisor: Supervisor, child: Child, started: float, errors: InternalErrors
    ) -> None:
        self.started = started
        self._child = child
        self._supervisor = supervisor
        self._errors = errors
        self._exit: str | None = None
        self._link_is_up = True
        self._words = b""
        self.record_received = child.record_received
        self.link_made = child.link_made

    def connectionMade(self) -> None:
        self._process = cast(IProcessTransport, self.transport)
        self._supervisor.process_started(self._process.pid)

    def errReceived(self, data: bytes) -> None:
        *lines, self._words = (self._words + data).split(b"\n")
        for line in lines:
            self._say(line)

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._log.info("{title}: {text}", title=self._supervisor.condition.title, text=text)

    def records_done(self) -> None:
        self._supervisor.heard()
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
            self._supervisor.run_ended(self, self._exit)

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
