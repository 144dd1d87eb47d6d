"""The opening handshake through Twisted's web server, in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.access.proxies import TrustedProxies
from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.http.site import ApiSite
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.api.websocket.upgrade import WebSocketUpgrade
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.testing import TEXT, FrameParser, MemorySocket, MemoryTransport, client_frame
from tests.api.websocket.stage import Stage, messages_in

KEY = "AQIDBAUGBwgJCgsMDQ4PEA=="
ACCEPT = b"C/0nmHhBztSRGR1CwL6Tf4ZjwpY="
"""What a server answers to that key (RFC 6455, 4.2.2)."""

HEADERS = {
    "Host": "telemetry",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


class UpgradeTests(SynchronousTestCase):
    """A web server that has nothing but the upgrade."""

    def setUp(self) -> None:
        self.stage = Stage()
        stage, clock = self.stage, self.stage.clock
        self.subscribers = Subscribers(
            stage.ring,
            stage,
            None,
            2,
            clock,
            stage.now,
            InternalErrors(clock),
            stage.turns,
            send_to_all=MemorySocket.send_to_all,
        )
        self.site = ApiSite(
            WebSocketUpgrade(self.subscribers),
            lambda _method, _uri: False,
            Connections(100, 100, 100, clock),
            stage.turns,
            clock,
            client_of=TrustedProxies.parse("127.0.0.1").client_of,
        )

    def connect(self, data: bytes) -> MemoryTransport:
        """A client that has sent ``data`` in one segment."""
        channel: Any = self.site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5))
        wire = MemoryTransport(channel, self.stage.time)
        channel.makeConnection(wire)
        wire.deliver(data)
        self.addCleanup(self.hang_up, wire)
        return wire

    def hang_up(self, wire: MemoryTransport) -> None:
        if wire.ended is None:
            wire.lose(ConnectionDone())

    def ask(
        self, method: str = "GET", query: str = "", version: str = "1.1", **changes: str | None
    ) -> tuple[bytes, bytes, bytes]:
        """Status line, headers and what follows; None takes a header away."""
        headers = {**HEADERS, **{name.replace("_", "-"): text for name, text in changes.items()}}
        lines = [f"{name}: {text}" for name, text in headers.items() if text is not None]
        request = "\r\n".join([f"{method} /api/ws{query} HTTP/{version}", *lines, "", ""])
        head, _, rest = self.connect(request.encode()).received().partition(b"\r\n\r\n")
        status, _, head = head.partition(b"\r\n")
        return status, head.lower(), rest

    def assert_refused(
        self, answer: tuple[bytes, bytes, bytes], status: str, words: str
    ) -> dict[bytes, bytes]:
        """``answer`` is an error of the house's shape; its headers."""
        line, head, body = answer
        self.assertEqual(line.partition(b" ")[2], status.encode())
        error = json.loads(body)["error"]
        self.assertEqual(error["status"], int(status[:3]))
        self.assertIn(words, error["message"])
        headers = dict(line.split(b": ", 1) for line in head.splitlines())
        self.assertEqual(headers[b"content-type"], b"application/json")
        self.assertEqual(len(self.subscribers), 0)
        return headers

    def test_a_handshake_is_answered_as_the_protocol_says(self) -> None:
        status, head, rest = self.ask()
        self.assertEqual(status, b"HTTP/1.1 101 Switching Protocols")
        self.assertIn(b"sec-websocket-accept: " + ACCEPT.lower(), head.splitlines())
        self.assertNotIn(b"sec-websocket-extensions", head)
        (frame,) = FrameParser().feed(rest)
        self.assertEqual((frame.opcode, json.loads(frame.payload)["type"]), (TEXT, "connected"))

    def test_header_values_are_read_as_lists_of_tokens_in_any_case(self) -> None:
        status, _, _ = self.ask(Upgrade="h2c, WebSocket", Connection="close ,UPGRADE")
        self.assertEqual(status[:12], b"HTTP/1.1 101")

    def test_a_subscriber_is_known_by_its_client_as_trusted_proxies_tell_it(self) -> None:
        for told in (None, "192.0.2.7"):
            self.ask(X_Forwarded_For=told)
        self.assertEqual(set(self.subscribers.lagged()), {"127.0.0.1", "192.0.2.7"})

    def test_a_subprotocol_is_agreed_on_where_it_is_offered(self) -> None:
        for offered, agreed in (("other, telemetry", True), ("other", False), (None, False)):
            _, head, _ = self.ask(Sec_WebSocket_Protocol=offered)
            lines = head.splitlines()
            self.assertEqual(b"sec-websocket-protocol: telemetry" in lines, agreed, offered)

    def test_other_methods(self) -> None:
        for method in ("POST", "PUT", "OPTIONS", "get"):
            headers = self.assert_refused(
                self.ask(method), "405 Method Not Allowed", "expected GET"
            )
            self.assertEqual(headers[b"allow"], b"get")

    def test_a_head_request_has_no_body(self) -> None:
        status, _, body = self.ask("HEAD")
        self.assertEqual((status, body), (b"HTTP/1.1 405 Method Not Allowed", b""))

    def test_no_upgrade(self) -> None:
        for upgrade in (None, "h2c", "websockets", ""):
            headers = self.assert_refused(
                self.ask(Upgrade=upgrade), "426 Upgrade Required", "WebSocket client"
            )
            self.assertEqual(headers[b"upgrade"], b"websocket")

    def test_http_1_0(self) -> None:
        for host in ("telemetry", None):
            headers = self.assert_refused(
                self.ask(version="1.0", Host=host), "426 Upgrade Required", "expected HTTP/1.1"
            )
            self.assertEqual(headers[b"upgrade"], b"websocket")

    def test_no_connection_upgrade(self) -> None:
        for connection in (None, "keep-alive", "upgraded", "close"):
            self.assert_refused(
                self.ask(Connection=connection), "400 Bad Request", "Connection: Upgrade"
            )

    def test_bad_keys(self) -> None:
        for key in (None, "", "AQID", KEY + "A", KEY[:-2], "AQ?DBAUGBwgJCgsMDQ4PEA==", f"{KEY},"):
            self.assert_refused(
                self.ask(Sec_WebSocket_Key=key), "400 Bad Request", "one Sec-WebSocket-Key"
            )
        self.assert_refused(
            self.ask(Sec_WebSocket_Key=f"{KEY}\r\nSec-WebSocket-Key: {KEY}"),
            "400 Bad Request",
            "one Sec-WebSocket-Key",
        )

    def test_other_versions(self) -> None:
        for version in ("8", "14", "0", "13.0", "8, 13", "13\r\nSec-WebSocket-Version: 8"):
            headers = self.assert_refused(
                self.ask(Sec_WebSocket_Version=version), "426 Upgrade Required", "expected 13"
            )
            self.assertEqual(headers[b"sec-websocket-version"], b"13")
        self.assert_refused(
            self.ask(Sec_WebSocket_Version=None), "400 Bad Request", "is missing; expected 13"
        )

    def test_a_body(self) -> None:
        self.assertEqual(self.ask(Content_Length="0")[0][:12], b"HTTP/1.1 101")
        head = self.handshake().removesuffix(b"\r\n")
        wire = self.connect(head + b"Content-Length: 2\r\n\r\n{}")
        answer = wire.received()
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertIn(b"no body", answer)

    def test_a_handshake_that_only_the_library_finds_fault_with(self) -> None:
        for changes in (
            {"Origin": "nowhere"},
            {"Sec_WebSocket_Protocol": "a, a"},
            {"Host": "telemetry:port"},
        ):
            self.assert_refused(self.ask(**changes), "400 Bad Request", "")

    def test_batches(self) -> None:
        for query in ("?batch=0", "?batch=101", "?batch=x", "?batch=", "?batch=1&batch=2"):
            answer = self.ask(query=query)
            self.assert_refused(answer, "400 Bad Request", "1 to 100 (--ws-batch)")

    def test_a_client_gets_as_many_events_in_a_frame_as_it_asks_for(self) -> None:
        for query, widths in (("?batch=1", [1] * 5), ("?batch=2", [2, 2, 1]), ("", [5])):
            wire = self.connect(self.handshake(query))
            wire.received()
            self.stage.publish(5)
            messages = messages_in(wire)
            self.assertEqual(
                [len(m["data"]) if m["type"] == "batch" else 1 for m in messages], widths
            )
            self.hang_up(wire)

    def handshake(self, query: str = "") -> bytes:
        """A handshake as it is sent."""
        lines = [f"{name}: {text}" for name, text in HEADERS.items()]
        return "\r\n".join([f"GET /api/ws{query} HTTP/1.1", *lines, "", ""]).encode()

    def test_frames_in_the_same_segment_are_served(self) -> None:
        """However the segment is cut, nothing that follows the handshake is lost."""
        frames = client_frame(TEXT, b'{"type":"Ping"}') * 3
        for cut in (0, 1, 2, 6, len(frames) - 1, len(frames)):
            wire = self.connect(self.handshake() + frames[:cut])
            if cut < len(frames):
                wire.deliver(frames[cut:])
            wire.head()
            types = [message["type"] for message in messages_in(wire)]
            self.assertEqual(types, ["connected", "pong", "pong", "pong"])
            self.hang_up(wire)

    def test_answers_that_were_not_read_yet_come_first(self) -> None:
        wire = self.connect(b"")
        wire.fill(10)
        wire.deliver(b"GET /api/ws HTTP/1.1\r\nHost: telemetry\r\n\r\n" * 3)
        wire.deliver(self.handshake() + client_frame(TEXT, b'{"type":"Ping"}'))
        for _ in range(2000):
            wire.drain(7)
        for _ in range(3):
            self.assertTrue(wire.head().startswith(b"HTTP/1.1 426 Upgrade Required\r\n"))
            body = bytes(wire.wire.sent).partition(b"HTTP/1.1")[0]
            del wire.wire.sent[: len(body)]
        self.assertTrue(wire.head().startswith(b"HTTP/1.1 101 "))
        types = [message["type"] for message in messages_in(wire)]
        self.assertEqual(types, ["connected", "pong"])

    def test_a_subscriber_too_many(self) -> None:
        for _ in range(2):
            self.connect(self.handshake())
        wire = self.connect(self.handshake())
        answer = wire.received()
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n"))
        self.assertIn(b"--max-subscribers", answer)
        self.assertEqual(len(self.subscribers), 2)
