"""Looks at the server every second and raises alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from telemetry_twisted.clock import Now
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.quiet import QuietLog
from telemetry_twisted.rounds import Rounds
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.turns import Turns

from .alerts import AlertBook
from .figures import HubGauges
from .hub import Hub
from .situation import Situation

LOOK_SECONDS = 1.0


class Watch(Service):
    """Takes stock every second, tells the log what has begun and ended, and subscribers of it.

    :param lagged: tells what each subscriber has missed in events, by its address.
    :param changed: called when the set of alerts has changed.
    :param reached: tells the time that nodes may have reached, in Unix time.
    :param turns: where it waits for others when there is much to look at.
    """

    _log = Logger()

    def __init__(
        self,
        book: AlertBook,
        hub: Hub,
        gauges: HubGauges,
        store_client: StoreClient,
        lagged: Callable[[], Mapping[str, int]],
        changed: Callable[[], None],
        clock: IReactorTime,
        now: Now,
        reached: Now,
        turns: Turns,
    ) -> None:
        self._book = book
        self._hub = hub
        self._gauges = gauges
        self._store_client = store_client
        self._lagged = lagged
        self._changed = changed
        self._clock = clock
        self._now = now
        self._reached = reached
        self._turns = turns
        self._quiet = QuietLog(self._log, clock)
        self._rounds = Rounds(self._look, "alerts", clock, hub.errors)

    def startService(self) -> None:
        Service.startService(self)
        self._rounds.start(LOOK_SECONDS)

    def stopService(self) -> None:
        Service.stopService(self)
        self._rounds.stop()

    async def _look(self) -> None:
        self._gauges.tick()
        situation = Situation(
            now=self._clock.seconds(),
            time=rfc3339(self._now()),
            newest_slot=newest_slot(self._reached()),
            nodes=list(self._hub.nodes),
            decode_errors=self._hub.faults["decode_error"],
            lagged=dict(self._lagged()),
            store_trouble=self._store_client.trouble(),
            store_state=str(self._store_client.status["state"]),
            silent=self._gauges.silent(),
            networks=self._store_client.networks.current,
        )
        async for _ in self._turns.steps(self._book.look(situation)):
            pass
        # A format for each kind: many of one do not keep the others out of the log.
        for alert in self._book.begun:
            text = f"{alert['message']}; {alert['advice']}"
            self._quiet.warn(f"{alert['kind']} alert: {{text}}", text=text)
        for alert in self._book.ended:
            self._quiet.warn(f"{alert['kind']} alert ended: {{text}}", text=alert["message"])
        if self._book.changed:
            self._changed()
