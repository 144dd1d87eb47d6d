"""What all child processes of the hub do alike."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Callable
from typing import Protocol, cast

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogBeginner,
)

from telemetry_twisted.clock import use_monotonic_timers
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor

from .limits import raise_descriptor_limit
from .link import Link, RecordHandler
from .signals import leave_signals_to_hub

LINK_FD = 3
"""Descriptor of the link in a child process."""


class ChildProcess(RecordHandler, Protocol):
    """What runs in a child; ``ended`` fires when it has nothing left to do."""

    ended: Deferred[None]

    def drain(self) -> object:
        """Finish what was begun, then let go of the link."""


def run_child(build: Callable[[IServerReactor, InternalErrors], ChildProcess]) -> None:
    """Run what ``build`` makes until the hub says so, or is gone.

    ``build`` is given where mistakes of the process's own are counted, for the hub to be told.
    """
    leave_signals_to_hub()
    raise_descriptor_limit()
    globalLogBeginner.beginLoggingTo([_observer()], redirectStandardIO=False)
    from twisted.internet import reactor as installed

    use_monotonic_timers(cast(ReactorBase, installed))
    reactor = cast(IServerReactor, installed)
    errors = InternalErrors(reactor)
    process = build(reactor, errors)
    Link(reactor, socket.socket(fileno=LINK_FD), process, errors).start()
    process.ended.addCallback(lambda _: reactor.stop())
    gc.freeze()
    reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]


def _observer() -> ILogObserver:
    """Writes one line for each event to standard error, where the hub adds who says it and when."""
    levels = LogLevelFilterPredicate(LogLevel.info)
    levels.setLogLevelForNamespace("twisted", LogLevel.warn)
    lines = FileLogObserver(sys.stderr, _line)
    return FilteringLogObserver(lines, [levels])


def _line(event: LogEvent) -> str:
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return f"{text}\n"
