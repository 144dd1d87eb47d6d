"""Starts a child process, watches over it, and starts it again when it dies."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.transport.child import LINK_FD
from telemetry_twisted.transport.link import LINK_BYTES, Link, RecordHandler

FIRST_DELAY = 0.1
"""Seconds until a child that died is replaced; doubled each time it dies young."""

LONGEST_DELAY = 10.0
"""Seconds that the delay grows to, and the age at which a child that dies did not die young."""


class Child(RecordHandler, Protocol):
    """The hub's side of one life of a child process."""

    def process_started(self, pid: int) -> None:
        """It runs."""

    def process_ended(self, reason: str) -> None:
        """It is gone, and so is its link: all that it sent has been handed over."""


Birth = Callable[[], tuple[list[str], Mapping[int, int], Child]]
"""Makes what the next life needs: the arguments after ``python``, further descriptors of the child
by their number there (closed here once it runs), and its handler."""


class Supervisor(Service):
    """Keeps one child process running.

    :param title: what logs call it.
    :param birth: called for each life.
    """

    _log = Logger()

    def __init__(self, reactor: IServerReactor, title: str, birth: Birth) -> None:
        self._reactor = reactor
        self.title = title
        self._birth = birth
        self._life: _Life | None = None
        self._delay = FIRST_DELAY
        self._restart: IDelayedCall | None = None
        self._ended: Deferred[None] | None = None
        self.restarts = 0

    def startService(self) -> None:
        Service.startService(self)
        self._start()

    def _start(self) -> None:
        self._restart = None
        arguments, descriptors, child = self._birth()
        here, there = socket.socketpair()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LINK_BYTES)
        life = self._life = _Life(self, child, self._reactor.seconds())
        with there:
            self._reactor.spawnProcess(
                life,
                sys.executable,
                [sys.executable, *arguments],
                env=os.environ,
                childFDs={0: 0, 1: 1, 2: "r", LINK_FD: there.fileno(), **descriptors},
            )
        Link(self._reactor, here, life).start()
        for descriptor in descriptors.values():
            os.close(descriptor)

    def life_ended(self, life: _Life, reason: str) -> None:
        """The child is gone."""
        self._life = None
        life.child.process_ended(reason)
        if self._ended is not None:
            self._ended.callback(None)
        elif self.running:
            if self._reactor.seconds() - life.born >= LONGEST_DELAY:
                self._delay = FIRST_DELAY
            self._log.error(
                "{title} ended ({reason}); another is started in {delay:.1f} s",
                title=self.title,
                reason=reason,
                delay=self._delay,
            )
            self.restarts += 1
            self._restart = self._reactor.callLater(self._delay, self._start)
            self._delay = min(self._delay * 2, LONGEST_DELAY)

    def stopService(self) -> Deferred[None]:
        """Start no more; fires when the child, told to end by its handler, is gone."""
        Service.stopService(self)
        self._ended = Deferred()
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._life is None:
            self._ended.callback(None)
        return self._ended

    def kill(self) -> None:
        """End the child at once, if it runs."""
        if self._life is not None:
            self._life.kill()


class _Life(ProcessProtocol):
    """One life of a child: its process and its link, which end in either order."""

    _log = Logger()

    def __init__(self, supervisor: Supervisor, child: Child, born: float) -> None:
        self.child = child
        self.born = born
        self._supervisor = supervisor
        self._exit: str | None = None
        self._link_is_up = True
        self._words = b""
        self.record_received = child.record_received
        self.records_done = child.records_done
        self.link_made = child.link_made

    def connectionMade(self) -> None:
        self._process = cast(IProcessTransport, self.transport)
        self.child.process_started(self._process.pid)

    def errReceived(self, data: bytes) -> None:
        *lines, self._words = (self._words + data).split(b"\n")
        for line in lines:
            self._say(line)

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._log.info("{title}: {text}", title=self._supervisor.title, text=text)

    def link_lost(self, reason: Failure) -> None:
        self._link_is_up = False
        self.child.link_lost(reason)
        self._consider()

    def processEnded(self, reason: Failure) -> None:
        if self._words:
            self._say(self._words)
        self._exit = _exit_text(reason.value)
        self._consider()

    def _consider(self) -> None:
        if self._exit is not None and not self._link_is_up:
            self._supervisor.life_ended(self, self._exit)

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
