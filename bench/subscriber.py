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
import base64
import json
import os
import re
import select
import signal
import socket
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

EVENT = b'{"type":"event","data":{"id":'
"""Begins each event message, alone or in a batch, and cannot stand inside of one."""

READ_BYTES = 1 << 20
SAMPLE_SECONDS = 0.05

SETTLE_SECONDS = 0.5
"""Latencies of this long after the first event are left out: connecting is not measured."""

_KIND = len(b'{"type":"')
_EVENT_KINDS = b"eb"
_TIMESTAMP = re.compile(rb'":\{"timestamp":(\d+)')
_ID_AND_TIMESTAMP = re.compile(rb'"data":\{"id":(\d+).{20,240}?":\{"timestamp":(\d+)').findall
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class Subscriber:
    """One connection: ``events`` read, ``skipped`` as told by ``lagged``, ``frames`` read."""

    def __init__(self, host: str, port: int, receive_buffer: int | None = None) -> None:
        self.events = 0
        self.skipped = 0
        self.frames = 0
        self.messages: list[dict[str, Any]] = []
        self.closed = False
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((host, port))
        self._rest = b""
        self._take_bytes(self._handshake(f"{host}:{port}"))

    def _handshake(self, host: str) -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /api/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            if not (data := self.socket.recv(65536)):
                raise ConnectionError("the server closed the connection during the handshake")
            answer += data
        head, _, rest = answer.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(head.decode())
        return rest

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to the server."""
        self._send_frame(_TEXT, json.dumps(message).encode())

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        no_mask = bytes(4)
        self.socket.sendall(bytes([0x80 | opcode]) + length + no_mask + payload)

    def await_message(self, kind: str) -> dict[str, Any]:
        """The next message of type ``kind`` that is not of events; counts what comes before."""
        while True:
            for message in self.messages:
                if message["type"] == kind:
                    self.messages.remove(message)
                    return message
            self.read()
            if self.closed:
                raise ConnectionError(f"closed before {kind}")

    def read(self) -> bytes:
        """Take one read of the socket; return it up to the end of the last whole frame."""
        try:
            received = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionError:
            received = b""
        self.closed = not received
        return self._take_bytes(received)

    def _take_bytes(self, received: bytes) -> bytes:
        data = self._rest + received if self._rest else received
        begin, size = 0, len(data)
        while begin + 2 <= size:
            length = data[begin + 1]
            payload = begin + 2
            if length == 126:
                payload += 2
                length = int.from_bytes(data[begin + 2 : payload], "big")
            elif length == 127:
                payload += 8
                length = int.from_bytes(data[begin + 2 : payload], "big")
            end = payload + length
            if end > size or payload > size:
                break
            self.frames += 1
            if data[begin] != 0x80 | _TEXT:
                self._control(data[begin] & 0x0F, data[payload:end])
            elif data[payload + _KIND] not in _EVENT_KINDS:
                self._take(json.loads(data[payload:end]))
            begin = end
        self.events += data.count(EVENT, 0, begin)
        self._rest = data[begin:]
        return data[:begin] if begin < size else data

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._send_frame(_PONG, payload)
        elif opcode == _CLOSE:
            self.closed = True

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "lagged":
            self.skipped += message["data"]["skipped"]
        elif message["type"] != "stats":
            self.messages.append(message)


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
        self._readers = [Subscriber(host, port) for _ in range(connections)]
        self._stalled = [Subscriber(host, port, receive_buffer=4096) for _ in range(stalled)]
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

    def _take_latencies(self, data: bytes, now: float) -> None:
        read = time.time_ns() // 1000 - JAM_EPOCH
        stamps = list(self._some_of(data)) if self._every else _TIMESTAMP.findall(data)
        if stamps and self._measure_from == float("inf"):
            self._measure_from = now + SETTLE_SECONDS
        if self._measure_from is not None and now >= self._measure_from:
            self.latencies.extend(read - int(stamp) for stamp in stamps)
            if self._keep:
                for id, stamp in _ID_AND_TIMESTAMP(data):
                    self.events.extend((int(id), int(stamp), read))

    def _some_of(self, data: bytes) -> Iterator[bytes]:
        """The times in the events that come next after each so many bytes of all that is read."""
        while self._next < len(data):
            found = _TIMESTAMP.search(data, self._next)
            if found is not None:
                yield found[1]
            self._next += self._every
        self._next -= len(data)


def greeting(host: str, port: int) -> dict[str, Any]:
    """The data of the ``connected`` message that a new subscriber gets."""
    subscriber = Subscriber(host, port)
    data: dict[str, Any] = subscriber.await_message("connected")["data"]
    subscriber.socket.close()
    return data


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
