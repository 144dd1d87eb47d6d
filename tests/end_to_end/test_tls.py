"""Subscribers over TLS: the same stream, and the same patience with slow readers."""

from __future__ import annotations

import ssl
import sys
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Server, StartProcess


@frozen
class Credentials:
    """A key and a certificate for the loopback address, in one file."""

    path: Path

    @property
    def endpoint(self) -> str:
        """Where a server listens with them."""
        return f"ssl:0:privateKey={self.path}:interface=127.0.0.1"

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client needs that trusts nobody else."""
        return ssl.create_default_context(cafile=self.path)


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "telemetry")])
    now = datetime.now(timezone.utc)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(loopback, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path / "telemetry.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return Credentials(path)


@pytest.fixture
def server(start_process: StartProcess, credentials: Credentials) -> Server:
    return start_process(
        str(Path(sys.executable).with_name("twistd")),
        *("-n", "--pidfile=", "telemetry", "--no-database", "--ingestion-procs", "1"),
        *("--ring-events", "1000", "--api-endpoint", credentials.endpoint),
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
