"""What signals do in the hub; none ends it by default."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from twisted.application.service import Service
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from telemetry_twisted.transport.signals import OF_OPERATORS, TO_END


class OperatorSignals(Service):
    """Acts on signals from before anything is started until the process ends.

    SIGTERM and SIGINT stop the reactor, as those do that Twisted handles, but also before it runs,
    and once. SIGHUP calls ``reload``, SIGUSR1 ``rotate``, SIGUSR2 does nothing.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: ReactorBase,
        reload: Callable[[], Deferred[None]],
        rotate: Callable[[], object],
    ) -> None:
        self.setName("signals")
        self._reactor = reactor
        self._acts = {signal.SIGHUP: reload, signal.SIGUSR1: rotate, signal.SIGUSR2: lambda: None}
        self._installed = False
        self._ending = False

    def privilegedStartService(self) -> None:
        """Handle signals from now on."""
        self._installed = True
        self._install()
        # The reactor installs handlers of its own when it starts.
        self._reactor.callWhenRunning(self._install)

    def startService(self) -> None:
        if not self._installed:
            self.privilegedStartService()
        Service.startService(self)

    def _install(self) -> None:
        for number in TO_END:
            signal.signal(number, self._asked_to_end)
        for number in OF_OPERATORS:
            signal.signal(number, self._asked_to_act)

    # A handler runs between any two instructions: what it is to do is done in the reactor's turn.

    def _asked_to_end(self, number: int, frame: FrameType | None) -> None:
        if not self._ending:
            self._ending = True
            stop = self._reactor.sigInt if number == signal.SIGINT else self._reactor.sigTerm
            stop(number, frame)

    def _asked_to_act(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._act, signal.Signals(number))

    def _act(self, number: signal.Signals) -> None:
        if self.running:
            self._log.info("{name} received", name=number.name)
            done = self._acts[number]()
            if isinstance(done, Deferred):
                done.addErrback(lambda failure: self._log.failure("on a signal", failure))
