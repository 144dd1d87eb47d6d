"""The whole server as one service: what is started, and in which order it ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.api.audience import Audience
from telemetry_twisted.hub.dealer import Dealer
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.interfaces import IServerReactor

DRAIN_SECONDS = 2.0
"""How long ingestion processes may take to send what they have read, before they are killed."""

FAREWELL_SECONDS = 1.5
"""How long subscribers may take to read what is left and to answer the close, together."""


class CannotListen(SystemExit):
    """An endpoint cannot be listened on; ends the process with a message and exit code 1."""

    def __init__(self, option: str, endpoint: str, reason: object) -> None:
        super().__init__(
            f"telemetry: {option} {endpoint} cannot be listened on: {reason}. "
            f"Stop what uses it, or give another one with {option}."
        )


@frozen
class Entrance:
    """An endpoint with the option and the text that it comes from."""

    option: str
    text: str
    endpoint: IStreamServerEndpoint


class TelemetryServer(Service):
    """Listens for nodes and subscribers, runs the child processes, and ends them in order."""

    _log = Logger()

    def __init__(
        self,
        reactor: IServerReactor,
        hub: Hub,
        servers: Sequence[IngestionServer],
        audience: Audience,
        nodes_entrance: Entrance,
        api_entrance: Entrance,
        site: IProtocolFactory,
    ) -> None:
        self._reactor = reactor
        self._hub = hub
        self._servers = servers
        self._audience = audience
        self._nodes_entrance = nodes_entrance
        self._api_entrance = api_entrance
        self._site = site
        self._supervisors = [
            Supervisor(reactor, f"ingestion process {server.number}", server.birth)
            for server in servers
        ]
        self._ports: list[IListeningPort] = []

    def startService(self) -> None:
        """Listen, and start the ingestion processes.

        :raises CannotListen: if an endpoint cannot be listened on; nothing has been started then.
        """
        nodes_port = self._listen(self._nodes_entrance, ServerFactory())
        self._listen(self._api_entrance, self._site)
        Service.startService(self)
        self._dealer = Dealer(
            self._reactor,
            _accepting_socket(nodes_port),
            lambda: [server for server in self._servers if server.running],
            self._hub.connection_lost_before_service,
        )
        for supervisor in self._supervisors:
            supervisor.startService()
        self._dealer.start()
        self._audience.start()

    def _listen(self, entrance: Entrance, factory: IProtocolFactory) -> IListeningPort:
        outcome: list[IListeningPort | Failure] = []
        entrance.endpoint.listen(factory).addBoth(outcome.append)
        (port,) = outcome
        if isinstance(port, Failure):
            raise CannotListen(entrance.option, entrance.text, port.getErrorMessage())
        self._ports.append(port)
        self._log.info("{option}: listening on {host}", option=entrance.option, host=port.getHost())
        return port

    def stopService(self) -> Deferred[None]:
        """Accept no more, send what was read, say goodbye, and leave no process behind."""
        Service.stopService(self)
        return Deferred.fromCoroutine(self._wind_down())

    async def _wind_down(self) -> None:
        self._dealer.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        for server in self._servers:
            server.drain()
        drained = gatherResults([supervisor.stopService() for supervisor in self._supervisors])
        await self._with_patience(drained, DRAIN_SECONDS, self._kill_processes)
        await self._with_patience(self._audience.finish(), FAREWELL_SECONDS, self._audience.abort)

    async def _with_patience(
        self, event: Deferred[Any], seconds: float, force: Callable[[], None]
    ) -> None:
        """Wait for ``event``, and after ``seconds`` use ``force`` to make it happen."""
        call = self._reactor.callLater(seconds, force)
        await event
        if call.active():
            call.cancel()

    def _kill_processes(self) -> None:
        self._log.warn("ingestion processes did not end in time and are killed")
        for supervisor in self._supervisors:
            supervisor.kill()


def _accepting_socket(port: IListeningPort) -> socket.socket:
    """Take accepting out of Twisted's hands: a socket of the port's, which reads no more itself."""
    port.stopReading()  # type: ignore[attr-defined]
    accepting = socket.socket(fileno=os.dup(port.fileno()))  # type: ignore[attr-defined]
    # Room for all validators to come at once, which is more than the usual backlog of an endpoint.
    accepting.listen(1024)
    return accepting
