"""Listening at an endpoint, as a service."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import (
    IFileDescriptor,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from telemetry_twisted.addresses import host_and_port
from telemetry_twisted.endpoints import server_endpoint

from .starting import CannotStart

if TYPE_CHECKING:
    from telemetry_twisted.transport.tls import Certificates

_MODE = re.compile(r"(?<!\\):mode=")


BACKLOG = 256
"""How many connections may wait to be accepted.

Twisted accepts all that wait in one turn of the reactor, so that many more would hold it.
"""


class CannotListen(CannotStart):
    """An endpoint cannot be listened on."""

    def __init__(self, option: str, endpoint: str, reason: object) -> None:
        why = str(reason).rstrip(".")
        # A socket in the file system is in use while somebody holds its lock.
        used = "in use" in why or "acquire lock" in why
        give = "Stop what uses it, or give" if used else "Give"
        super().__init__(
            f"{option} {endpoint} cannot be listened on: {why}. {give} another one with {option}."
        )


@frozen
class NamedEndpoint:
    """An endpoint, with the option and the text that it comes from."""

    option: str
    text: str
    endpoint: IStreamServerEndpoint


def named_endpoint(
    option: str, text: str, reactor: Any, renewable: Callable[[Certificates], object]
) -> NamedEndpoint:
    """The endpoint that ``text`` describes; a socket in the file system is for its owner alone.

    Twisted has such a socket open to all users unless the text says ``mode=``.

    :param renewable: called with the certificates of an ``ssl:`` endpoint.
    """
    private = text.startswith("unix:") and not _MODE.search(text)
    described = f"{text}:mode=600" if private else text
    return NamedEndpoint(option, text, server_endpoint(reactor, described, renewable))


class Listening(Service):
    """Listens at an endpoint, from before the process gives up its privileges.

    ``port`` is there as soon as it listens, which most endpoints do at once.

    :param lost: told when the endpoint took its time and then could not be listened on.
    """

    _log = Logger()

    def __init__(
        self,
        named: NamedEndpoint,
        factory: IProtocolFactory,
        lost: Callable[[CannotListen], None],
    ) -> None:
        self.setName(named.option)
        self.port: IListeningPort | None = None
        self._named = named
        self._factory = factory
        self._lost = lost
        self._pending: Deferred[Any] | None = None
        self._over = False

    def privilegedStartService(self) -> None:
        """Listen.

        :raises CannotListen: if the endpoint says so at once.
        """
        refusals: list[CannotListen] = []
        report: Callable[[CannotListen], None] = refusals.append

        def refused(failure: Failure) -> None:
            if not self._over or not failure.check(CancelledError):
                report(
                    CannotListen(self._named.option, self._named.text, failure.getErrorMessage())
                )

        listening = maybeDeferred(self._named.endpoint.listen, self._factory)
        self._pending = listening.addCallback(self._listens).addErrback(refused)
        if refusals:
            raise refusals[0]
        report = self._lost

    def startService(self) -> None:
        """Listen, unless it does: ``twist`` has no privileged start."""
        if self._pending is None:
            self.privilegedStartService()
        Service.startService(self)

    def _listens(self, port: IListeningPort) -> object:
        if self._over:
            return port.stopListening()
        self.port = port
        _make_room(port)
        self._log.info("{option}: {place}", option=self._named.option, place=place(port.getHost()))
        return None

    def stopService(self) -> Deferred[Any]:
        """Accept no more."""
        Service.stopService(self)
        self._over = True
        if self._pending is not None:
            self._pending.cancel()
        if self.port is None:
            return maybeDeferred(lambda: None)
        return maybeDeferred(self.port.stopListening)


def _make_room(port: IListeningPort) -> None:
    """Let more come at once than the usual backlog of an endpoint has room for, if it is a socket.

    All subscribers come back at once; whoever finds no room tries again a second later.
    """
    if IFileDescriptor.providedBy(port):
        with socket.socket(fileno=os.dup(port.fileno())) as listening:
            listening.listen(BACKLOG)


def place(address: object) -> str:
    """An address that is listened on, as people write it."""
    if isinstance(address, (IPv4Address, IPv6Address)):
        return host_and_port(address.host, address.port)
    if isinstance(address, UNIXAddress) and address.name is not None:
        # Names that begin with a null byte are in no file system (unix(7)).
        return os.fsdecode(address.name).replace("\0", "@", 1)
    return str(address)
