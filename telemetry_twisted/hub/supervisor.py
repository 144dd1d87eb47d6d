"""Starts a child process, watches over it, and starts it again when it dies or hangs."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.rounds import Rounds
from telemetry_twisted.transport.child import LINK_FD
from telemetry_twisted.transport.link import LINK_BYTES, Link, Waiting
from telemetry_twisted.transport.reserve import DescriptorReserve

from .child import Child, ChildState
from .run import SUPERVISION, Run
from .silence import LOOK_SECONDS

FIRST_DELAY = 0.1
"""Seconds until a child that died is replaced; doubled each time it dies young."""

LONGEST_DELAY = 10.0
"""Seconds that the delay grows to, and the age at which a child that dies did not die young."""

LONGEST_FAILED_DELAY = 2.0
"""The same where the system had no room for it, so that it is back soon after there is some."""

RESERVE = 8
"""Descriptors held for the next start: as many as it takes, with a look at those that are open."""


class Supervisor(Service):
    """Keeps one child process running.

    ``condition``, the child's, is what it knows of it, and its alone to write.

    :param now: tells since when.
    :param errors: where mistakes of the hub's side of the child stay.
    :param links: where its link waits, beside others, if not with the reactor.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IServerReactor,
        child: Child,
        now: Now,
        errors: InternalErrors,
        links: Waiting | None = None,
    ) -> None:
        self.condition = child.condition
        self._reactor = reactor
        self._child = child
        self._now = now
        self._errors = errors
        self._links = links
        self._reserve = DescriptorReserve(RESERVE)
        self._looks = Rounds(self._look, SUPERVISION, reactor, errors)
        self._run: Run | None = None
        self._delay = FIRST_DELAY
        self._refusal = ""
        self._restart: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None

    def startService(self) -> None:
        Service.startService(self)
        self._reserve.fill()
        self._looks.start(LOOK_SECONDS)
        self._start()

    def stopService(self) -> Deferred[None]:
        """Start no more; fires when the child, told to end by its handler, is gone."""
        Service.stopService(self)
        self._looks.stop()
        self._reserve.close()
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        self._stopped = Deferred()
        if self._run is None:
            self._stopped.callback(None)
        return self._stopped

    def kill(self) -> None:
        """End the child at once, if it runs."""
        if self._run is not None:
            self._run.kill()

    # A run begins

    def _start(self) -> None:
        self._restart = None
        self._enter(ChildState.STARTING)
        try:
            with self._reserve.lent():
                self._launch()
            self._refusal = ""
        except OSError as error:
            self._refused(f"it could not be started: {error}")
        except Exception as error:
            self._errors.note(SUPERVISION, Failure())
            self._refused(f"it could not be started: {error!r}")

    def _launch(self) -> None:
        """Begin a run; if that fails, nothing of it is left."""
        with ExitStack() as passed_on, ExitStack() as kept:
            launch = self._child.launch()
            for descriptor in launch.descriptors.values():
                passed_on.callback(os.close, descriptor)
            here, there = socket.socketpair()
            passed_on.callback(there.close)
            kept.callback(here.close)
            there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LINK_BYTES)
            run = Run(self, self._child, self._reactor, self._errors)
            self._reactor.spawnProcess(
                run,
                sys.executable,
                [sys.executable, *launch.arguments],
                env=os.environ,
                childFDs={0: 0, 1: 1, 2: "r", LINK_FD: there.fileno(), **launch.descriptors},
            )
            self._run = run
            kept.pop_all()
        try:
            chunks = self._child.chunk_received
            Link(self._reactor, here, run, self._errors, self._links, chunks).start()
        except Exception:
            self._errors.note(SUPERVISION, Failure())
            here.close()
            run.kill()
            run.link_lost(Failure())

    def process_started(self, pid: int) -> None:
        """A run has begun."""
        self.condition.pid = pid
        with self._errors.kept_at(SUPERVISION):
            self._child.process_started()

    def heard(self) -> None:
        """Something has come from a child that was not known to run."""
        if self.condition.state is ChildState.LATE:
            self._log.info("{title} is heard of again", title=self.condition.title)
        self._enter(ChildState.RUNNING)

    # A run goes on

    def _look(self) -> None:
        self._reserve.fill()
        run = self._run
        if run is None or run.verdict:
            return
        silence, patience, state = run.silence, self._child.patience, self.condition.state
        silence.look()
        if state is ChildState.STARTING:
            if silence.seconds >= patience.starting:
                self._condemn(run)
        elif silence.outlasts(patience.late, patience.busy_late):
            if state is not ChildState.LATE:
                self._log.warn(
                    "nothing is heard of {title} any more; it gets nothing new, and is killed "
                    "unless it says something soon",
                    title=self.condition.title,
                )
                self._enter(ChildState.LATE, silence.seconds)
            if silence.outlasts(patience.dead, patience.busy_dead):
                self._condemn(run)

    def _condemn(self, run: Run) -> None:
        run.verdict = f"nothing was heard of it for {run.silence.seconds:.0f} s"
        self._log.error(
            "{title} is killed: {verdict}", title=self.condition.title, verdict=run.verdict
        )
        run.kill()

    # A run ends

    def run_ended(self, run: Run, reason: str) -> None:
        """The child is gone."""
        self._run = None
        reason = f"{reason}: {run.verdict}" if run.verdict else reason
        if self._reactor.seconds() - run.started >= LONGEST_DELAY:
            self._delay = FIRST_DELAY
        self._over(reason)
        if self._stopped is None:
            self._log.error(
                "{title} ended ({reason}); another is started in {delay:.1f} s",
                title=self.condition.title,
                reason=reason,
                delay=self._delay,
            )
            self._start_later(LONGEST_DELAY)

    def _refused(self, reason: str) -> None:
        self._over(reason)
        self._delay = min(self._delay, LONGEST_FAILED_DELAY)
        if reason != self._refusal:
            self._log.error(
                "{title}: {reason}; it is tried again every {delay:.0f} s",
                title=self.condition.title,
                reason=reason,
                delay=LONGEST_FAILED_DELAY,
            )
            self._refusal = reason
        self._start_later(LONGEST_FAILED_DELAY)

    def _over(self, reason: str) -> None:
        """There is no child, or none any more, whatever goes wrong where that is told."""
        self.condition.pid = None
        self.condition.last_end = reason
        self._enter(ChildState.STOPPED)
        with self._errors.kept_at(SUPERVISION):
            self._child.process_ended(reason)
        if self._stopped is None:
            self._reserve.fill()
        else:
            self._stopped.callback(None)

    def _start_later(self, longest: float) -> None:
        self.condition.restarts += 1
        self._restart = self._reactor.callLater(self._delay, self._start)
        self._delay = min(self._delay * 2, longest)

    def _enter(self, state: ChildState, ago: float = 0.0) -> None:
        self.condition.state = state
        self.condition.since = self._now() - ago
        with self._errors.kept_at(SUPERVISION):
            self._child.state_changed()
