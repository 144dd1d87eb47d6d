"""The parts that a server has only where history is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from klein import Klein

from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.rest.openapi import HERE
from telemetry_twisted.api.rest.routes import history_routes
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.clock import never_set_back
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.alerts import AlertBook
from telemetry_twisted.hub.figures import HubFigures, HubGauges
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.situation import Thresholds
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.stream_load import StreamLoad
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.hub.watch import Watch
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.notify.change import Change
from telemetry_twisted.options import MIB, Options
from telemetry_twisted.services.history import HistoryService
from telemetry_twisted.services.starting import CannotStart
from telemetry_twisted.store.database.opening import open_database
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.write.process import Settings
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.turns import Turns

if TYPE_CHECKING:
    from telemetry_twisted.notify.notifier import Notifier


class KeptHistory:
    """Makes those parts, each when the others that it needs are there.

    ``client`` is the hub's side of the store process.
    """

    def __init__(self, options: Options, reactor: IServerReactor, errors: InternalErrors) -> None:
        self._options = options
        self._reactor = reactor
        self._errors = errors
        self._policy = _policy(options)
        self._book = AlertBook(_thresholds(options))
        settings = Settings(options["database"], self._policy)
        keeps_raw = self._policy.raw_seconds > 0
        self._notifier = _notifier(options, reactor, errors)
        self.client = StoreClient(settings.encode(), keeps_raw, reactor, time.time, errors)

    def gauges(self, figures: HubFigures, frames: Callable[[], Histogram]) -> HubGauges:
        """What is told of the server as it is now, alerts among it.

        :param frames: how many events there were in the frames that subscribers were sent.
        """
        self._servers = figures.servers
        self._gauges = HubGauges(
            figures,
            frames,
            self.client,
            self._book,
            (lambda: ()) if self._notifier is None else self._notifier.as_json,
            self._reactor,
            time.time,
        )
        return self._gauges

    def service(
        self,
        hub: Hub,
        subscribers: Subscribers,
        routes: Klein,
        connections: Connections,
        turns: Turns,
        failed: Callable[[CannotStart], None],
    ) -> HistoryService:
        """What has history written and alerts raised; REST is added to ``routes``.

        :param failed: told when a database that seemed to come never can.
        """
        reactor, errors, gauges = self._reactor, self._errors, self._gauges
        database = open_database(self._options["database"], reactor)
        reached = never_set_back(time.time, reactor)
        history = History(database, self._policy, time.time, turns, reached)
        base = str(next(iter(self._options["public-url"]), HERE))
        history_routes(
            routes,
            history,
            gauges,
            reactor,
            time.time,
            errors,
            connections,
            lambda: hub.totals,
            base,
        )

        def alerts_changed() -> None:
            subscribers.alerts_changed()
            if self._notifier is not None:
                book = self._book
                changed = rfc3339(time.time())
                self._notifier.alerts_changed(Change(changed, book.begun, book.ended, book.current))

        watch = Watch(
            self._book,
            hub,
            gauges,
            self.client,
            subscribers.lagged,
            alerts_changed,
            reactor,
            time.time,
            reached,
            turns,
        )
        load = StreamLoad(self._servers, self.client.stream_is_busy, reactor, errors)
        process = Supervisor(reactor, self.client, time.time, errors)
        beside = [watch, load, *([] if self._notifier is None else [self._notifier])]
        return HistoryService(self.client, process, beside, database, reactor, failed)


def _notifier(options: Options, reactor: IServerReactor, errors: InternalErrors) -> Notifier | None:
    if not options["alert-webhook"] and not options["alertmanager"]:
        return None
    # Here, so that what speaks HTTP takes memory only where there is somebody to tell.
    from telemetry_twisted.notify.notifier import Notifier, Receivers, server_name

    receivers = Receivers(
        options["alert-webhook"],
        options["alert-webhook-secret"],
        options["alertmanager"],
        server_name(options["public-url"]),
    )
    return Notifier.over(receivers, reactor, time.time, errors)


def _policy(options: Options) -> Policy:
    return Policy(
        counts={10: options["retain-10s"], 60: options["retain-1m"], 3600: options["retain-1h"]},
        states=options["retain-10s"],
        slots=options["retain-1m"],
        yearly=options["retain-1h"],
        raw_seconds=options["retain-events"],
        raw_events=options["retain-events-max"],
        raw_bytes=options["retain-events-mib"] * MIB,
    )


def _thresholds(options: Options) -> Thresholds:
    return Thresholds(
        node_gone=options["alert-node-gone"],
        not_synced=options["alert-not-synced"],
        behind=options["alert-behind"],
        finality=options["alert-finality"],
        no_block=options["alert-no-block"],
        decode_errors=options["alert-decode-errors"],
        lagging=options["alert-lagging"],
        store=options["alert-store"],
        fork=options["alert-fork"],
        stuck=options["alert-stuck"],
        assurances_late=options["alert-assurances-late"],
        clock=options["alert-clock"],
        silent=options["alert-silent"],
        unfinished=options["alert-unfinished"],
        late_blocks=options["alert-late-blocks"],
        slow_guarantor=options["alert-slow-guarantor"],
        failing_server=options["alert-failing-server"],
        broken_encoder=options["alert-broken-encoder"],
    )
