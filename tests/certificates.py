"""Keys and certificates for tests: an authority, one that it trusts, and servers' own."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM


@frozen
class Identity:
    """A key, the certificate for it, and those that lead from it to the root, which is left out."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    issuers: tuple[x509.Certificate, ...] = ()

    def issue(self, name: str, *, is_authority: bool = False) -> Identity:
        """An identity that this one vouches for; a server's is good for the loopback address."""
        issuers = () if self.is_root else (self.certificate, *self.issuers)
        return _identity(name, self, is_authority, issuers)

    @property
    def is_root(self) -> bool:
        """Whether nobody vouches for it."""
        return self.certificate.issuer == self.certificate.subject

    @property
    def key_pem(self) -> bytes:
        """The private key."""
        return self.key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(PEM)

    @property
    def issuers_pem(self) -> bytes:
        """The certificates that lead to the root."""
        return b"".join(issuer.public_bytes(PEM) for issuer in self.issuers)

    def write(self, directory: Path) -> Path:
        """Write ``key.pem``, ``cert.pem``, ``chain.pem`` and ``full.pem`` to ``directory``."""
        (directory / "key.pem").write_bytes(self.key_pem)
        (directory / "cert.pem").write_bytes(self.certificate_pem)
        (directory / "chain.pem").write_bytes(self.issuers_pem)
        (directory / "full.pem").write_bytes(self.certificate_pem + self.issuers_pem)
        return directory

    def trusted(self) -> ssl.SSLContext:
        """What a client needs that trusts this identity and nobody else."""
        return ssl.create_default_context(cadata=self.certificate_pem.decode())


def make_root(name: str = "root") -> Identity:
    """An authority that vouches for itself."""
    return _identity(name, None, True, ())


def _identity(
    name: str,
    issuer: Identity | None,
    is_authority: bool,
    issuers: tuple[x509.Certificate, ...],
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    loopback = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    )
    vouching = key if issuer is None else issuer.key
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(loopback, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(vouching.public_key()),
            critical=False,
        )
        .sign(vouching, hashes.SHA256())
    )
    return Identity(key, certificate, issuers)
