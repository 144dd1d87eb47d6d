"""The ingestion processes, as a service."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory

from telemetry_twisted.hub.dealer import Dealer
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.interfaces import IServerReactor

from .listening import Listening


class IngestionService(MultiService):
    """Runs the ingestion processes, which serve those who connect where ``nodes`` listens."""

    def __init__(
        self,
        nodes: Listening,
        hub: Hub,
        servers: Sequence[IngestionServer],
        supervisors: Sequence[Supervisor],
        reactor: IServerReactor,
    ) -> None:
        super().__init__()
        self.setName("ingestion")
        self._nodes = nodes
        self._hub = hub
        self._servers = servers
        self._supervisors = supervisors
        self._reactor = reactor
        self._dealer: Dealer | None = None
        for supervisor in supervisors:
            supervisor.setServiceParent(self)

    def startService(self) -> None:
        """Start the processes; the nodes' port is bound by now."""
        assert self._nodes.port is not None
        self._dealer = Dealer(
            self._reactor,
            _accepting_socket(self._nodes.port),
            lambda: [server for server in self._servers if server.condition.running],
            self._hub.connection_lost_before_service,
        )
        super().startService()
        self._dealer.start()

    def stopService(self) -> Deferred[Any]:
        """Accept no more, and have what was read sent; fires when the processes are gone."""
        if self._dealer is not None:
            self._dealer.stop()
        for server in self._servers:
            server.drain()
        ended: Deferred[Any] = super().stopService()
        return ended

    def kill(self) -> None:
        """End the processes at once."""
        for supervisor in self._supervisors:
            supervisor.kill()


class AcceptedElsewhere(ServerFactory):
    """For a port whose connections the dealer accepts."""

    noisy = False

    def logPrefix(self) -> str:
        return "nodes' port"


def _accepting_socket(port: IListeningPort) -> socket.socket:
    """Take accepting out of Twisted's hands: a socket of the port's, which reads no more itself."""
    port.stopReading()  # type: ignore[attr-defined]
    accepting = socket.socket(fileno=os.dup(port.fileno()))  # type: ignore[attr-defined]
    # Room for all validators to come at once, which is more than the usual backlog of an endpoint.
    accepting.listen(1024)
    return accepting
