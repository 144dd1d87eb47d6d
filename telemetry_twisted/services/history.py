"""The store process, and what looks at the server for its sake, as a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads

from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.store.database.interface import Database, NeverUsable

from .starting import CannotStart

CHECK_SECONDS = 0.5
"""How long the start waits to see whether the database can be used."""


class HistoryService(MultiService):
    """Has history written, and alerts raised.

    :param beside: what looks at the server meanwhile, and tells others of it.
    :param database: what the REST API reads from.
    :param failed: told when a database that seemed to come never can.
    """

    def __init__(
        self,
        store_client: StoreClient,
        supervisor: Supervisor,
        beside: Iterable[IService],
        database: Database,
        reactor: IReactorFromThreads,
        failed: Callable[[CannotStart], None],
    ) -> None:
        super().__init__()
        self.setName("history")
        self._store_client = store_client
        self._supervisor = supervisor
        self._database = database
        self._reactor = reactor
        self._failed = failed
        self._refusal: CannotStart | None = None
        supervisor.setServiceParent(self)
        for service in beside:
            service.setServiceParent(self)

    def startService(self) -> None:
        """Start the store process.

        :raises CannotStart: if it is seen within :data:`CHECK_SECONDS` that the database can never
            be used.
        """
        # Looking may take longer than the start of the stream is to wait.
        looking = Thread(target=self._check, name="history-check", daemon=True)
        looking.start()
        looking.join(CHECK_SECONDS)
        if self._refusal is not None:
            raise self._refusal
        super().startService()

    def _check(self) -> None:
        try:
            self._database.check()
        except NeverUsable as error:
            self._refusal = CannotStart(f"--database {self._database.name}: {error}")
            self._reactor.callFromThread(self._refuse)

    def _refuse(self) -> None:
        """Say so, if the server started before it was known."""
        if self.running and self._refusal is not None:
            self._failed(self._refusal)

    def stopService(self) -> Deferred[Any]:
        """Have what is left written; fires when the store process is gone."""
        stored = super().stopService()
        self._store_client.drain()
        closed = Deferred.fromCoroutine(self._database.close())
        return gatherResults([stored, closed])

    def progress(self) -> object:
        """How far the store process is: see :meth:`.StoreClient.progress`."""
        return self._store_client.progress()

    def kill(self) -> None:
        """End the store process at once."""
        self._supervisor.kill()
