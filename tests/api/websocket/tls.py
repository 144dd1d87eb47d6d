"""TLS in memory: a client behind a transport of Twisted's that encrypts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory, IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from telemetry_twisted.testing import MemoryTransport
from tests.certificates import make_root


@implementer(IOpenSSLContextFactory)
class _Server:
    """Who the server is."""

    @lru_cache  # noqa: B019
    def getContext(self) -> SSL.Context:
        identity = make_root()
        context = SSL.Context(SSL.TLS_METHOD)
        context.use_privatekey(identity.key)
        context.use_certificate(identity.certificate)
        return context


_SERVER = _Server()


class _Given(Factory):
    """Makes a protocol that is there already."""

    noisy = False

    def __init__(self, given: IProtocol) -> None:
        self._given = given

    def buildProtocol(self, _address: object) -> Any:
        return self._given


class TlsTransport(MemoryTransport):
    """A transport on which a protocol is wrapped in TLS, and the client that decrypts.

    The protocol is to be connected by :meth:`connect`. The buffer is small, so that it is full now
    and then.
    """

    bufferSize = 2000

    def __init__(self, protocol: IProtocol, reactor: MemoryReactorClock | None = None) -> None:
        self._tls: Any = TLSMemoryBIOFactory(
            _SERVER, False, _Given(protocol), clock=reactor
        ).buildProtocol(None)
        super().__init__(self._tls, reactor)
        self._client = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
        self._client.set_connect_state()
        self._clear = bytearray()

    def connect(self) -> None:
        """Connect the protocol, and shake hands."""
        self._tls.makeConnection(self)
        for _ in range(3):
            self._attempt(self._client.do_handshake)
            self._pass_on()
        self._client.do_handshake()

    def deliver(self, data: bytes) -> None:
        self._client.send(data)
        self._pass_on()

    def _pass_on(self) -> None:
        wire = self._attempt(lambda: self._client.bio_read(1 << 20)) or b""
        super().deliver(wire)
        self._decrypt()

    def received(self) -> bytes:
        self._decrypt()
        data = bytes(self._clear)
        self._clear.clear()
        return data

    def head(self) -> bytes:
        self._decrypt()
        head, _, rest = bytes(self._clear).partition(b"\r\n\r\n")
        self._clear[:] = rest
        return head

    def _decrypt(self) -> None:
        data = super().received()
        if data:
            self._client.bio_write(data)
        while piece := self._attempt(lambda: self._client.recv(1 << 16)):
            self._clear += piece

    @staticmethod
    def _attempt(step: Any) -> Any:
        try:
            return step()
        except (SSL.WantReadError, SSL.ZeroReturnError, SSL.SysCallError):
            return None
