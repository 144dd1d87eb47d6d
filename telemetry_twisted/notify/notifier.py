"""All receivers of alerts, as one service."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService

from telemetry_twisted.clock import Now
from telemetry_twisted.errors import InternalErrors

from .address import ReceiverUrl
from .alertmanager import Alertmanager
from .attempts import PLACE
from .change import Change, Receiver
from .posting import HttpPost, Post
from .webhook import Webhook


@frozen
class Receivers:
    """Where alerts go: to ``webhooks``, signed with ``secret`` if there is one, and to
    ``alertmanagers``. ``server`` is what this server is called there."""

    webhooks: Sequence[ReceiverUrl]
    secret: bytes | None
    alertmanagers: Sequence[ReceiverUrl]
    server: str


class Notifier(MultiService):
    """Tells each receiver, whatever becomes of the others."""

    def __init__(
        self, receivers: Receivers, post: Post, clock: Any, now: Now, errors: InternalErrors
    ) -> None:
        super().__init__()
        self.setName("notifier")
        self._errors = errors
        webhooks = [
            Webhook(url, receivers.server, receivers.secret, post, clock, now, errors)
            for url in receivers.webhooks
        ]
        alertmanagers = [
            Alertmanager(url, receivers.server, post, clock, now, errors)
            for url in receivers.alertmanagers
        ]
        self._receivers: list[Receiver] = [*webhooks, *alertmanagers]
        for service in (*webhooks, *alertmanagers):
            service.setServiceParent(self)

    @classmethod
    def over(cls, receivers: Receivers, reactor: Any, now: Now, errors: InternalErrors) -> Notifier:
        """One that uses the network."""
        return cls(receivers, HttpPost.over(reactor), reactor, now, errors)

    def alerts_changed(self, change: Change) -> None:
        """Have all told of ``change``."""
        for receiver in self._receivers:
            with self._errors.kept_at(PLACE):
                receiver.alerts_changed(change)

    def as_json(self) -> list[Mapping[str, Any]]:
        """How each receiver fares (:meth:`.Receiver.as_json`)."""
        return [receiver.as_json() for receiver in self._receivers]


def server_name(public: Sequence[object]) -> str:
    """What this server is called: its first public URL, or else the host's name."""
    return str(public[0]) if public else socket.gethostname()
