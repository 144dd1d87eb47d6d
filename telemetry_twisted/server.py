"""The whole server as one service: what is started, and in which order it ends."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger

from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.logs import ServerLog
from telemetry_twisted.services.ending import Ending, Work
from telemetry_twisted.services.history import HistoryService
from telemetry_twisted.services.ingestion import IngestionService
from telemetry_twisted.services.listening import Listening
from telemetry_twisted.services.starting import CannotStart, Terminal, exit_as_failed
from telemetry_twisted.signals import OperatorSignals
from telemetry_twisted.transport.limits import raise_descriptor_limit

# When each step of the end is over at the latest, in seconds from when it began: with what is
# granted to what was killed, the whole of it takes less than five, unless history is being written.

LISTENING_SECONDS = 0.5
"""Ports are closed."""

INGESTION_SECONDS = 1.5
"""Ingestion processes have sent what they had read."""

SUBSCRIBERS_SECONDS = 3.5
"""Subscribers have read what is left, and have answered the close."""

HISTORY_SECONDS = 4.0
"""The store process has written what is left, or does nothing any more."""

WRITING_SECONDS = 30.0
"""It has written what is left, though it had much to write, and little of the processor. Service
managers wait for longer (systemd for 90 s)."""


class SubscriberService(Service):
    """Looks after subscribers, and says goodbye to them."""

    def __init__(self, subscribers: Subscribers) -> None:
        self.setName("subscribers")
        self._subscribers = subscribers

    def startService(self) -> None:
        super().startService()
        self._subscribers.start()

    def stopService(self) -> Deferred[None]:
        """Have them read what is in the ring, and close them; fires when all are gone."""
        super().stopService()
        return self._subscribers.finish(SUBSCRIBERS_SECONDS)

    def abort(self) -> None:
        """Close their connections at once."""
        self._subscribers.abort()


class TelemetryServer(MultiService):
    """Starts its parts in order, and ends them in order.

    Ports are bound by :meth:`privilegedStartService`, before ``twistd`` changes to the user that it
    was told to be; all else is done as that user. ``failed`` is what a :class:`.Listening` of it is
    to tell that it cannot listen after all.
    """

    _log = Logger()

    def __init__(self, reactor: IServerReactor, terminal: Terminal, log: ServerLog | None) -> None:
        super().__init__()
        self.setName("telemetry")
        self._reactor = reactor
        self._terminal = terminal
        self._log_file = log

    def assemble(
        self,
        signals: OperatorSignals,
        nodes: Listening,
        api: Listening,
        ingestion: IngestionService,
        subscribers: SubscriberService,
        history: HistoryService | None,
    ) -> None:
        """Take these parts; they are started in this order, but history before ingestion."""
        self._listening = (nodes, api)
        self._ingestion = ingestion
        self._subscribers = subscribers
        self._history = history
        for part in (signals, nodes, api, history, ingestion, subscribers):
            if part is not None:
                part.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """Take a place in ``parent``, the application, which logs where the server does."""
        super().setServiceParent(parent)
        if self._log_file is not None:
            self._log_file.adopt(parent)

    def privilegedStartService(self) -> None:
        """Bind the ports.

        :raises CannotStart: if one cannot be; nothing has been started then.
        """
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """Start all parts.

        :raises CannotStart: if one of them says that it cannot.
        """
        raise_descriptor_limit()
        self._start(super().startService)
        # What is there now stays, so the collector need not look at it over and over: that takes
        # longer than an event may.
        gc.freeze()
        self._terminal.close()

    def _start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except CannotStart as error:
            self._log.critical("{error}", error=error)
            self._terminal.refuse(error)
            raise

    def failed(self, error: CannotStart) -> None:
        """End, since a part that seemed to start could not."""
        self._log.critical("{error}", error=error)
        self._terminal.refuse(error)
        exit_as_failed()
        self._reactor.callWhenRunning(self._reactor.stop)

    def stopService(self) -> Deferred[None]:
        """Accept no more, send what was read, say goodbye, and leave no process behind.

        Fires within five seconds, or :data:`WRITING_SECONDS` where history is still being written,
        whatever hangs.
        """
        Service.stopService(self)
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        ending = Ending(self._reactor)
        closed = gatherResults([listening.stopService() for listening in self._listening])
        await ending.step(closed, LISTENING_SECONDS, "ports", lambda: None)
        drained = self._ingestion.stopService()
        await ending.step(drained, INGESTION_SECONDS, "ingestion processes", self._ingestion.kill)
        stored = succeed(None)
        if self._history is not None:
            written = self._history.stopService()
            writing = Work(self._history.progress, WRITING_SECONDS)
            stored = ending.step(
                written, HISTORY_SECONDS, "history", self._history.kill, work=writing
            )
        farewell = self._subscribers.stopService()
        await ending.step(farewell, SUBSCRIBERS_SECONDS, "subscribers", self._subscribers.abort)
        await stored
