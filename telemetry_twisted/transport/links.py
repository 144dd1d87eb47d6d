"""Links that are read together, so that what they bring in one turn is handed on as one.

The hub has a link to each ingestion process, and what comes over any of them goes to the same
subscribers. Read one by one, each read would wake them all; read in one turn, all do it once.
"""

from __future__ import annotations

import select
from collections.abc import Callable

from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor

from .link import Link, Waiting

LINKS_A_TURN = 4
"""Most links that are read before what they brought is handed on; the others are read next."""

COMPANY_SECONDS = 0.00014
"""How long a turn waits for what comes next, with which it may share a frame.

Where nothing else runs, timers are 0.05 ms late at most. So this stays below the 0.2 ms that an
event may wait for company in all (protocol, ``batch``), of which nobody else takes a part.
"""

OFTEN_SECONDS = 0.001
"""Turns that follow within it are many, and company is likely."""

LITTLE_SECONDS = 0.0002
"""A turn that took longer had much to do: what comes next has come meanwhile, and waits already."""

LINKS = "turn of the links"
"""The place of mistakes that end a link, or are made at its end (:class:`.InternalErrors`)."""


def do_nothing_for(seconds: float) -> None:
    """Wait as :func:`time.sleep` does, but by no clock that could be set, and that could refuse."""
    select.select((), (), (), seconds)


def together(reactor: IServerReactor, errors: InternalErrors) -> Waiting:
    """Where links are to wait that are read together: with the reactor where there is no epoll."""
    return Links(reactor, errors) if hasattr(select, "epoll") else reactor


@implementer(IReadDescriptor)
class Links:
    """Where links wait until they can be read or written, instead of with the reactor each.

    It is one reader of the reactor's, readable when one of its links is ready. In a turn those that
    are ready are read, and then each is told that it was (:meth:`.Link.read_done`).

    While turns are many and small, each waits for company, which costs the hub less than the turns
    that it saves (bench/README.md, "Waiting for company"). A lone record waits for nothing.

    :param pause: has the process do nothing for so many seconds.
    """

    def __init__(
        self,
        reactor: IServerReactor,
        errors: InternalErrors,
        pause: Callable[[float], object] = do_nothing_for,
    ) -> None:
        self._reactor = reactor
        self._pause = pause
        self._often_until = 0.0
        self._errors = errors
        self._ready = select.epoll()
        self._links: dict[int, Link] = {}  # while they are open, by descriptor
        self._awaited: dict[Link, int] = {}  # what each waits for; they are those of _links

    def addReader(self, link: Link) -> None:
        """Read ``link`` when there is something."""
        self._await(link, self._awaited.get(link, 0) | select.EPOLLIN)

    def removeReader(self, link: Link) -> None:
        """Read ``link`` no more."""
        self._await(link, self._awaited.get(link, 0) & ~select.EPOLLIN)

    def addWriter(self, link: Link) -> None:
        """Have ``link`` write when there is room."""
        self._await(link, self._awaited.get(link, 0) | select.EPOLLOUT)

    def removeWriter(self, link: Link) -> None:
        """Have ``link`` write no more."""
        self._await(link, self._awaited.get(link, 0) & ~select.EPOLLOUT)

    def _await(self, link: Link, events: int) -> None:
        before = self._awaited.get(link, 0)
        if events == before:
            return
        descriptor = link.fileno()
        if not before:
            self._ready.register(descriptor, events)
            if not self._links:
                self._reactor.addReader(self)
            self._links[descriptor] = link
        elif events:
            self._ready.modify(descriptor, events)
        else:
            self._ready.unregister(descriptor)
            del self._links[descriptor], self._awaited[link]
            if not self._links:
                self._reactor.removeReader(self)
            return
        self._awaited[link] = events

    def doRead(self) -> None:
        if self._reactor.seconds() < self._often_until:
            self._pause(COMPANY_SECONDS)
        began = self._reactor.seconds()
        self._take_turn()
        ended = self._reactor.seconds()
        self._often_until = ended + OFTEN_SECONDS if ended - began < LITTLE_SECONDS else 0.0

    def _take_turn(self) -> None:
        read: list[Link] = []
        for descriptor, events in self._ready.poll(0, LINKS_A_TURN):
            link = self._links.get(descriptor)
            if link is None:
                continue  # another one's records have had it closed
            if events & select.EPOLLOUT:
                with self._errors.kept_at(LINKS):
                    link.doWrite()
            if events != select.EPOLLOUT:
                read.append(link)
                self._read(link)
        for link in read:
            link.read_done()

    def _read(self, link: Link) -> None:
        try:
            end = link.read_records()
        except Exception:
            self._errors.note(LINKS, Failure())
            end = CONNECTION_LOST
        if end is not None:
            self.removeReader(link)
            self.removeWriter(link)
            # Of what came out of here the reactor would make the end of all links.
            with self._errors.kept_at(LINKS):
                link.connectionLost(Failure(end))

    def fileno(self) -> int:
        return self._ready.fileno()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""

    def logPrefix(self) -> str:
        return "links"
