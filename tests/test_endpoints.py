"""Endpoints with TLS: how they are described, and how their certificates are renewed."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.endpoints import TLSDescription
from telemetry_twisted.transport.certificates import CertificateFiles
from telemetry_twisted.transport.tls import Certificates
from tests.certificates import Identity, make_root

ROOT = make_root()
BETWEEN = ROOT.issue("between", is_authority=True)
OLD = BETWEEN.issue("old")
NEW = BETWEEN.issue("new")


class DescriptionTests(SynchronousTestCase):
    """What may be said of an ``ssl:`` endpoint."""

    def test_everything_that_twisted_knows(self) -> None:
        for text, tcp, files in (
            ("ssl:443", "tcp:443", ("server.pem", "server.pem", None, None)),
            ("ssl:port=443", "tcp:443", ("server.pem", "server.pem", None, None)),
            ("ssl:443:k.pem:c.pem", "tcp:443", ("k.pem", "c.pem", None, None)),
            (
                r"ssl:0:privateKey=/k\:1.pem:interface=\:\:1:backlog=7",
                r"tcp:0:interface=\:\:1:backlog=7",
                ("/k:1.pem", "/k:1.pem", None, None),
            ),
            (
                "ssl:8443:privateKey=/k:certKey=/c:extraCertChain=/i:dhParameters=/d",
                "tcp:8443",
                ("/k", "/c", "/i", "/d"),
            ),
        ):
            here = [None if path is None else os.path.abspath(path) for path in files]
            expected = TLSDescription(tcp, CertificateFiles(*here))  # type: ignore[arg-type]
            self.assertEqual(TLSDescription.parse(text), expected, text)

    def test_what_it_does_not_know_is_refused(self) -> None:
        for text in (
            "ssl:",
            "ssl:443:key=/k",
            "ssl:443:sslmethod=TLSv1_METHOD",
            "ssl:443:a:b:c:d:e:f:g:h:i",
        ):
            with self.assertRaisesRegex(ValueError, "expected"):
                TLSDescription.parse(text)

    @given(st.text(min_size=1))
    def test_any_path_can_be_quoted(self, path: str) -> None:
        text = f"ssl:443:privateKey={quoteStringArgument(path)}"
        self.assertEqual(TLSDescription.parse(text).files.private_key, os.path.abspath(path))


class CertificatesTests(SynchronousTestCase):
    """What connections are made with."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        OLD.write(self.directory)
        self.clock = Clock()

    def files(self, certificate: str = "cert.pem", chain: str | None = None) -> CertificateFiles:
        return CertificateFiles(
            str(self.directory / "key.pem"),
            str(self.directory / certificate),
            None if chain is None else str(self.directory / chain),
        )

    def shown(self, certificates: Certificates, trusted: Identity = ROOT) -> bytes:
        """The certificate that a client is shown that trusts one authority."""
        wrapped = TLSMemoryBIOFactory(
            certificates, False, Factory.forProtocol(Protocol), self.clock
        )
        server = wrapped.buildProtocol(mock.Mock())
        assert server is not None
        transport = StringTransport()
        server.makeConnection(transport)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusted.trusted().wrap_bio(incoming, outgoing, server_hostname="localhost")
        for _ in range(4):
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                server.dataReceived(outgoing.read())
                incoming.write(transport.value())
                transport.clear()
        certificate = client.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate

    def check(self, certificates: Certificates, identity: Identity) -> None:
        der = ssl.PEM_cert_to_DER_cert(identity.certificate_pem.decode())
        self.assertEqual(self.shown(certificates), der)

    def test_the_whole_chain_is_sent_from_either_file(self) -> None:
        for files in (self.files("cert.pem", "chain.pem"), self.files("full.pem")):
            self.check(Certificates(files, self.clock), OLD)

    def test_without_the_chain_a_client_that_knows_the_root_is_not_convinced(self) -> None:
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.shown(Certificates(self.files(), self.clock))

    def test_new_ones_are_shown_once_they_were_read(self) -> None:
        certificates = Certificates(self.files("full.pem"), self.clock)
        NEW.write(self.directory)
        self.check(certificates, OLD)
        certificates.reload()
        self.check(certificates, NEW)

    def test_bad_ones_leave_those_that_were_there(self) -> None:
        certificates = Certificates(self.files("full.pem"), self.clock)
        (self.directory / "key.pem").write_bytes(NEW.key_pem)
        with self.assertRaisesRegex(ValueError, "do not go together"):
            certificates.reload()
        self.check(certificates, OLD)

    def test_what_is_wrong_is_told_by_file(self) -> None:
        key, full = self.directory / "key.pem", self.directory / "full.pem"
        for path, content, expected in (
            (key, None, "key.pem cannot be read: No such file"),
            (key, b"nothing", "key.pem: expected a private key in PEM"),
            (full, b"nothing", "full.pem: expected certificates in PEM, but there are none"),
            (
                full,
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
                "full.pem: expected certificates in PEM",
            ),
        ):
            OLD.write(self.directory)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
            with self.assertRaisesRegex(ValueError, expected):
                Certificates(self.files("full.pem"), self.clock)

    def test_who_looks_sees_when_they_have_changed(self) -> None:
        certificates = Certificates(self.files("full.pem"), self.clock)
        NEW.write(self.directory)
        certificates.look()
        self.check(certificates, OLD)
        self.clock.advance(1)
        certificates.look()
        self.check(certificates, NEW)

    def test_who_looks_is_told_once_that_they_are_bad(self) -> None:
        certificates = Certificates(self.files("full.pem"), self.clock)
        (self.directory / "full.pem").write_bytes(b"nothing")
        with capturedLogs() as logged:
            for _ in range(3):
                self.clock.advance(1)
                certificates.look()
        self.assertEqual([event["log_level"] for event in logged], [LogLevel.error])
        self.check(certificates, OLD)
