"""What the connection of a node passes before the node table sees it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from telemetry_twisted.bucket import Bucket
from telemetry_twisted.networks import share_of

from .allowed import AllowedNodes
from .nodes import NodeTable, Server, Watcher

TURN_SECONDS = 0.05
"""How often those that wait for their turn to be introduced are looked at, at the most."""


@frozen
class AdmissionRules:
    """Who may connect, and how many.

    ``max_nodes`` may be connected at once; ``per_address`` bounds the connections of an address (an
    IPv6 network of 64 bits counts as one), ``introductions`` how many nodes introduce themselves in
    a second; ``allowed`` are the IDs of those that may, None for all; ``takeover_any`` is as
    :class:`~.nodes.NodeTable` has it.
    """

    max_nodes: int
    per_address: int = 2048
    introductions: int = 1024
    allowed: AllowedNodes | None = None
    takeover_any: bool = False


class _Introduction(NamedTuple):
    node_id: str
    address: str
    info: dict[str, Any]


class Admission:
    """Counts the connections of each address, and lets nodes introduce themselves in turn.

    What it remembers is of connections that are open, of which there is a bound
    (:class:`~.permits.Permits`). Introductions above the rate wait, in order, and none is dropped.

    :param watcher: told of nodes that may not connect.
    """

    def __init__(
        self, nodes: NodeTable, rules: AdmissionRules, watcher: Watcher, clock: IReactorTime
    ) -> None:
        self._nodes = nodes
        self._rules = rules
        self._watcher = watcher
        self._clock = clock
        self._shares: dict[Server, dict[int, str]] = {}
        self._counts: Counter[str] = Counter()
        self._refused: set[tuple[Server, int]] = set()
        self._waiting: dict[tuple[Server, int], _Introduction] = {}
        self._bucket = Bucket(rules.introductions, rules.introductions, clock)
        self._turn: IDelayedCall | None = None

    def connection_accepted(self, server: Server, connection: int, host: str) -> None:
        """A connection from ``host`` has begun."""
        share = share_of(host)
        self._shares.setdefault(server, {})[connection] = share
        self._counts[share] += 1
        if self._counts[share] > self._rules.per_address:
            self._refused.add((server, connection))
            reason = (
                f"{self._rules.per_address} connections from {share} are open, as many as "
                "--node-connections-per-address allows"
            )
            server.dismiss(connection, "address_limit", reason)

    def introduced(
        self, server: Server, connection: int, node_id: str, address: str, info: dict[str, Any]
    ) -> None:
        """A connection has introduced itself."""
        if (server, connection) in self._refused:
            return  # It said so before it learned that it may not stay.
        if self._may(node_id):
            self._waiting[server, connection] = _Introduction(node_id, address, info)
            self._take_turns()
        else:
            self._refuse(server, connection, node_id, address)

    def _may(self, node_id: str) -> bool:
        return self._rules.allowed is None or node_id in self._rules.allowed

    def _refuse(self, server: Server, connection: int, node_id: str, address: str) -> None:
        reason = f"its ID, which came from {address}, is not in the list of --allow-nodes"
        server.dismiss(connection, "node_not_allowed", reason)
        self._watcher.node_refused(node_id, reason)

    def _take_turns(self) -> None:
        try:
            while self._waiting and self._bucket.tokens >= 1:
                self._bucket.take(1)
                server, connection = key = next(iter(self._waiting))
                self._nodes.apply(server, connection, *self._waiting.pop(key))
        finally:
            # Whatever goes wrong with one, the others have their turn.
            if self._waiting and self._turn is None:
                delay = max(TURN_SECONDS, self._bucket.seconds_until(1))
                self._turn = self._clock.callLater(delay, self._next_turn)

    def _next_turn(self) -> None:
        self._turn = None
        self._take_turns()

    def allowed_changed(self) -> None:
        """Dismiss the nodes that may not connect any more."""
        for node in list(self._nodes):
            if not self._may(node.node_id):
                self._refuse(node.server, node.connection, node.node_id, node.address)

    def ended(self, server: Server, connection: int, kind: str, reason: str) -> None:
        """A connection has ended, whatever state it was in."""
        share = self._shares.get(server, {}).pop(connection, None)
        if share is not None:
            self._forget(share)
        self._waiting.pop((server, connection), None)
        self._refused.discard((server, connection))
        self._nodes.ended(server, connection, kind, reason)

    def server_lost(self, server: Server) -> None:
        """All connections of an ingestion process have ended with it."""
        for share in self._shares.pop(server, {}).values():
            self._forget(share)
        for holder, connection in list(self._waiting):
            if holder is server:
                del self._waiting[holder, connection]
        self._refused = {key for key in self._refused if key[0] is not server}
        self._nodes.server_lost(server)

    def _forget(self, share: str) -> None:
        self._counts[share] -= 1
        if not self._counts[share]:
            del self._counts[share]
