"""TLS, with certificates that are renewed while the server runs. This imports OpenSSL."""

from __future__ import annotations

import re

from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.filepath import FilePath
from zope.interface import implementer

from telemetry_twisted.files import WatchedFiles

from .certificates import CertificateFiles

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def load_certificates(files: CertificateFiles) -> ssl.CertificateOptions:
    """What TLS connections are made of.

    :raises ValueError: with what is wrong with which file.
    """
    own, *issuers = _certificates(files.certificate)
    if files.chain is not None:
        issuers += _certificates(files.chain)
    options = ssl.CertificateOptions(
        privateKey=_private_key(files.private_key),
        certificate=own,
        extraCertChain=issuers,
        dhParameters=None
        if files.dh_parameters is None
        else ssl.DiffieHellmanParameters.fromFile(FilePath(files.dh_parameters)),
    )
    try:
        options.getContext()
    except SSL.Error as error:
        raise ValueError(
            f"{files.private_key} and {files.certificate} do not go together ({_reason(error)})"
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
        self._options = load_certificates(files)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._options.getContext(), None)

    def reload(self) -> None:
        """Read the files again.

        :raises ValueError: with what is wrong with them; what was read before stays.
        """
        self._watched.reading()
        self._options = load_certificates(self._files)

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


@implementer(IStreamServerEndpoint)
class TLSServerEndpoint:
    """Speaks TLS on what ``endpoint`` listens at, with the certificates that are there then."""

    def __init__(
        self, endpoint: IStreamServerEndpoint, certificates: Certificates, clock: IReactorTime
    ) -> None:
        self._endpoint = endpoint
        self._certificates = certificates
        self._clock = clock

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        wrapped = TLSMemoryBIOFactory(self._certificates, False, protocolFactory, self._clock)
        return self._endpoint.listen(wrapped)
