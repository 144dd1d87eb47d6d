"""The hub and its subscribers without nodes: events that are finished already go into the ring.

``python -m bench.feed --feed FILE`` prints its ports, and publishes while the number in FILE
(:mod:`bench.progress`) says that subscribers read, so far ahead of them at most.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as installed

from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.site import api_site, basic_routes
from telemetry_twisted.api.websocket.frames import event_renderer
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.admission import AdmissionRules
from telemetry_twisted.hub.figures import HubFigures
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.jip3.codec import Dialect, load_codec
from telemetry_twisted.jip3.moment import Moment
from telemetry_twisted.transport.records import CHUNK_EVENTS, Chunk, encode_runs
from telemetry_twisted.turns import Turns

from .baselines.node import now
from .progress import Progress
from .traffic import CORES, simulate

RING_EVENTS = 500_000
RING_BYTES = 256 << 20
CHUNKS_A_TURN = 10
"""As many as one read of a link to an ingestion process often holds."""


def chunks() -> Iterator[Chunk]:
    """Chunks of one node's events."""
    traffic = simulate()
    stream = load_codec("auto").open(Dialect(traffic.node_ids[0], CORES))
    data = traffic.block.data
    at, first_id = 0, 1
    moment = Moment.at(time.time(), now().encode())
    while at < len(data):
        decoded = stream.decode(data, at, CHUNK_EVENTS, first_id, 1, moment)
        count = len(decoded.types)
        runs = encode_runs([(0, count)])
        yield Chunk(first_id, count, runs, decoded.types, decoded.lengths, decoded.events)
        at = decoded.end
        first_id += count


class Feed:
    """Publishes ``chunks`` over and over, at most ``ahead`` events ahead of ``progress``."""

    def __init__(
        self,
        hub: Hub,
        reactor: IServerReactor,
        chunks: list[Chunk],
        progress: Progress,
        ahead: int,
    ) -> None:
        self._hub = hub
        self._reactor = reactor
        self._chunks = chunks
        self._progress = progress
        self._ahead = ahead
        self._next = 0
        self._published = 0

    def go_on(self) -> None:
        """Publish what may be published now, and call again."""
        read = self._progress.value
        if not read:
            self._published = 0
        if not read or self._published - read > self._ahead:
            # While nobody reads, those that are measured should have the machine.
            self._reactor.callLater(0.0005 if read else 0.02, self.go_on)
            return
        for _ in range(CHUNKS_A_TURN):
            chunk = self._chunks[self._next]
            self._next = (self._next + 1) % len(self._chunks)
            self._hub.chunk_received(chunk, chunk.first_id + chunk.count - 1)
            self._published += chunk.count
        self._hub.chunks_done()
        self._reactor.callLater(0, self.go_on)


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(prog="bench.feed", description=__doc__)
    parser.add_argument("--feed", type=Path, required=True, help="file with what has been read")
    parser.add_argument("--ahead", type=int, default=50_000, help="events to be ahead, at most")
    parser.add_argument("--ws-batch", type=int, default=100, help="events in a frame, at most")
    options = parser.parse_args()
    reactor = cast(IServerReactor, installed)
    render = event_renderer(time.time)
    errors = InternalErrors(reactor)
    ring = Ring(RING_EVENTS, RING_BYTES, render, options.ws_batch)
    hub = Hub(ring, AdmissionRules(1), reactor, time.time, errors)
    figures = HubFigures(hub, [], None, lambda: len(subscribers), lambda: subscribers.events_missed)
    turns = Turns(reactor)
    subscribers = Subscribers(hub.ring, figures, None, 5000, reactor, time.time, errors, turns)
    feed = Feed(hub, reactor, list(chunks()), Progress(options.feed), options.ahead)
    routes = basic_routes(subscribers, figures.problems)
    connections = Connections(10_000, 10_000, 10_000, reactor)
    site: Any = api_site(routes, connections, turns, reactor)
    port: Any = reactor.listenTCP(0, site, backlog=512, interface="127.0.0.1")
    print(json.dumps({"port": 0, "ws_port": port.getHost().port}), flush=True)
    subscribers.start()
    reactor.callWhenRunning(feed.go_on)
    reactor.run()


if __name__ == "__main__":
    main()
