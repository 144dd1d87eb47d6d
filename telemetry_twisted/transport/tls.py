"""Certificates that are renewed while the server runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen
from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTime
from twisted.logger import Logger
from twisted.python.filepath import FilePath
from zope.interface import implementer

from telemetry_twisted.files import WatchedFiles

if TYPE_CHECKING:
    from twisted.protocols.tls import TLSMemoryBIOProtocol

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@frozen
class CertificateFiles:
    """Where a key and the certificates for it are, as an ``ssl:`` endpoint of Twisted names them.

    ``certificate`` may hold those that it was issued by as well, as may ``chain``.
    """

    private_key: str
    certificate: str
    chain: str | None = None
    dh_parameters: str | None = None

    @property
    def paths(self) -> Sequence[str]:
        """All of the files."""
        every = (self.private_key, self.certificate, self.chain, self.dh_parameters)
        return [path for path in every if path is not None]

    def load(self) -> ssl.CertificateOptions:
        """What TLS connections are made of.

        :raises ValueError: with what is wrong with which file.
        """
        own, *issuers = _certificates(self.certificate)
        if self.chain is not None:
            issuers += _certificates(self.chain)
        options = ssl.CertificateOptions(
            privateKey=_private_key(self.private_key),
            certificate=own,
            extraCertChain=issuers,
            dhParameters=None
            if self.dh_parameters is None
            else ssl.DiffieHellmanParameters.fromFile(FilePath(self.dh_parameters)),
        )
        try:
            options.getContext()
        except SSL.Error as error:
            raise ValueError(
                f"{self.private_key} and {self.certificate} do not go together ({_reason(error)})"
            ) from None
        return options


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _private_key(path: str) -> crypto.PKey:
    try:
        return crypto.load_privatekey(crypto.FILETYPE_PEM, _read(path), b"")
    except crypto.Error as error:
        raise ValueError(
            f"{path}: expected a private key in PEM, without a passphrase ({_reason(error)})"
        ) from None


def _certificates(path: str) -> list[crypto.X509]:
    found = _CERTIFICATE.findall(_read(path))
    try:
        certificates = [crypto.load_certificate(crypto.FILETYPE_PEM, pem) for pem in found]
    except (crypto.Error, ValueError) as error:
        raise ValueError(f"{path}: expected certificates in PEM ({_reason(error)})") from None
    if not certificates:
        raise ValueError(f"{path}: expected certificates in PEM, but there are none")
    return certificates


def _reason(error: Exception) -> str:
    """What OpenSSL says, which comes as a list of where and why."""
    try:
        return "; ".join(why for *_, why in error.args[0])
    except (IndexError, TypeError, ValueError):
        return str(error)


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """The certificates that new connections are made with; those that are open keep theirs.

    :raises ValueError: from the start, if there is something wrong with them.
    """

    _log = Logger()

    def __init__(self, files: CertificateFiles, clock: IReactorTime) -> None:
        self._files = files
        self._watched = WatchedFiles(files.paths, clock)
        self._options = files.load()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._options.getContext(), None)

    def reload(self) -> None:
        """Read the files again.

        :raises ValueError: with what is wrong with them; what was read before stays.
        """
        self._watched.reading()
        self._options = self._files.load()

    def look(self) -> None:
        """Read the files again if they have changed, which is seen within a second.

        What is wrong with them is logged.
        """
        if not self._watched.changed:
            return
        try:
            self.reload()
        except ValueError as error:
            self._log.error("certificates stay as they were: {error}", error=error)
        else:
            self._log.info("certificates were read again")
