"""What the two baselines share: the command line, subscriptions, and node connections."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from bench.progress import Progress
from bench.traffic import simulate

from .decode import DecodeError
from .node import NodeReader, now

RECENT_EVENTS = 10_000
"""Events kept for those who ask for recent ones."""

QUEUE_EVENTS = 200_000
"""Events that wait for one subscriber; above it the oldest are dropped and it is told."""


PARTS_A_TURN = 10
"""How often up to 100 made-up events are published in a turn of the loop."""

C = TypeVar("C")
"""A subscriber, as a baseline has it."""


class Collector(Generic[C]):
    """The events of all nodes on their way to the subscribers that want them."""

    def __init__(self) -> None:
        self.ids = count(1)
        self.nodes: set[str] = set()
        self.recent: deque[str | bytes] = deque(maxlen=RECENT_EVENTS)
        self.total = 0
        self.skipped = 0
        self.everything: set[C] = set()
        self.by_node: dict[str, set[C]] = {}

    def encode(self, messages: list[dict[str, Any]]) -> Sequence[Any]:
        """The messages as JSON."""
        raise NotImplementedError

    def publish(self, node_id: str, encoded: Sequence[Any]) -> None:
        """Pass on messages of one node."""
        raise NotImplementedError

    def subscribe(self, client: C, nodes: Iterable[str] | None) -> None:
        """``client`` wants the events of ``nodes``, or all."""
        self.unsubscribe(client)
        if nodes is None:
            self.everything.add(client)
        else:
            for node in nodes:
                self.by_node.setdefault(node, set()).add(client)

    def unsubscribe(self, client: C) -> None:
        """``client`` wants nothing more."""
        self.everything.discard(client)
        for node, clients in list(self.by_node.items()):
            clients.discard(client)
            if not clients:
                del self.by_node[node]

    def greeting(self) -> str:
        """The ``connected`` message."""
        stats = {
            "total_events_broadcast": self.total,
            "active_subscribers": len(self.everything),
            "node_channels": len(self.by_node),
            "events_in_buffer": len(self.recent),
            "dropped_events": self.skipped,
            "undelivered_events": 0,
        }
        return message(
            "connected",
            {
                "message": "Connected",
                "recent_events": len(self.recent),
                "total_nodes": len(self.nodes),
                "broadcaster_stats": stats,
                "recent_event_samples": [],
            },
        )

    def answer(self, client: C, text: str | bytes) -> str:
        """What a message of ``client`` does, and the reply."""
        request = json.loads(text)
        match request:
            case {"type": "Subscribe", "filter": {"type": "All"}}:
                self.subscribe(client, None)
            case {"type": "Subscribe", "filter": {"type": "Nodes", "node_ids": [*nodes]}}:
                self.subscribe(client, nodes)
            case _:
                return message("error", {"message": "Subscribe to All or to Nodes"})
        return message("subscribed", {"filter": request["filter"]})


class NodeProtocol(asyncio.Protocol, Generic[C]):
    """A node's connection."""

    transport: asyncio.Transport

    def __init__(self, collector: Collector[C]) -> None:
        self._collector = collector
        self._reader = NodeReader(collector.ids)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        reader, collector = self._reader, self._collector
        try:
            messages = reader.feed(data)
        except DecodeError:
            self.transport.close()
            return
        if reader.node_id:
            collector.nodes.add(reader.node_id)
        if messages:
            collector.total += len(messages)
            collector.publish(reader.node_id, collector.encode(messages))

    def connection_lost(self, _error: Exception | None) -> None:
        self._collector.nodes.discard(self._reader.node_id)


def message(kind: str, data: dict[str, Any]) -> str:
    """A message of the server that is not of events."""
    return json.dumps({"type": kind, "data": data, "timestamp": now()})


def options_of(name: str) -> argparse.Namespace:
    """The command line of a baseline."""
    parser = argparse.ArgumentParser(prog=f"bench.baselines.{name}")
    parser.add_argument("--port", type=int, default=0, help="where nodes connect")
    parser.add_argument("--ws-port", type=int, default=0, help="where subscribers connect")
    parser.add_argument("--feed", type=Path, help="publish made-up events as fast as this is read")
    parser.add_argument("--ahead", type=int, default=50_000, help="events to be ahead, at most")
    return parser.parse_args()


def announce(nodes: asyncio.Server, subscribers: asyncio.Server) -> None:
    """Print the ports."""
    port, ws_port = (server.sockets[0].getsockname()[1] for server in (nodes, subscribers))
    print(json.dumps({"port": port, "ws_port": ws_port}), flush=True)


async def serve(collector: Collector[C], options: argparse.Namespace) -> None:
    """Publish made-up events if that is asked for; never returns."""
    if options.feed is None:
        await asyncio.Event().wait()
    await feed(collector, Progress(options.feed), options.ahead)


async def feed(collector: Collector[C], progress: Progress, ahead: int) -> None:
    """Publish events that are encoded already, ``ahead`` of the slowest subscriber at most."""
    traffic = simulate()
    events = NodeReader(collector.ids).feed(traffic.informations[0] + traffic.block.data)
    encoded = collector.encode(events)
    forever = cycle([encoded[begin : begin + 100] for begin in range(0, len(encoded), 100)])
    name = traffic.node_ids[0]
    published = 0
    while True:
        if not (read := progress.value):
            published = 0
        if not read or published - read > ahead:
            await asyncio.sleep(0.0005 if read else 0.02)
            continue
        for part in islice(forever, PARTS_A_TURN):
            collector.total += len(part)
            collector.publish(name, part)
            published += len(part)
        await asyncio.sleep(0)
