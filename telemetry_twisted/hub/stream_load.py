"""How busy the stream is, for those who have to leave the processors to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from telemetry_twisted.busy import Busy
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.rounds import Rounds

from .ingestion import IngestionServer

LOOK_SECONDS = 0.5


class StreamLoad(Service):
    """Looks twice a second which process of the stream is the busiest, this one among them.

    That one is what all others wait for: the stream could be faster as long as it has time left,
    and not when it has none.

    :param servers: the ingestion processes, which say how busy they are with each pulse.
    :param told: what is told how busy the busiest is, from 0 to 1.
    """

    def __init__(
        self,
        servers: Sequence[IngestionServer],
        told: Callable[[float], None],
        clock: IReactorTime,
        errors: InternalErrors,
        own: Busy | None = None,
    ) -> None:
        self._servers = servers
        self._told = told
        self._own = own or Busy(clock)
        self._rounds = Rounds(self._look, "load of the stream", clock, errors)

    def startService(self) -> None:
        Service.startService(self)
        self._rounds.start(LOOK_SECONDS)

    def stopService(self) -> None:
        Service.stopService(self)
        self._rounds.stop()

    def _look(self) -> None:
        others = (float(server.pulse.get("busy", 0)) for server in self._servers)
        self._told(max(self._own.share(), *others))
