"""Answers Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from twisted.web.iweb import IRequest

from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.clock import Now
from telemetry_twisted.turns import Turns

from .connections import ConnectionsCollector
from .networks import NetworksCollector
from .nodes import NodesAsked, node_families
from .server import ServerCollector

END = b"# EOF\n"
"""The last line of OpenMetrics."""


class Exposition:
    """Answers with the figures of ``live``, those of this process, and those of ``nodes``.

    :param now: tells Unix time.
    :param turns: in which the series of nodes are written, for there may be many thousands.
    """

    def __init__(
        self, live: Gauges, connections: Connections, nodes: NodesAsked, now: Now, turns: Turns
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(ServerCollector(live))
        self._registry.register(NetworksCollector(live, now))
        self._registry.register(ConnectionsCollector(connections))
        ProcessCollector(registry=self._registry)
        self._nodes = nodes
        self._now = now
        self._turns = turns

    async def answer(self, request: IRequest) -> bytes:
        """The figures, in the format that the scraper asks for."""
        accept = request.requestHeaders.getRawHeaders("accept", [""])
        encode, content_type = choose_encoder(",".join(accept))
        request.setHeader(b"content-type", content_type.encode())
        exposed: bytes = encode(self._registry)
        end = END if exposed.endswith(END) else b""
        families = node_families(self._nodes(), self._now(), self._turns, bool(end))
        parts = [part async for part in families]
        await self._turns.taken()
        return b"".join((exposed.removesuffix(end), *parts, end))
