"""Nodes that speak TLS. Only a process that speaks it imports this, and so OpenSSL."""

from __future__ import annotations

from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.transport.certificates import CertificateFiles
from telemetry_twisted.transport.tls import Certificates


class Secured:
    """Has what a factory makes speak TLS, with the certificates that are in ``files`` then.

    :raises ValueError: from the start, with what is wrong with them.
    """

    def __init__(self, files: CertificateFiles, reactor: IServerReactor) -> None:
        self._certificates = Certificates(files, reactor)
        self._reactor = reactor

    def __call__(self, factory: ServerFactory) -> TLSMemoryBIOFactory:
        self._certificates.look()
        return TLSMemoryBIOFactory(self._certificates, False, factory, self._reactor)
