"""The ingestion processes, as a service."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory

from telemetry_twisted.hub.backlog import Backlog
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.supervisor import Supervisor

from .listening import Listening


class IngestionService(MultiService):
    """Runs the ingestion processes, which serve those who connect where ``nodes`` listens."""

    def __init__(
        self,
        nodes: Listening,
        servers: Sequence[IngestionServer],
        supervisors: Sequence[Supervisor],
        backlog: Backlog,
    ) -> None:
        super().__init__()
        self.setName("ingestion")
        self._nodes = nodes
        self._servers = servers
        self._supervisors = supervisors
        self._backlog = backlog
        self._listening: socket.socket | None = None
        for supervisor in supervisors:
            supervisor.setServiceParent(self)

    def startService(self) -> None:
        """Start the processes; the nodes' port is bound by now."""
        assert self._nodes.port is not None
        self._listening = _shared_socket(self._nodes.port)
        for server in self._servers:
            server.listen(self._listening)
        super().startService()
        self._backlog.start(self._listening)

    def stopService(self) -> Deferred[Any]:
        """Accept no more, and have what was read sent; fires when the processes are gone."""
        self._backlog.stop()
        if self._listening is not None:
            with suppress(OSError):
                # The processes hold the socket as well; this ends listening for all of them.
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        for server in self._servers:
            server.drain()
        ended: Deferred[Any] = super().stopService()
        return ended

    def kill(self) -> None:
        """End the processes at once."""
        for supervisor in self._supervisors:
            supervisor.kill()


class AcceptedElsewhere(ServerFactory):
    """For a port whose connections the ingestion processes accept."""

    noisy = False

    def logPrefix(self) -> str:
        return "nodes' port"


def _shared_socket(port: IListeningPort) -> socket.socket:
    """Take accepting out of Twisted's hands: a socket of the port's, which reads no more itself."""
    port.stopReading()  # type: ignore[attr-defined]
    listening = socket.socket(fileno=os.dup(port.fileno()))  # type: ignore[attr-defined]
    # Room for all validators to come at once, which is more than the usual backlog of an endpoint.
    listening.listen(1024)
    return listening
