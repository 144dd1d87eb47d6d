"""What signals do, in the hub and in its child processes; none ends a process by default."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

_OF_OPERATORS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def leave_signals_to_hub() -> None:
    """Have this process, a child of the hub, ignore what its operators signal.

    A terminal and a service manager signal all processes of the server, but what that means is the
    hub's to act on: it ends its children one after another, so that what each has left still finds
    the next.
    """
    for number in (signal.SIGINT, signal.SIGTERM, *_OF_OPERATORS):
        signal.signal(number, signal.SIG_IGN)


class OperatorSignals(Service):
    """Acts on SIGHUP, and lets SIGUSR1 and SIGUSR2 do nothing.

    ``twistd`` itself rotates its log file on SIGUSR1 where it has one: that stays so.

    :param reload: called in the reactor for each SIGHUP.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFromThreads, reload: Callable[[], Deferred[None]]) -> None:
        self._reactor = reactor
        self._reload = reload

    def startService(self) -> None:
        Service.startService(self)
        signal.signal(signal.SIGHUP, self._hung_up)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.SIG_IGN)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        # A handler runs between any two instructions: what it does is done in the reactor's turn.
        self._reactor.callFromThread(self._act)

    def _act(self) -> None:
        if self.running:
            self._reload().addErrback(lambda failure: self._log.failure("SIGHUP", failure))
