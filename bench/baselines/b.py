"""Baseline B: the collector of baseline A with uvloop, orjson and picows, and in batches.

What arrives in one turn of the loop goes out in frames of up to 100 events, which are built once
for all subscribers that want the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from .collector import (
    QUEUE_EVENTS,
    Collector,
    NodeProtocol,
    announce,
    message,
    options_of,
    serve,
)
from .node import now

BATCH = 100

Frame = tuple[int, bytes]
"""The number of events, and the payload."""


class Client(WSListener):
    """A subscriber, with the frames that wait while its transport takes no more."""

    transport: WSTransport

    def __init__(self, collector: CollectorB) -> None:
        self._collector = collector
        self._waiting: deque[Frame] = deque()
        self._events = 0
        self._paused = False
        self._skipped = 0
        self._lagged = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self._send(self._collector.greeting().encode())
        self._collector.subscribe(self, None)

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            answer = self._collector.answer(self, frame.get_payload_as_bytes())
            self._send(answer.encode())
        elif frame.msg_type == WSMsgType.CLOSE:
            self.transport.disconnect()

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self._collector.unsubscribe(self)
        self._waiting.clear()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._drain()

    def take(self, frames: list[Frame]) -> None:
        """Send ``frames`` now or when there is room; the oldest make room if need be."""
        self._waiting.extend(frames)
        self._events += sum(events for events, _ in frames)
        while self._events > QUEUE_EVENTS:
            events, _ = self._waiting.popleft()
            self._events -= events
            self._skipped += events
        self._drain()

    def _drain(self) -> None:
        if self._skipped and not self._paused:
            skipped, self._skipped = self._skipped, 0
            self._lagged += skipped
            lag = {"skipped": skipped, "lagged_total": self._lagged}
            self._send(message("lagged", lag).encode())
        while self._waiting and not self._paused:
            events, payload = self._waiting.popleft()
            self._events -= events
            self._send(payload)

    def _send(self, payload: bytes) -> None:
        self.transport.send(WSMsgType.TEXT, payload)


class CollectorB(Collector[Client]):
    """Gathers what arrives in a turn of the loop and sends it in frames."""

    def __init__(self) -> None:
        super().__init__()
        self._pending: list[bytes] = []
        self._pending_of: dict[str, list[bytes]] = {}
        self._due = False

    def encode(self, messages: list[dict[str, Any]]) -> list[bytes]:
        return list(map(orjson.dumps, messages))

    def publish(self, node_id: str, encoded: Sequence[bytes]) -> None:
        self.recent.extend(encoded)
        if self.everything:
            self._pending += encoded
        if node_id in self.by_node:
            self._pending_of.setdefault(node_id, []).extend(encoded)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        pending, self._pending = self._pending, []
        pending_of, self._pending_of = self._pending_of, {}
        if pending:
            frames = list(_frames(pending))
            for client in self.everything:
                client.take(frames)
        for node_id, events in pending_of.items():
            frames = list(_frames(events))
            for client in self.by_node.get(node_id, ()):
                client.take(frames)


def _frames(events: list[bytes]) -> Iterator[Frame]:
    head, tail = b'{"type":"batch","data":[', b'],"timestamp":"%s"}' % now().encode()
    for begin in range(0, len(events), BATCH):
        part = events[begin : begin + BATCH]
        yield len(part), part[0] if len(part) == 1 else head + b",".join(part) + tail


async def run() -> None:
    """Serve until the process is stopped."""
    options = options_of("b")
    collector = CollectorB()
    loop = asyncio.get_running_loop()
    nodes = await loop.create_server(
        lambda: NodeProtocol(collector), "127.0.0.1", options.port, backlog=1024
    )
    subscribers = await ws_create_server(
        lambda _request: Client(collector), "127.0.0.1", options.ws_port
    )
    announce(nodes, subscribers)
    await serve(collector, options)


if __name__ == "__main__":
    uvloop.run(run())
