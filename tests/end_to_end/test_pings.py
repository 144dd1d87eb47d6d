"""Pings under load: the stream stays one of whole frames, for as long as it lasts.

Stock clients ping, and so does the server. What either says stands between the frames of events,
never within one, however fast those come and however often the socket is full.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from ssl import SSLContext
from threading import Event, Thread
from typing import TYPE_CHECKING

from telemetry_twisted.testing import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameParser,
    ReceivedFrame,
    client_frame,
)
from tests.certificates import make_root
from tests.end_to_end.conftest import DEADLINE, HOST, Server, best_block, twistd

if TYPE_CHECKING:
    from tests.end_to_end.conftest import StartProcess, StartServer

NODES = 4
SECONDS = 60.0
SECONDS_OVER_TLS = 20.0
"""How long it lasts; without one writer to a socket, such a stream broke after 0.4 to 15 s."""

PING_EVERY = 20
"""Frames from one ping to the next."""

HANDSHAKE = (
    b"GET /api/ws HTTP/1.1\r\nHost: %b:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
)
REQUESTS = (
    {"type": "Ping"},
    {"type": "Subscribe", "filter": {"type": "EventType", "event_type": 11}},
    {"type": "Unsubscribe"},
)


@contextmanager
def flood(server: Server, node_ids: list[str]) -> Iterator[None]:
    """Several nodes send as fast as they can."""
    done = Event()
    events = b"".join(map(best_block, range(2000)))

    def send(node_id: str) -> None:
        node = server.connect_node(node_id)
        with suppress(ConnectionError):
            while not done.is_set():
                node.send(events)
        node.close()

    senders = [Thread(target=send, args=(node_id,)) for node_id in node_ids]
    for sender in senders:
        sender.start()
    try:
        yield
    finally:
        done.set()
        for sender in senders:
            sender.join(DEADLINE)


class RawClient(Thread):
    """Checks each byte that it is sent, by the letter, and pings and asks meanwhile.

    ``frames`` counts frames by opcode, ``pings`` its own pings; ``failure`` is what went wrong.
    """

    def __init__(self, server: Server, seconds: float, tls: SSLContext | None) -> None:
        super().__init__()
        self.frames = dict.fromkeys((TEXT, PING, PONG, CLOSE), 0)
        self.pings = 0
        self.last_pong = -1
        self.failure: BaseException | None = None
        self._seconds = seconds
        self._port = server.ports["api"]
        plain = server.connect_socket("api")
        self._socket: socket.socket = plain
        if tls is not None:
            self._socket = tls.wrap_socket(plain, server_hostname=HOST)
        self._parser = FrameParser()

    def run(self) -> None:
        try:
            self._stream()
        except BaseException as error:
            self.failure = error
        finally:
            self._socket.close()

    def _stream(self) -> None:
        self._socket.sendall(HANDSHAKE % (HOST.encode(), self._port))
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._socket.recv(1 << 16)
        head, _, data = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            self._take(data)
            data = self._receive()
        self._take(data)
        self._ping()
        while self.last_pong < self.pings - 1:
            self._take(self._receive())
        self._socket.sendall(client_frame(CLOSE, b"\x03\xe8"))
        while not self._parser.closed:
            self._take(self._receive())

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        assert data, "the server has closed the connection"
        return data

    def _take(self, data: bytes) -> None:
        for frame in self._parser.feed(data):
            self._count(frame)

    def _count(self, frame: ReceivedFrame) -> None:
        self.frames[frame.opcode] += 1
        if frame.opcode == PING:
            self._socket.sendall(client_frame(PONG, frame.payload))
        elif frame.opcode == PONG:
            number = int(frame.payload)
            assert self.last_pong < number < self.pings
            self.last_pong = number
        elif self.frames[TEXT] % PING_EVERY == 0:
            self._ping()
            if self.frames[TEXT] % 400 == 0:
                request = REQUESTS[self.pings % len(REQUESTS)]
                self._socket.sendall(client_frame(TEXT, json.dumps(request).encode()))

    def _ping(self) -> None:
        self._socket.sendall(client_frame(PING, b"%d" % self.pings))
        self.pings += 1


def stay_whole(
    server: Server, node_ids: list[str], seconds: float, tls: SSLContext | None = None
) -> None:
    """Two clients, a stock one and a strict one, read a flood to the end and find no fault."""
    frames = 0
    with server.subscriber(tls=tls, max_queue=64) as stock:
        with flood(server, node_ids):
            raw = RawClient(server, seconds, tls)
            raw.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                stock.receive()
                stock.events.clear()
                stock.by_node.clear()
                frames += 1
                if frames % PING_EVERY == 0:
                    answered = stock.connection.ping()
        # With a limit to what it reads ahead, it cannot be closed while there is more for it.
        stock.subscribe(type="Nodes", node_ids=["ff" * 32])
        assert answered.is_set()
    raw.join(DEADLINE)
    assert not raw.is_alive()
    if raw.failure is not None:
        raise raw.failure
    assert frames > 100
    assert raw.frames[TEXT] > 100
    assert raw.frames[PONG] > 0
    assert raw.frames[CLOSE] == 1


def test_the_stream_stays_whole_while_clients_ping(
    start_server: StartServer, node_ids: list[str]
) -> None:
    server = start_server("--ping-seconds", "1")
    stay_whole(server, node_ids[:NODES], SECONDS)


def test_the_stream_stays_whole_over_tls(
    start_process: StartProcess, node_ids: list[str], tmp_path: Path
) -> None:
    root = make_root()
    root.issue("telemetry").write(tmp_path)
    endpoint = f"ssl:0:privateKey={tmp_path}/key.pem:certKey={tmp_path}/cert.pem:interface={HOST}"
    command = twistd("--ping-seconds", "1", "--api-endpoint", endpoint)
    server = start_process(*command).await_listening()
    stay_whole(server, node_ids[:NODES], SECONDS_OVER_TLS, root.trusted())
