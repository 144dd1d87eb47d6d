"""Connections to the API, in memory: requests that are wrong, too large, too slow, or not read."""

from __future__ import annotations

import json
from typing import Any

from klein import Klein
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from werkzeug.exceptions import HTTPException
from zope.interface import directlyProvides, implementer

from telemetry_twisted.api.answers import json_answer, json_error
from telemetry_twisted.api.http import channel as channel_module
from telemetry_twisted.api.http.channel import READ_AHEAD_BYTES, SECONDS, UNREAD_SECONDS, Phase
from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.http.request import MOST_BODY_BYTES, PIECE_BYTES
from telemetry_twisted.api.http.site import REFUSAL_SECONDS
from telemetry_twisted.api.site import api_site
from telemetry_twisted.turns import Turns

LARGE = bytes(range(256)) * 2000
"""An answer of several pieces."""

HOST = "10.0.0.7"


def head(method: str, path: str, *headers: str, version: str = "1.1") -> bytes:
    """The head of a request."""
    lines = (f"{method} {path} HTTP/{version}", "Host: localhost", *headers, "", "")
    return "\r\n".join(lines).encode()


class Upgraded(Protocol):
    """What a connection becomes; keeps what it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost = True


class Wire(StringTransport):
    """A transport that tells whether it was closed at once."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class ChannelTestCase(SynchronousTestCase):
    """A site of a few routes; ``asked`` are the paths that were served."""

    most_of_one = 3

    def setUp(self) -> None:
        self.clock = Clock()
        self.connections = Connections(5, self.most_of_one, 4, self.clock)
        self.asked: list[bytes] = []
        self.bodies: list[tuple[bytes, dict[bytes, list[bytes]]]] = []
        self.waiting: Deferred[bytes] = Deferred()
        self.upgraded = Upgraded()
        self.site = self.make_site()

    def make_site(self, **options: Any) -> Any:
        """A site with ``options`` as :func:`api_site` takes them."""
        app = Klein()

        @app.route("/small/<name>", methods=["GET", "HEAD"])
        def small(request: Any, name: str) -> bytes:
            self.asked.append(request.path)
            return json_answer(request, 200, name)

        @app.route("/large")
        def large(request: Any) -> bytes:
            self.asked.append(request.path)
            return LARGE

        @app.route("/wait")
        def wait(request: Any) -> Deferred[bytes]:
            self.asked.append(request.path)
            return self.waiting

        @app.route("/take", methods=["POST"])
        def take(request: Any) -> bytes:
            self.bodies.append((request.content.read(), request.args))
            return json_answer(request, 200, None)

        @app.route("/broken")
        def broken(_request: Any) -> bytes:
            raise ValueError("this is a mistake")

        @app.route("/upgrade")
        def upgrade(request: Any) -> Deferred[None]:
            request.channel.upgrade(self.upgraded, b"handshake ")
            return Deferred()

        @app.handle_errors(HTTPException)
        def refuse(request: Any, failure: Failure) -> bytes:
            assert isinstance(failure.value, HTTPException)
            return json_error(request, failure.value.code or 500, "refused")

        return api_site(app, self.connections, Turns(self.clock), self.clock, **options)

    def connect(self, host: str = HOST) -> tuple[Any, Wire]:
        """A connection of a client."""
        address = IPv4Address("TCP", host, 4000)
        transport = Wire(peerAddress=address)
        channel = self.site.buildProtocol(address)
        channel.makeConnection(transport)
        return channel, transport

    def send(self, channel: Any, data: bytes) -> None:
        """Have the channel receive ``data``, and what it leads to."""
        channel.dataReceived(data)
        self.clock.advance(0)

    def answers(self, transport: StringTransport) -> list[tuple[str, dict[str, str], bytes]]:
        """Status, headers and body of each answer of a known length."""
        found = []
        data = transport.value()
        while data:
            first, _, data = data.partition(b"\r\n\r\n")
            status, *lines = first.decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            length = int(headers.get("content-length", 0))
            found.append((status.partition(" ")[2], headers, data[:length]))
            data = data[length:]
        return found

    def assert_refused(self, transport: StringTransport, status: str) -> None:
        """The last answer is an error of the house's shape, and the connection is closed."""
        said, headers, body = self.answers(transport)[-1]
        self.assertEqual(said, status)
        self.assertEqual(json.loads(body)["error"]["status"], int(status[:3]))
        self.assertEqual(headers["connection"], "close")
        self.assertTrue(transport.disconnecting)


class BeforeRoutingTests(ChannelTestCase):
    """A mistake in what stands before routing."""

    def test_the_client_is_answered(self) -> None:
        def mistake(_request: object) -> str:
            raise ZeroDivisionError

        self.site = self.make_site(client_of=mistake)
        channel, transport = self.connect()
        self.send(channel, head("GET", "/small/a"))
        self.assert_refused(transport, "500 Internal Server Error")
        self.assertEqual(self.site.errors.counts["request"], 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class SlowReaderTests(ChannelTestCase):
    """A client that has been answered, and takes its time to read that."""

    def test_it_is_waited_for_while_it_reads_what_the_system_has_for_it(self) -> None:
        waiting: list[int | None] = [1000]
        self.patch(channel_module, "socket_under", lambda _transport: object())
        self.patch(channel_module, "accepted_bytes", lambda _handle: waiting[-1])
        channel, transport = self.connect()
        self.send(channel, head("GET", "/small/a", "Connection: close"))
        self.assertTrue(transport.disconnecting)
        for left in (900, 500, 1):
            waiting.append(left)
            self.clock.advance(SECONDS[Phase.LINGER])
            self.assertFalse(transport.aborted)
        self.clock.advance(SECONDS[Phase.LINGER])  # it has read nothing since
        self.assertTrue(transport.aborted)

    def test_it_is_not_waited_for_when_it_has_all(self) -> None:
        self.patch(channel_module, "socket_under", lambda _transport: object())
        self.patch(channel_module, "accepted_bytes", lambda _handle: None)
        channel, transport = self.connect()
        self.send(channel, head("GET", "/small/a", "Connection: close"))
        self.clock.advance(SECONDS[Phase.LINGER])
        self.assertTrue(transport.aborted)


class HeadTests(ChannelTestCase):
    """What is wrong with a head, and how long it may take."""

    def test_a_head_that_drips(self) -> None:
        channel, transport = self.connect()
        for byte in head("GET", "/small/a", "X: " + "x" * 100):
            if transport.disconnecting:
                break
            self.send(channel, bytes([byte]))
            self.clock.advance(2)
        self.assert_refused(transport, "408 Request Timeout")
        self.assertLessEqual(self.clock.seconds(), SECONDS[Phase.HEAD] + 2)

    def test_an_idle_connection_is_closed(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/small/a"))
        self.clock.advance(SECONDS[Phase.IDLE] - 1)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(transport.disconnecting)
        self.assertFalse(transport.aborted)
        self.clock.advance(SECONDS[Phase.LINGER])
        self.assertTrue(transport.aborted)

    def test_a_client_that_asks_again_in_time_stays(self) -> None:
        channel, transport = self.connect()
        for _ in range(5):
            self.send(channel, head("GET", "/small/a"))
            self.clock.advance(SECONDS[Phase.IDLE] - 1)
        self.assertEqual(len(self.answers(transport)), 5)

    def test_what_is_no_http(self) -> None:
        for data in (b"\x16\x03\x01\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"x\r\n\r\n"):
            channel, transport = self.connect()
            self.send(channel, data)
            self.assert_refused(transport, "400 Bad Request")
            channel.connectionLost(Failure(ConnectionDone()))

    def test_a_head_that_is_too_large(self) -> None:
        channel, transport = self.connect()
        self.send(channel, b"GET /" + b"x" * 20_000)
        self.assert_refused(transport, "431 Request Header Fields Too Large")
        channel, transport = self.connect()
        self.send(channel, head("GET", "/small/a", *(f"X-{n}: {n}" for n in range(200))))
        self.assert_refused(transport, "400 Bad Request")
        self.assertEqual(self.asked, [])

    def test_nothing_that_follows_a_refusal_is_looked_at(self) -> None:
        channel, transport = self.connect()
        self.send(channel, b"x\r\n\r\n" + head("GET", "/small/a"))
        self.send(channel, head("GET", "/small/b"))
        self.assertEqual(len(self.answers(transport)), 1)
        self.assertEqual(self.asked, [])

    def test_a_head_request_is_told_the_length(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("HEAD", "/small/abc"))
        self.assertTrue(transport.value().endswith(b"\r\n\r\n"))
        self.assertIn(b"Content-Length: 5\r\n", transport.value())


class BodyTests(ChannelTestCase):
    """Bodies: those that are asked for, and those that are not."""

    def test_a_body_that_is_asked_for_is_not_parsed(self) -> None:
        channel, transport = self.connect()
        kind = "Content-Type: application/x-www-form-urlencoded"
        self.send(channel, head("POST", "/take?q=1", kind, "Content-Length: 7") + b"a=1&b=2")
        self.assertEqual(self.bodies, [(b"a=1&b=2", {b"q": [b"1"]})])
        self.send(channel, head("POST", "/take", "Transfer-Encoding: chunked"))
        self.send(channel, b"3\r\nabc\r\n0\r\n\r\n")
        self.assertEqual(self.bodies[1], (b"abc", {}))
        self.assertEqual(len(self.answers(transport)), 2)

    def test_a_body_of_just_so_many_bytes(self) -> None:
        channel, _ = self.connect()
        self.send(channel, head("POST", "/take", f"Content-Length: {MOST_BODY_BYTES}"))
        self.send(channel, b"x" * MOST_BODY_BYTES)
        self.assertEqual(self.bodies, [(b"x" * MOST_BODY_BYTES, {})])

    def test_a_body_that_is_announced_as_too_large(self) -> None:
        for method, path in (("POST", "/take"), ("GET", "/small/a")):
            channel, transport = self.connect()
            length = f"Content-Length: {MOST_BODY_BYTES + 1}"
            self.send(channel, head(method, path, length, "Expect: 100-continue"))
            self.assert_refused(transport, "413 Content Too Large")
            self.assertEqual(len(self.answers(transport)), 1)

    def test_a_body_that_turns_out_to_be_too_large(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("POST", "/take", "Transfer-Encoding: chunked"))
        for _ in range(3):
            self.send(channel, b"8000\r\n" + bytes(0x8000) + b"\r\n")
        self.assert_refused(transport, "413 Content Too Large")
        self.assertEqual(self.bodies, [])

    def test_a_body_that_nobody_asks_for_is_not_read(self) -> None:
        for method, path, status in (
            ("POST", "/small/a", "405 Method Not Allowed"),
            ("PUT", "/nothing", "404 Not Found"),
        ):
            for body in ("Content-Length: 5", "Content-Length: 67108864"):
                channel, transport = self.connect()
                self.send(channel, head(method, path, body, "Expect: 100-continue"))
                self.assert_refused(transport, status)
                self.assertEqual(len(self.answers(transport)), 1)
                channel.connectionLost(Failure(ConnectionDone()))

    def test_a_client_that_waits_to_be_told_to_continue(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("POST", "/take", "Content-Length: 2", "Expect: 100-continue"))
        self.assertEqual(transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.send(channel, b"ab")
        self.assertEqual(self.bodies, [(b"ab", {})])

    def test_a_body_that_drips(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("POST", "/take", "Content-Length: 100"))
        for _ in range(int(SECONDS[Phase.BODY])):
            self.send(channel, b"x")
            self.clock.advance(1)
        self.assert_refused(transport, "408 Request Timeout")


class AnswerTests(ChannelTestCase):
    """Answers wait for those who read them."""

    def test_the_next_request_waits_until_the_answer_is_out(self) -> None:
        channel, transport = self.connect()
        requests = (head("GET", path) for path in ("/small/a", "/small/b", "/small/c"))
        channel.dataReceived(b"".join(requests))
        channel.pauseProducing()
        self.clock.advance(1)
        self.assertEqual(self.asked, [b"/small/a"])
        self.assertEqual(transport.producerState, "paused")
        channel.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(self.asked, [b"/small/a", b"/small/b", b"/small/c"])
        self.assertEqual(transport.producerState, "producing")

    def test_pipelined_requests_do_not_hold_the_reactor(self) -> None:
        """However many come in a segment, no more than one is served where it is received."""
        channel, transport = self.connect()
        channel.dataReceived(100 * head("GET", "/small/a"))
        self.assertEqual(self.asked, [])
        self.clock.advance(0)
        self.assertEqual(len(self.asked), 100)
        self.assertEqual(len(self.answers(transport)), 100)

    def test_a_large_answer_goes_out_in_pieces(self) -> None:
        channel, transport = self.connect()
        write, written = transport.write, []

        def write_and_be_full(data: bytes) -> None:
            write(data)
            written.append(len(data))
            channel.pauseProducing()

        self.patch(transport, "write", write_and_be_full)
        self.patch(transport, "writeSequence", lambda pieces: write_and_be_full(b"".join(pieces)))
        self.send(channel, head("GET", "/large", version="1.0"))
        while not transport.disconnecting:
            before = len(written)
            channel.resumeProducing()
            self.clock.advance(0)
            self.assertLessEqual(len(written), before + 1)
        self.assertLessEqual(max(written), PIECE_BYTES)
        self.assertEqual(transport.value().partition(b"\r\n\r\n")[2], LARGE)

    def test_a_client_that_goes_while_an_answer_waits(self) -> None:
        channel, transport = self.connect()
        self.patch(transport, "write", lambda _: channel.pauseProducing())
        self.send(channel, head("GET", "/large", version="1.0"))
        channel.stopProducing()
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.connections.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_that_goes_before_its_turn(self) -> None:
        channel, _ = self.connect()
        channel.dataReceived(head("GET", "/small/a"))
        channel.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.assertEqual(self.asked, [])

    def test_a_client_that_reads_nothing_is_cut_off(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/wait"))
        channel.pauseProducing()
        self.clock.advance(UNREAD_SECONDS - 1)
        self.assertFalse(transport.aborted)
        self.clock.advance(1)
        self.assertTrue(transport.aborted)

    def test_no_more_is_read_than_a_little_ahead(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/wait"))
        self.send(channel, b"x" * (READ_AHEAD_BYTES + 1))
        self.assertEqual(transport.producerState, "paused")
        # Room for more of the answer is no room for more requests.
        channel.pauseProducing()
        channel.resumeProducing()
        self.assertEqual(transport.producerState, "paused")

    def test_an_answer_may_take_its_time(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/wait"))
        self.clock.advance(1000)
        self.waiting.callback(b"at last")
        self.assertIn(b"at last", transport.value())


class MistakeTests(ChannelTestCase):
    """What goes wrong on our side, and what no route is asked for."""

    def test_a_mistake_of_ours_is_a_json_500(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/broken"))
        self.assert_refused(transport, "500 Internal Server Error")
        self.assertNotIn(b"this is a mistake", transport.value())
        self.assertEqual(self.site.errors.counts, {"request": 1})
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(str(failure.value), "this is a mistake")

    def test_the_server_as_a_whole(self) -> None:
        for method in ("OPTIONS", "GET"):
            channel, transport = self.connect()
            self.send(channel, head(method, "*"))
            self.assert_refused(transport, "404 Not Found")


class UpgradeTests(ChannelTestCase):
    """A connection that becomes another protocol's."""

    def test_all_that_was_sent_reaches_the_protocol(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/upgrade") + b"early ")
        self.send(channel, b"late")
        self.assertEqual(self.upgraded.received, b"handshake early late")
        self.assertEqual(transport.producerState, "producing")
        self.assertIsNone(transport.producer)

    def test_it_has_no_deadline_and_counts_to_its_end(self) -> None:
        channel, transport = self.connect()
        self.send(channel, head("GET", "/upgrade"))
        self.clock.advance(100_000)
        self.assertFalse(transport.disconnecting)
        self.assertEqual(self.connections.open, 1)
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.upgraded.lost)
        self.assertEqual(self.connections.open, 0)


class ClientTests(ChannelTestCase):
    """How many connections there may be."""

    def test_one_client_has_no_more_than_it_may(self) -> None:
        for _ in range(self.most_of_one):
            self.connect()
        _, transport = self.connect()
        self.assert_refused(transport, "503 Service Unavailable")
        self.assertIn(b"--api-connections-per-client", transport.value())
        channel, transport = self.connect("10.0.0.8")
        self.send(channel, head("GET", "/small/a"))
        self.assertEqual(self.answers(transport)[0][0], "200 OK")

    def test_who_is_refused_does_not_stay(self) -> None:
        for _ in range(self.most_of_one):
            self.connect()
        channel, transport = self.connect()
        self.clock.advance(REFUSAL_SECONDS)
        self.assertTrue(transport.aborted)
        channel.connectionLost()
        self.assertEqual(self.connections.open, self.most_of_one)

    def test_who_is_refused_over_tls_gets_no_handshake(self) -> None:
        for _ in range(self.most_of_one):
            self.connect()
        refused = self.site.buildProtocol(IPv4Address("TCP", HOST, 4000))
        transport = Wire()
        directlyProvides(transport, ISSLTransport)
        refused.makeConnection(transport)
        self.assertTrue(transport.aborted)
        self.assertEqual(transport.value(), b"")

    def test_behind_a_proxy_that_is_trusted_its_clients_count(self) -> None:
        def client_of(request: Any) -> str:
            return str(request.getHeader("x-forwarded-for"))

        self.site = self.make_site(client_of=client_of)
        for number in range(4):
            channel, transport = self.connect()
            self.send(channel, head("GET", "/small/a", f"X-Forwarded-For: 192.0.2.{number}"))
            self.assertEqual(self.answers(transport)[0][0], "200 OK")

    def test_one_client_behind_a_proxy_has_no_more_than_it_may(self) -> None:
        self.site = self.make_site(client_of=lambda _: "192.0.2.1")
        for _ in range(self.most_of_one):
            channel, _ = self.connect()
            self.send(channel, head("GET", "/small/a"))
        channel, transport = self.connect()
        self.send(channel, head("GET", "/small/b"))
        self.assert_refused(transport, "503 Service Unavailable")
        self.assertEqual(self.connections.refused["client"], 1)
        self.assertNotIn(b"/small/b", self.asked)


class AccessLogTests(ChannelTestCase):
    """What is logged of requests."""

    def lines(self, *paths: str, **options: Any) -> list[str]:
        """What is logged while ``paths`` are asked for."""
        logged: list[str] = []
        self.site = self.make_site(**options)
        channel, _ = self.connect()

        @implementer(ILogObserver)
        def observe(event: Any) -> None:
            if event["log_namespace"].endswith("ApiSite"):
                logged.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for path in paths:
            self.send(channel, head("GET", path, 'User-Agent: a "b" \x1b[1m'))
        return logged

    def test_nothing_unless_asked_for(self) -> None:
        self.assertEqual(self.lines("/small/a"), [])

    def test_a_line_for_each_request(self) -> None:
        lines = self.lines("/small/a?x=1", "/nothing", "/upgrade", access_log=True)
        agent = r'"a \x22b\x22 \x1b[1m"'
        self.assertEqual(lines[0], f'{HOST} "GET /small/a?x=1 HTTP/1.1" 200 3 {agent}')
        self.assertTrue(lines[1].startswith(f'{HOST} "GET /nothing HTTP/1.1" 404 '))
        self.assertEqual(lines[2], f'{HOST} "GET /upgrade HTTP/1.1" 101 0 {agent}')
