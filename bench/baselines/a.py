"""Baseline A: asyncio, websockets, struct and ujson in one process.

The collector that a Python developer would write: each event becomes a dict, each dict one JSON
message, and each subscriber has a bounded queue and a task that sends from it.
"""

from __future__ import annotations

import asyncio
from asyncio import Queue
from collections.abc import Sequence
from typing import Any

import ujson
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.exceptions import ConnectionClosed

from .collector import (
    QUEUE_EVENTS,
    Collector,
    NodeProtocol,
    announce,
    message,
    options_of,
    serve,
)


class Client:
    """A subscriber: what waits for it, and how much it has missed since it was last told."""

    def __init__(self) -> None:
        self.queue: Queue[str] = Queue(QUEUE_EVENTS)
        self.skipped = 0
        self.lagged = 0

    def put(self, text: str) -> None:
        """Let ``text`` wait; the oldest makes room if need be."""
        if self.queue.full():
            self.queue.get_nowait()
            self.skipped += 1
        self.queue.put_nowait(text)

    async def send(self, websocket: ServerConnection) -> None:
        """Send what waits, for ever."""
        while True:
            text = await self.queue.get()
            if self.skipped:
                skipped, self.skipped = self.skipped, 0
                self.lagged += skipped
                lag = {"skipped": skipped, "lagged_total": self.lagged}
                await websocket.send(message("lagged", lag))
            await websocket.send(text)


class CollectorA(Collector[Client]):
    """Puts each message into the queue of each subscriber that wants it."""

    def encode(self, messages: list[dict[str, Any]]) -> list[str]:
        return [ujson.dumps(message, escape_forward_slashes=False) for message in messages]

    def publish(self, node_id: str, encoded: Sequence[str]) -> None:
        self.recent.extend(encoded)
        for client in (*self.everything, *self.by_node.get(node_id, ())):
            for text in encoded:
                client.put(text)

    async def attend(self, websocket: ServerConnection) -> None:
        """Serve one subscriber until it leaves."""
        client = Client()
        await websocket.send(self.greeting())
        self.subscribe(client, None)
        sending = asyncio.create_task(client.send(websocket))
        try:
            async for request in websocket:
                await websocket.send(self.answer(client, request))
        except ConnectionClosed:
            pass
        finally:
            self.unsubscribe(client)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def run() -> None:
    """Serve until the process is stopped."""
    options = options_of("a")
    collector = CollectorA()
    loop = asyncio.get_running_loop()
    nodes = await loop.create_server(
        lambda: NodeProtocol(collector), "127.0.0.1", options.port, backlog=1024
    )
    subscribers = await serve_websockets(
        collector.attend, "127.0.0.1", options.ws_port, compression=None
    )
    announce(nodes, subscribers.server)
    await serve(collector, options)


if __name__ == "__main__":
    asyncio.run(run())
