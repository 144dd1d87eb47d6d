"""A webhook: gets each change of the alerts as one POST of JSON, in order.

The body is ``{"server", "id", "time", "skipped", "begun", "ended", "alerts", "count"}``: the name
of the server, the number of the change in this life of it, when it was, how many changes before it
were given up, the alerts that begun and ended with it, and all that hold after it, so that a
receiver that missed one knows what holds all the same.

With a secret, the header ``Telemetry-Signature`` is ``t=SECONDS,sha256=HEX``: when it was sent, in
Unix time, and HMAC-SHA256 with the secret of those digits, a full stop, and the body.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from typing import Any

import ujson
from attrs import define
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors

from .address import ReceiverUrl
from .attempts import Attempts
from .change import Change
from .posting import Post, Refused

MOST_WAITING = 1000
"""Changes that wait for a receiver at most; of more, the oldest are given up, and it is told."""

WAIT_SECONDS = 3600.0
"""For how long a change is worth telling; what holds is told with the next one."""

SIGNATURE = "telemetry-signature"


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """What :data:`SIGNATURE` says of ``body`` that is sent at ``seconds`` of Unix time."""
    digest = hmac.new(secret, b"%d.%b" % (seconds, body), hashlib.sha256).hexdigest()
    return f"t={seconds},sha256={digest}"


@define(eq=False)
class _Waiting:
    id: int
    change: Change
    since: float


class Webhook(Service):
    """Implements :class:`.Receiver`.

    :param server: the name of this server.
    :param secret: what bodies are signed with; None if they are not.
    """

    _log = Logger()

    def __init__(
        self,
        url: ReceiverUrl,
        server: str,
        secret: bytes | None,
        post: Post,
        clock: IReactorTime,
        now: Now,
        errors: InternalErrors,
    ) -> None:
        self.given_up = 0
        self._url = url
        self._server = server
        self._secret = secret
        self._post = post
        self._clock = clock
        self._now = now
        self._changes = 0
        self._skipped = 0
        self._waiting: deque[_Waiting] = deque()
        self._attempts = Attempts(
            url.shown, lambda: bool(self._waiting), self._attempt, clock, now, errors
        )

    def startService(self) -> None:
        super().startService()
        self._attempts.start()

    def stopService(self) -> None:
        super().stopService()
        self._attempts.stop()
        if self._waiting:
            self._log.warn(
                "{count} changes of alerts were not told to {receiver}",
                count=len(self._waiting),
                receiver=self._url.shown,
            )

    def alerts_changed(self, change: Change) -> None:
        self._changes += 1
        if len(self._waiting) == MOST_WAITING:
            self._give_up(1)  # not the first, which may be under way
        self._waiting.append(_Waiting(self._changes, change, self._clock.seconds()))
        self._attempts.wake()

    def _give_up(self, index: int) -> None:
        del self._waiting[index]
        self._skipped += 1
        self.given_up += 1

    async def _attempt(self) -> None:
        oldest = self._clock.seconds() - WAIT_SECONDS
        while len(self._waiting) > 1 and self._waiting[0].since < oldest:
            self._give_up(0)  # but not the newest, which says what holds now
        first, skipped = self._waiting[0], self._skipped
        body = self._body(first, skipped)
        headers = {}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, int(self._now()), body)
        try:
            await self._post(self._url.url, self._url.auth, headers, body)
        except Refused:
            self._waiting.popleft()
            self._skipped += 1
            self.given_up += 1
            raise
        self._waiting.popleft()
        self._skipped -= skipped

    def _body(self, waiting: _Waiting, skipped: int) -> bytes:
        change = waiting.change
        message = {
            "server": self._server,
            "id": waiting.id,
            "time": change.time,
            "skipped": skipped,
            "begun": change.begun,
            "ended": change.ended,
            "alerts": change.current,
            "count": len(change.current),
        }
        return ujson.dumps(message, escape_forward_slashes=False).encode()

    def as_json(self) -> Mapping[str, Any]:
        return {
            "kind": "webhook",
            **self._attempts.as_json(),
            "waiting": len(self._waiting),
            "given_up": self.given_up,
        }
