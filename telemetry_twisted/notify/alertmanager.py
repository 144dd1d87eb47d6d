"""An Alertmanager of Prometheus, by its API version 2.

It is told what holds, again and again, as Prometheus does: an alert that it has not heard of for a
while ends there by itself (``endsAt``), and one whose end it missed is told again. So nothing waits
for one that cannot be reached: once it can, it is told what holds then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ujson
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.timestamps import rfc3339

from .address import ReceiverUrl
from .attempts import Attempts
from .change import Alert, Change
from .posting import NotTaken, Post

RESEND_SECONDS = 30.0
"""How often it is told what holds."""

HOLDS_SECONDS = 4 * RESEND_SECONDS
"""How long an alert holds there that it hears no more of."""

ENDED_SECONDS = 900.0
"""For how long it is told that an alert has ended; there is one of a kind at most."""


class Alertmanager(Service):
    """Implements :class:`.Receiver`.

    An alert there has the labels ``alertname`` (its kind), ``job`` and ``server``, the annotations
    ``summary``, ``description``, ``count``, ``value``, ``threshold`` and ``examples``, and begins
    when the first that it is about began.

    :param server: the name of this server.
    """

    def __init__(
        self,
        url: ReceiverUrl,
        server: str,
        post: Post,
        clock: IReactorTime,
        now: Now,
        errors: InternalErrors,
    ) -> None:
        self._url = url
        self._server = server
        self._post = post
        self._clock = clock
        self._now = now
        self._current: dict[str, Alert] = {}
        self._ended: dict[str, tuple[float, Alert, str]] = {}  # one a kind, ENDED_SECONDS
        self._changed = False
        self._next: IDelayedCall | None = None
        self._attempts = Attempts(
            url.shown, lambda: self._changed, self._attempt, clock, now, errors
        )

    def startService(self) -> None:
        super().startService()
        self._attempts.start()
        self._resend()

    def stopService(self) -> None:
        super().stopService()
        self._attempts.stop()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def alerts_changed(self, change: Change) -> None:
        current = {alert["kind"]: alert for alert in change.current}
        for kind, alert in self._current.items():
            if kind not in current:
                self._ended[kind] = self._clock.seconds(), alert, change.time
        for kind in current:
            self._ended.pop(kind, None)
        self._current = current
        self._wake()

    def _resend(self) -> None:
        self._next = self._clock.callLater(RESEND_SECONDS, self._resend)
        oldest = self._clock.seconds() - ENDED_SECONDS
        for kind in [kind for kind, (at, _, _) in self._ended.items() if at < oldest]:
            del self._ended[kind]
        if self._current or self._ended:
            self._wake()

    def _wake(self) -> None:
        self._changed = True
        self._attempts.wake()

    async def _attempt(self) -> None:
        self._changed = False
        ends = rfc3339(self._now() + HOLDS_SECONDS)
        alerts = [self._alert(alert, ends) for alert in self._current.values()]
        alerts += [self._alert(alert, ended) for _, alert, ended in self._ended.values()]
        body = ujson.dumps(alerts, escape_forward_slashes=False).encode()
        try:
            await self._post(self._url.under("api/v2/alerts"), self._url.auth, {}, body)
        except NotTaken:
            self._changed = True
            raise

    def _alert(self, alert: Alert, ends: str) -> dict[str, Any]:
        return {
            "labels": {"alertname": alert["kind"], "job": "telemetry", "server": self._server},
            "annotations": {
                "summary": alert["message"],
                "description": alert["advice"],
                "count": str(alert["count"]),
                "value": str(alert["value"]),
                "threshold": str(alert["threshold"]),
                "examples": ", ".join(map(str, alert["examples"])),
            },
            "startsAt": alert["started"],
            "endsAt": ends,
        }

    def as_json(self) -> Mapping[str, Any]:
        return {
            "kind": "alertmanager",
            **self._attempts.as_json(),
            "waiting": int(self._changed),
            "given_up": 0,
        }
