"""The whole server as one service: what is started, and in which order it ends."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.archive import Archive
from telemetry_twisted.hub.dealer import Dealer
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.hub.watch import Watch
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.store.database import Database
from telemetry_twisted.transport.limits import raise_descriptor_limit

DRAIN_SECONDS = 1.5
"""How long ingestion processes may take to send what they have read, before they are killed."""

STORE_SECONDS = 2.5
"""How long the store process may take to write what is left, before it is killed."""

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
        subscribers: Subscribers,
        nodes_entrance: Entrance,
        api_entrance: Entrance,
        site: IProtocolFactory,
        history: HistoryService | None,
    ) -> None:
        self._reactor = reactor
        self._hub = hub
        self._servers = servers
        self._subscribers = subscribers
        self._nodes_entrance = nodes_entrance
        self._api_entrance = api_entrance
        self._site = site
        self._supervisors = [
            Supervisor(reactor, server, time.time, hub.errors) for server in servers
        ]
        self._ports: list[IListeningPort] = []
        self._history = history

    def startService(self) -> None:
        """Listen, and start the ingestion processes.

        :raises CannotListen: if an endpoint cannot be listened on; nothing has been started then.
        """
        raise_descriptor_limit()
        nodes_port = self._listen(self._nodes_entrance, _AcceptedElsewhere())
        self._listen(self._api_entrance, self._site)
        Service.startService(self)
        self._dealer = Dealer(
            self._reactor,
            _accepting_socket(nodes_port),
            lambda: [server for server in self._servers if server.condition.running],
            self._hub.connection_lost_before_service,
        )
        if self._history is not None:
            self._history.startService()
        for supervisor in self._supervisors:
            supervisor.startService()
        self._dealer.start()
        self._subscribers.start()

    def _listen(self, entrance: Entrance, factory: IProtocolFactory) -> IListeningPort:
        outcome: list[IListeningPort | Failure] = []
        entrance.endpoint.listen(factory).addBoth(outcome.append)
        (port,) = outcome
        if isinstance(port, Failure):
            raise CannotListen(entrance.option, entrance.text, port.getErrorMessage())
        self._ports.append(port)
        self._log.info("{option}: {place}", option=entrance.option, place=_place(port.getHost()))
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
        await with_patience(drained, DRAIN_SECONDS, self._kill_ingestion, self._reactor)
        stored = succeed(None) if self._history is None else self._history.stopService()
        farewell = self._subscribers.finish()
        await with_patience(farewell, FAREWELL_SECONDS, self._subscribers.abort, self._reactor)
        await stored

    def _kill_ingestion(self) -> None:
        self._log.warn("ingestion processes did not end in time and are killed")
        for supervisor in self._supervisors:
            supervisor.kill()


class HistoryService(Service):
    """The store process, and what looks at the server for its sake.

    :param database: what the REST API reads from.
    """

    def __init__(
        self,
        archive: Archive,
        watch: Watch,
        database: Database,
        reactor: IServerReactor,
        errors: InternalErrors,
    ) -> None:
        self._archive = archive
        self._watch = watch
        self._database = database
        self._reactor = reactor
        self._supervisor = Supervisor(reactor, archive, time.time, errors)

    def startService(self) -> None:
        Service.startService(self)
        self._supervisor.startService()
        self._watch.startService()

    def stopService(self) -> Deferred[None]:
        """Have what is left written; fires when the store process is gone."""
        Service.stopService(self)
        self._watch.stopService()
        stored = self._supervisor.stopService()
        self._archive.drain()
        return Deferred.fromCoroutine(self._end(stored))

    async def _end(self, stored: Deferred[None]) -> None:
        await with_patience(stored, STORE_SECONDS, self._supervisor.kill, self._reactor)
        await self._database.close()


async def with_patience(
    event: Deferred[Any], seconds: float, force: Callable[[], None], clock: IReactorTime
) -> None:
    """Wait for ``event``, and after ``seconds`` use ``force`` to make it happen."""
    call = clock.callLater(seconds, force)
    await event
    if call.active():
        call.cancel()


class _AcceptedElsewhere(ServerFactory):
    """For a port whose connections the dealer accepts."""

    noisy = False

    def logPrefix(self) -> str:
        return "nodes' port"


def _place(address: object) -> str:
    """An address as people write it."""
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    return str(getattr(address, "name", address))


def _accepting_socket(port: IListeningPort) -> socket.socket:
    """Take accepting out of Twisted's hands: a socket of the port's, which reads no more itself."""
    port.stopReading()  # type: ignore[attr-defined]
    accepting = socket.socket(fileno=os.dup(port.fileno()))  # type: ignore[attr-defined]
    # Room for all validators to come at once, which is more than the usual backlog of an endpoint.
    accepting.listen(1024)
    return accepting
