"""WebSocket subscribers in one process that count events without parsing them.

``python -m bench.subscriber --connections 100 HOST:PORT`` opens connections that subscribe to all
events; with ``--channels`` of recorded traffic, each to one of its nodes, in turn. ``--stalled``
opens as many more that never read.

It prints ``ready`` when all are subscribed, and a JSON object when it is told to stop (SIGTERM) or
``--seconds`` have passed: ``samples`` of (monotonic time, events read by all, bytes read by all),
``events`` and ``skipped`` of each connection, ``frames``, ``cpu`` seconds of its own, and with
``--latency`` the ``latency`` in microseconds from the time in an event to its reading, by percent.
With ``--events`` as well, three integers for each event are written to a file: its id, and the
times, in microseconds since the JAM Common Era, when it was sent and when it was read.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import signal
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from .load import JAM_EPOCH, cpu_seconds
from .processes import raise_file_limit
from .progress import Progress
from .traffic import Traffic
from .websocket import Buffer, SharedBuffer, Subscriber

SAMPLE_SECONDS = 0.05

SETTLE_SECONDS = 0.5
"""Latencies of this long after the first event are left out: connecting is not measured."""

_TIMESTAMP = re.compile(rb'":\{"timestamp":(\d+)')
_ID_AND_TIMESTAMP = re.compile(
    rb'"data":\{"id":(\d+),[^{]*"event":\{"\w+":\{"timestamp":(\d+)'
).findall


class Subscribers:
    """``connections`` that read and ``stalled`` ones that do not.

    Those that read want one node each of ``channels``, which are node IDs, or all if it is empty.

    :param measure: take the age of events when they are read.
    :param keep: keep what they are made of as well.
    :param every: of one event each so many bytes only, which costs less; 0 for all events.
    """

    def __init__(
        self,
        host: str,
        port: int,
        connections: int,
        channels: Sequence[str],
        stalled: int,
        measure: bool,
        keep: bool = False,
        every: int = 0,
    ) -> None:
        self.stopped = False
        self.latencies = array("q")
        self.events = array("q")
        self.samples: list[tuple[float, int, int]] = []
        self._measure_from: float | None = float("inf") if measure else None
        self._keep = keep
        self._every = every
        self._next = 0
        self._bytes = 0
        buffer = SharedBuffer() if connections > 1 and not channels else Buffer()
        self._readers = [Subscriber(host, port, buffer) for _ in range(connections)]
        self._stalled = [Subscriber(host, port, Buffer(), 4096) for _ in range(stalled)]
        for index, reader in enumerate(self._readers):
            if channels:
                name = channels[index % len(channels)]
                reader.send({"type": "Subscribe", "filter": {"type": "Nodes", "node_ids": [name]}})
                reader.await_message("subscribed")
            else:
                reader.await_message("connected")
            reader.socket.setblocking(False)

    def run(self, seconds: float, progress: Progress | None) -> None:
        """Read until told to stop, for ``seconds`` at most."""
        poller = select.epoll()
        readers = {reader.socket.fileno(): reader for reader in self._readers}
        for file in readers:
            poller.register(file, select.EPOLLIN)
        end = time.monotonic() + seconds
        sampled = 0.0
        while not self.stopped and (now := time.monotonic()) < end:
            for file, _ in poller.poll(SAMPLE_SECONDS):
                reader = readers[file]
                data = reader.read()
                self._bytes += len(data)
                if self._measure_from is not None:
                    self._take_latencies(data, now)
                if reader.closed:
                    poller.unregister(file)
            if progress:
                progress.value = 1 + min(reader.events + reader.skipped for reader in self._readers)
            if now - sampled >= SAMPLE_SECONDS:
                self._sample()
                sampled = now
        self._sample()

    def result(self) -> dict[str, Any]:
        """What was read."""
        ordered = sorted(self.latencies)
        percents = {
            str(percent): ordered[int(len(ordered) * percent / 100)]
            for percent in (50, 90, 99, 99.9)
            if ordered
        }
        return {
            "samples": self.samples,
            "events": [reader.events for reader in self._readers],
            "skipped": [reader.skipped for reader in self._readers],
            "closed": sum(reader.closed for reader in self._readers),
            "frames": sum(reader.frames for reader in self._readers),
            "bytes": self._bytes,
            "latency": percents,
            "cpu": cpu_seconds(),
        }

    def _sample(self) -> None:
        events = sum(reader.events for reader in self._readers)
        self.samples.append((time.monotonic(), events, self._bytes))

    def _take_latencies(self, data: memoryview, now: float) -> None:
        read = time.time_ns() // 1000 - JAM_EPOCH
        stamps = list(self._some_of(data)) if self._every else _TIMESTAMP.findall(data)
        if stamps and self._measure_from == float("inf"):
            self._measure_from = now + SETTLE_SECONDS
        if self._measure_from is not None and now >= self._measure_from:
            self.latencies.extend(read - int(stamp) for stamp in stamps)
            if self._keep:
                for id, stamp in _ID_AND_TIMESTAMP(data):
                    self.events.extend((int(id), int(stamp), read))

    def _some_of(self, data: memoryview) -> Iterator[bytes]:
        """The times in the events that come next after each so many bytes of all that is read."""
        while self._next < len(data):
            found = _TIMESTAMP.search(data, self._next)
            if found is not None:
                yield found[1]
            self._next += self._every
        self._next -= len(data)


def main() -> None:
    """Run the subscribers that the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench.subscriber", description=__doc__)
    parser.add_argument("target", metavar="HOST:PORT", help="the server's API")
    parser.add_argument("--connections", type=int, default=1, help="that read (default 1)")
    parser.add_argument(
        "--channels", type=Path, help="recorded traffic whose nodes to subscribe to"
    )
    parser.add_argument("--stalled", type=int, default=0, help="more that never read")
    parser.add_argument("--latency", action="store_true", help="measure the age of events")
    parser.add_argument(
        "--every", type=int, default=0, help="measure an event each so many bytes, not all"
    )
    parser.add_argument(
        "--events", type=Path, help="file for the id, time of sending and of reading of each event"
    )
    parser.add_argument("--progress", type=Path, help="file to keep what all have read in")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long at most")
    options = parser.parse_args()
    host, _, port = options.target.rpartition(":")
    raise_file_limit()
    channels = Traffic.load(options.channels).node_ids if options.channels else ()
    subscribers = Subscribers(
        host,
        int(port),
        options.connections,
        channels,
        options.stalled,
        options.latency,
        options.events is not None,
        options.every,
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        subscribers.stopped = True

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    subscribers.run(options.seconds, Progress(options.progress) if options.progress else None)
    if options.events:
        options.events.write_bytes(subscribers.events.tobytes())
    print(json.dumps(subscribers.result()), flush=True)


if __name__ == "__main__":
    main()
