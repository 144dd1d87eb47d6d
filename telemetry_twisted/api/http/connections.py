"""How many connections there may be, in all and for each client."""

from __future__ import annotations

from collections import Counter

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from telemetry_twisted.api.access.proxies import UNIX
from telemetry_twisted.quiet import QuietLog

CONNECTIONS, DESCRIPTORS, CLIENT = KINDS = ("connections", "descriptors", "client")
"""What there are too many of when a connection is not let in: connections in all, open files of
the process, or connections of one client."""


class Connections:
    """Counts connections to the API, WebSocket ones included.

    A connection counts as one of the client's that its last request came from, as limits see it;
    before its first request, of whoever is connected. So a proxy that is trusted has as many
    connections as its clients may have. ``open`` is their number, ``refused`` counts those that
    were not let in, by one of :data:`KINDS`.

    :param most: connections at most, as ``--api-connections`` says.
    :param most_of_one: those of one client, as ``--api-connections-per-client`` says.
    :param descriptors: those that the process can have and keep what it needs itself.
    """

    _log = Logger()

    def __init__(self, most: int, most_of_one: int, descriptors: int, clock: IReactorTime) -> None:
        self.open = 0
        self.refused: Counter[str] = Counter()
        self._most = most
        self._most_of_one = most_of_one
        self._descriptors = descriptors
        self._of: Counter[str] = Counter()
        self._quiet = QuietLog(self._log, clock)

    def enter(self, client: str) -> str | None:
        """Count a connection of ``client`` in; why not, if it is not let in."""
        if self.open >= self._most:
            return self._refuse(
                CONNECTIONS,
                f"{self._most} connections are open, as many as --api-connections allows",
            )
        if self.open >= self._descriptors:
            return self._refuse(
                DESCRIPTORS,
                f"{self.open} connections are open, as many as the limit of open files leaves "
                "room for; raise it (ulimit -n, LimitNOFILE)",
            )
        refusal = self._join(client)
        if refusal is None:
            self.open += 1
        return refusal

    def move(self, before: str, client: str) -> str | None:
        """Count a connection as one of ``client`` from now on; why not, if it has too many.

        It is then still one of ``before``.
        """
        if before == client:
            return None
        refusal = self._join(client)
        if refusal is None:
            self._leave(before)
        return refusal

    def leave(self, client: str) -> None:
        """Count a connection of ``client`` out."""
        self.open -= 1
        self._leave(client)

    def _join(self, client: str) -> str | None:
        if client != UNIX and self._of[client] >= self._most_of_one:
            return self._refuse(
                CLIENT,
                f"{client} has {self._most_of_one} connections, as many as "
                "--api-connections-per-client allows",
            )
        self._of[client] += 1
        return None

    def _leave(self, client: str) -> None:
        self._of[client] -= 1
        if not self._of[client]:
            del self._of[client]

    def _refuse(self, kind: str, why: str) -> str:
        self.refused[kind] += 1
        self._quiet.warn("a connection to the API was refused: {why}", why=why)
        return why
