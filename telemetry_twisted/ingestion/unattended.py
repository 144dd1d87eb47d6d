"""Turns of the pool that follow each other without Python, while nothing else is to be done.

A thousand nodes that say a little wake a process thousands of times a second, each time for a few
events. Between two such turns the reactor looks for timers and for other descriptors, and finds
none, which takes longer than the turn. So a compiled pool waits for the reactor's own descriptors
itself: as long as it alone is ready, it takes its turn and sends the chunks, and only what is of
another kind (facts, faults, endings, a link that is full, a timer that is due, any other
descriptor) has it come back. It waits where the reactor would, for no longer and no less.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.base import ReactorBase
from twisted.internet.epollreactor import EPollReactor

from telemetry_twisted.transport.link import Link

from .moments import Moments
from .pool import Turn

MOST_SECONDS = 1.0
"""How long it goes on at most before the reactor has its turn, whatever is ready."""


class CompiledTurns(Protocol):
    """What the compiled module offers; made of ``(pool, reactor, link)``, the latter descriptors of
    the reactor's ``epoll``, with which the pool is registered, and of the link's socket.
    """

    def run(
        self, shown: bytes, wall: int, second: int, seconds: float
    ) -> tuple[Turn, int, int, list[bytes], int]:
        """Take turns for so many ``seconds``, and the first one at once.

        It ends with a turn in which a node said something that is not only for subscribers; that
        one's chunks are left in the writer.

        :param shown: how the second ``wall`` of Unix time begins in RFC 3339, up to the fraction.
        :param second: of the clock that nobody sets. With the end of either second, it ends.
        :returns: the last turn, when it began in microseconds of Unix time, how many bytes were
            sent, the records that were not sent whole, and how many bytes of those were, or the
            number of the error, negated.
        """


class UnattendedTurns:
    """Has a compiled pool take turns by itself.

    :param compiled: a pool's.
    :param link: where chunks go.
    """

    def __init__(
        self, compiled: CompiledTurns, link: Link, reactor: ReactorBase, moments: Moments
    ) -> None:
        self._compiled = compiled
        self._link = link
        self._reactor = reactor
        self._moments = moments

    @property
    def possible(self) -> bool:
        """Whether what is sent goes out at once."""
        return self._link.flowing

    def run(self) -> tuple[Turn, int]:
        """Take turns; the writer has been told the moment.

        :returns: the last one, and when it began, in microseconds of Unix time.
        """
        due = self._reactor.timeout()
        seconds = MOST_SECONDS if due is None else min(due, MOST_SECONDS)
        turn, received, sent, unsent, taken = self._compiled.run(*self._moments.second, seconds)
        self._link.written_past(sent, unsent, taken)
        return turn, received


def epoll_of(reactor: Any) -> int | None:
    """The descriptor that is readable while ``reactor`` has one to look after, if it has such."""
    # Twisted has no public name for it, and no other way to wait for all that its reactor does.
    return reactor._poller.fileno() if isinstance(reactor, EPollReactor) else None
