"""Subscribers over TLS: the same stream, and the same patience with slow readers."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import sys
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from attrs import frozen
from websockets.exceptions import ConnectionClosed

from telemetry_twisted.testing import CLOSE, TEXT
from tests.certificates import Identity, make_root
from tests.end_to_end.conftest import (
    Node,
    Server,
    StartProcess,
    await_true,
    best_block,
    information,
)
from tests.end_to_end.raw_websocket import RawClient, close_payload, frame


@frozen
class Credentials:
    """Where a server's key and certificates are, and who vouches for them."""

    directory: Path
    root: Identity

    @property
    def options(self) -> str:
        """How an ``ssl:`` endpoint with them is described."""
        return (
            f"ssl:0:privateKey={self.directory}/key.pem:certKey={self.directory}/cert.pem"
            f":extraCertChain={self.directory}/chain.pem:interface=127.0.0.1"
        )

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client needs that trusts the root and nobody else."""
        return self.root.trusted()

    def renew(self) -> Identity:
        """Put another identity in the place of the one that is there."""
        identity = self.root.issue("between", is_authority=True).issue("telemetry")
        identity.write(self.directory)
        return identity


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    credentials = Credentials(tmp_path, make_root())
    credentials.renew()
    return credentials


@pytest.fixture
def server(start_process: StartProcess, credentials: Credentials) -> Server:
    return start_process(
        str(Path(sys.executable).with_name("twistd")),
        *("-n", "--pidfile=", "telemetry", "--no-database", "--ingestion-procs", "1"),
        *("--ring-events", "1000", "--api-endpoint", credentials.options),
        *("--public-url", "https://telemetry.example"),
        *("--telemetry-endpoint", "tcp:0:interface=127.0.0.1"),
    ).await_listening()


def test_a_stalled_subscriber_lags_and_another_misses_nothing(
    server: Server, credentials: Credentials, node_id: str
) -> None:
    node = server.connect_node(node_id)
    with (
        server.subscriber(tls=credentials.trust) as reader,
        server.subscriber(4096, max_queue=1, tls=credentials.trust) as stalled,
    ):
        stalled.subscribe(type="Nodes", node_ids=[node_id])
        for begin in range(0, 40_000, 500):
            node.report_best(range(begin, begin + 500))
            reader.receive_events(500)
        while stalled.received_and_skipped < 40_000:
            stalled.receive()
        assert stalled.skipped > 0
        assert stalled.slots()[-1] == 39_999
        assert stalled.ask({"type": "Ping"})["data"]["lagged_total"] == stalled.skipped
        assert reader.slots() == list(range(40_000))


def test_it_is_told_goodbye(server: Server, credentials: Credentials, node_id: str) -> None:
    with server.subscriber(tls=credentials.trust) as subscriber:
        server.connect_node(node_id).report_best(range(500))
        subscriber.receive_events(500)
        server.stop(seconds=5)
        with pytest.raises(ConnectionClosed):
            subscriber.receive_until(lambda: False)
        assert subscriber.connection.close_code == 1001


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(3), 1002),
        (frame(TEXT, b"{", length=1 << 20), 1009),
        (frame(CLOSE, close_payload(1000)), 1000),
    ],
)
def test_clients_that_send_early_are_served_and_told_why_they_are_closed(
    server: Server, credentials: Credentials, data: bytes, code: int
) -> None:
    secure = credentials.trust.wrap_socket(
        server.connect_socket("api"), server_hostname="localhost"
    )
    ping = frame(TEXT, b'{"type":"Ping"}')
    client = RawClient(secure).upgrade(ping + ping[:3])
    client.send(ping[3:] + data + ping * 100)
    types = []
    for _ in range(3):
        received = client.receive()
        assert received is not None
        types.append(json.loads(received.payload)["type"])
    assert types == ["connected", "pong", "pong"]
    assert client.receive_close().close_code == code


def test_a_body_that_nobody_reads_is_refused(server: Server, credentials: Credentials) -> None:
    connection = HTTPSConnection(
        "127.0.0.1", server.ports["api"], timeout=40, context=credentials.trust
    )
    headers = {"Host": "localhost", "Content-Length": str(64 << 20)}
    connection.request("GET", "/api/health", bytes(1 << 20), headers)
    answer = connection.getresponse()
    assert (answer.status, answer.reason) == (413, "Content Too Large")
    assert json.load(answer)["error"]["status"] == 413
    connection.close()


def shown(server: Server, credentials: Credentials, kind: str = "api") -> bytes:
    """The certificate that a new client is shown, which has to be convinced of it."""
    with socket.create_connection(("127.0.0.1", server.ports[kind]), 40) as connection:
        secure = credentials.trust.wrap_socket(connection, server_hostname="localhost")
        with secure:
            certificate = secure.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def test_certificates_are_renewed_on_sighup_and_connections_stay(
    server: Server, credentials: Credentials, node_id: str
) -> None:
    """Clients trust the root alone, so they have to be sent all that leads there."""
    before = shown(server, credentials)
    with server.subscriber(tls=credentials.trust) as subscriber:
        renewed = ssl.PEM_cert_to_DER_cert(credentials.renew().certificate_pem.decode())
        assert shown(server, credentials) == before
        os.kill(server.pid, signal.SIGHUP)
        server.await_log("certificates of --api-endpoint: read again")
        assert shown(server, credentials) == renewed != before
        (credentials.directory / "key.pem").write_bytes(make_root().key_pem)
        os.kill(server.pid, signal.SIGHUP)
        server.await_log("do not go together")
        assert shown(server, credentials) == renewed
        server.connect_node(node_id).report_best(range(10))
        subscriber.receive_events(10)
        assert subscriber.slots() == list(range(10))


def test_browsers_are_told_to_come_by_tls_only(server: Server, credentials: Credentials) -> None:
    client = HTTPSConnection("127.0.0.1", server.ports["api"], context=credentials.trust)
    client.request("GET", "/api/health")
    response = client.getresponse()
    client.close()
    assert response.status == 200
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


class TestNodes:
    """Nodes over TLS, as through a tunnel that speaks it for them."""

    @pytest.fixture
    def server(self, start_process: StartProcess, credentials: Credentials) -> Server:
        return start_process(
            str(Path(sys.executable).with_name("twistd")),
            *("-n", "--pidfile=", "telemetry", "--no-database", "--ingestion-procs", "2"),
            *("--telemetry-endpoint", credentials.options),
            *("--api-endpoint", "tcp:0:interface=127.0.0.1"),
        ).await_ready()

    @staticmethod
    def connect(server: Server, credentials: Credentials, node_id: str) -> Node:
        secure = credentials.trust.wrap_socket(server.connect_socket(), server_hostname="localhost")
        node = Node(node_id, secure)
        node.send(information(node_id))
        return node

    def test_their_events_come_whole_and_in_order(
        self, server: Server, credentials: Credentials, node_ids: list[str]
    ) -> None:
        with server.subscriber() as subscriber:
            nodes = [self.connect(server, credentials, node_id) for node_id in node_ids]
            for node in nodes:
                # An event in a TLS record of its own, many in one, and one that is cut in two.
                for slot in range(200):
                    node.report_best([slot])
                node.report_best(range(200, 5_000))
                node.send(best_block(5_000)[:10])
                node.send(best_block(5_000)[10:])
            subscriber.receive_events(len(nodes) * 5_001)
            for node in nodes:
                assert subscriber.slots(node.node_id) == list(range(5_001))
                node.close()

    def test_what_does_not_speak_tls_is_refused_and_counted(self, server: Server) -> None:
        stranger = server.connect_stranger()
        stranger.send(information("11" * 32))
        stranger.await_closed()
        server.await_log("it did not agree on TLS")

    def test_certificates_are_renewed(
        self, server: Server, credentials: Credentials, node_id: str
    ) -> None:
        node = self.connect(server, credentials, node_id)
        server.await_nodes(1)
        renewed = ssl.PEM_cert_to_DER_cert(credentials.renew().certificate_pem.decode())
        # Each process looks for itself, when it accepts, and a second after it did last.
        await_true(
            lambda: all(shown(server, credentials, "telemetry") == renewed for _ in range(4)),
            "the new one is shown by both processes",
        )
        with server.subscriber() as subscriber:
            node.report_best(range(10))
            subscriber.receive_events(10)
