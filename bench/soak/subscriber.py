"""A subscriber that believes nothing: it checks every frame, event and count that it is sent."""

from __future__ import annotations

import base64
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, cast

import ujson
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

from telemetry_twisted.testing import FrameParser, ProtocolViolation, client_frame

from .account import Account, read_mark

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10

Filter = Mapping[str, Any]

ALL: Filter = {"type": "All"}


class Subscriber(Protocol):
    """One connection to ``/api/ws``.

    ``received`` and ``skipped`` count its events, and those that it was told to have missed, since
    it was greeted; ``seen`` tells for each connection of a node which event is due. ``whole`` says
    whether it should have them all.
    """

    def __init__(
        self,
        account: Account,
        random: Random,
        gone: Callable[[Subscriber], None],
        first: Filter = ALL,
    ) -> None:
        self.received = 0
        self.skipped = 0
        self.seen: dict[int, int] = {}
        self.whole = True
        self.greeting: dict[str, Any] | None = None
        self.pending: deque[tuple[str, Filter]] = deque()
        self.filter = ALL
        self._account = account
        self._random = random
        self._gone = gone
        self._first = first
        self._head = b""
        self._parser: FrameParser | None = None
        self._pings: deque[bytes] = deque(maxlen=1000)
        self._ids: dict[int, int] = {}
        self._holes: set[int] | None = None
        self._closing = False
        self._came_at = 0

    @property
    def _transport(self) -> Connection:
        return cast(Connection, self.transport)

    def connectionMade(self) -> None:
        self._transport.setTcpNoDelay(True)
        key = base64.b64encode(os.urandom(16)).decode()
        self._transport.write(
            "GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    # What it sends

    def _send(self, opcode: int, payload: bytes) -> None:
        self._transport.write(client_frame(opcode, payload))

    def ping(self) -> None:
        """Send a ping, whose pong has to come."""
        payload = self._random.randbytes(self._random.randint(0, 125))
        self._pings.append(payload)
        self._send(_PING, payload)
        self._account.done["pings"] += 1

    def ask(self) -> None:
        """Ask for the counters, which have to be the same as here."""
        self.pending.append(("pong", ALL))
        self._send(_TEXT, b'{"type":"Ping"}')

    def subscribe(self, filter: Filter) -> None:
        """Ask for another filter; its events count from the reply on."""
        self.pending.append(("subscribed", filter))
        self._send(_TEXT, ujson.dumps({"type": "Subscribe", "filter": filter}).encode())
        self._account.done["subscriptions"] += 1

    def stall(self) -> None:
        """Read no more."""
        self._transport.pauseProducing()

    def read_on(self) -> None:
        """Read again."""
        if self.transport is not None and not self._closing:
            self._transport.resumeProducing()

    def close(self) -> None:
        """Begin the closing handshake; the server has to answer it."""
        self._closing = True
        self._transport.resumeProducing()
        self._send(_CLOSE, struct.pack("!H", 1000))

    def abort(self) -> None:
        """Close the connection without a word."""
        self._closing = True
        self._transport.abortConnection()

    @property
    def is_closing(self) -> bool:
        """Whether it has begun to end the connection."""
        return self._closing

    @property
    def settled(self) -> bool:
        """Whether all replies have come that were asked for."""
        return self.greeting is not None and not self.pending and not self._pings

    def forget(self, connections: Iterable[int]) -> None:
        """Nothing more will come of some connections of nodes."""
        for number in connections:
            self.seen.pop(number, None)
            self._ids.pop(number, None)

    # What it receives

    def dataReceived(self, data: bytes) -> None:
        if self._parser is None:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._wrong(f"the upgrade was answered with {head[:60]!r}")
                self._transport.abortConnection()
                return
            self._parser = FrameParser()
        try:
            for frame in self._parser.feed(data):
                self._take(frame.opcode, frame.payload)
        except (ProtocolViolation, KeyError, ValueError, struct.error) as error:
            self._wrong(f"broken stream: {error!r}")
            self._transport.abortConnection()

    def _wrong(self, what: str) -> None:
        self._account.wrong(f"subscriber to {str(dict(self.filter))[:60]}: {what}")

    def _take(self, opcode: int, payload: bytes) -> None:
        self._account.done["frames"] += 1
        if opcode == _TEXT:
            self._message(ujson.loads(payload))
        elif opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _PONG:
            if payload not in self._pings:
                self._wrong("a pong that nobody asked for")
            # A pong answers all pings before it too (RFC 6455, 5.5.3).
            while self._pings and self._pings.popleft() != payload:
                pass
        elif opcode == _CLOSE:
            (code,) = struct.unpack_from("!H", payload) if payload else (0,)
            if code != (1000 if self._closing else 1001):
                self._wrong(f"closed with {code} {payload[2:]!r}")
            if not self._closing:
                self._closing = True
                self._send(_CLOSE, payload)

    def _message(self, message: Mapping[str, Any]) -> None:
        kind, data = message["type"], message["data"]
        if kind == "event":
            self._event(data)
        elif kind == "batch":
            if not 2 <= len(data) <= 100:
                self._wrong(f"a batch of {len(data)} events")
            for event in data:
                self._event(event["data"])
        elif kind == "lagged":
            self.skipped += data["skipped"]
            self._holes = set()
            self.whole = False
            if data["lagged_total"] != self.skipped:
                self._wrong(f"lagged_total {data['lagged_total']} after {self.skipped} in all")
        elif kind == "connected":
            self.greeting = data
            self._came_at = len(self._account.connections)
            if self._first != ALL:
                self.subscribe(self._first)
        elif kind == "subscribed":
            self._replied(kind)
        elif kind == "pong":
            self._replied(kind)
            told = data["events_received"], data["lagged_total"]
            if told != (self.received, self.skipped):
                self._wrong(f"counters {told}, {(self.received, self.skipped)} here")
        elif kind == "error":
            self._wrong(f"an error: {data['message']}")

    def _replied(self, kind: str) -> None:
        if not self.pending or self.pending[0][0] != kind:
            self._wrong(f"{kind} was not asked for, {list(self.pending)[:2]} was")
            return
        _, filter = self.pending.popleft()
        if kind == "subscribed":
            self.filter = filter
            # Where it goes on within a connection is not known.
            self.seen.clear()
            self.whole = False

    def _event(self, data: Mapping[str, Any]) -> None:
        self.received += 1
        ((_, fields),) = data["event"].items()
        number, sequence = read_mark(fields["hash"])
        connection = self._account.connections[number]
        if data["node_id"] != connection.node_id or data["event_id"] != sequence:
            self._wrong(f"event {data['event_id']} of {data['node_id'][:8]} is {number}:{sequence}")
        self._check_filter(data)
        due = self.seen.get(number)
        if due is None:
            due = 0 if self.whole and number >= self._came_at else sequence
        if sequence != due and "event_type" not in self.filter:
            lagged = self._holes is not None and number not in self._holes
            if sequence < due or not lagged:
                self._wrong(f"event {sequence} of connection {number}, {due} was due")
        if self._holes is not None:
            self._holes.add(number)
        self.seen[number] = sequence + 1
        if data["id"] <= self._ids.get(number, 0):
            self._wrong(f"id {data['id']} does not rise")
        self._ids[number] = data["id"]

    def _check_filter(self, data: Mapping[str, Any]) -> None:
        wanted = self.filter
        if wanted["type"] == "Nodes" and data["node_id"] not in wanted["node_ids"]:
            self._wrong(f"an event of {data['node_id'][:8]}, which it did not ask for")
        if wanted["type"] == "EventType" and data["event_type"] != wanted["event_type"]:
            self._wrong(f"an event of type {data['event_type']}, which it did not ask for")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._closing:
            self._wrong(f"the connection was lost: {reason.getErrorMessage()}")
        if self._parser is not None and self._parser.unfinished and not self._closing:
            self._wrong("the connection ended within a frame")
        self._gone(self)
