"""Has the reactor read the pool, and the connections of its nodes told what it saw."""

from __future__ import annotations

import fcntl
import select
import sys
import termios
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor

from .assembler import Assembler, Source
from .pool import Ended, NodePool, Told, Turn
from .unattended import UnattendedTurns

POOL = "pool of nodes"
"""The place of mistakes in what is done for many nodes at once (:class:`.InternalErrors`)."""


class Pooled(Protocol):
    """A connection whose socket the pool reads, with the number that it has in this process."""

    connection: int

    def fileno(self) -> int:
        """The descriptor of its socket."""

    def reading_ended(self, why: Exception | None) -> None:
        """It is in the pool no more (:class:`.pool.Ended`)."""

    def failed(self, failure: Failure) -> None:
        """A mistake of the server's own was made with what it sent."""


@implementer(IReadDescriptor)
class PoolReader:
    """The one reader that the reactor knows for all nodes in the pool.

    ``reading`` says whether they are read from.

    :param unattended: takes turns by itself, if there is such.
    """

    def __init__(
        self,
        pool: NodePool,
        assembler: Assembler,
        reactor: IServerReactor,
        errors: InternalErrors,
        unattended: UnattendedTurns | None = None,
    ) -> None:
        self.reading = False
        self._unattended = unattended
        self._pool = pool
        self._assembler = assembler
        self._reactor = reactor
        self._errors = errors
        self._members: dict[int, Pooled] = {}
        self._stopped = False
        self._rest = 0.0
        self._resting: IDelayedCall | None = None
        self.go_on()

    def join(self, member: Pooled, source: Source, rest: bytes, rate: int) -> None:
        """Have the pool read from ``member``.

        The other parameters are those of :meth:`.pool.NodePool.add`.

        :raises OSError: if it cannot be read from.
        """
        self._pool.add(
            member.connection,
            member.fileno(),
            source.stream,
            source.handle,
            rest,
            rate,
            source.intake.events,
            self._reactor.seconds(),
        )
        self._members[member.connection] = member

    def leave(self, member: Pooled) -> None:
        """Have it read from no more, before its socket is closed; it may have left already."""
        if self._members.pop(member.connection, None) is not None:
            self._pool.remove(member.connection)

    def silent(self, member: Pooled) -> float:
        """For how many seconds it has sent nothing; 0 while it is not read from."""
        if not self.reading or member.connection not in self._members:
            return 0.0
        return self._reactor.seconds() - self._pool.heard(member.connection)

    def look_for_ends(self) -> None:
        """While nodes are not read, let go of those that have left, and have said nothing more."""
        if self.reading or self._stopped:
            return
        members = {member.fileno(): member for member in self._members.values()}
        ends = select.poll()
        for descriptor in members:
            ends.register(descriptor, select.POLLRDHUP)
        for descriptor, _ in ends.poll(0):
            if not unread_bytes(descriptor):
                member = members[descriptor]
                self.leave(member)
                with self._errors.kept_at(POOL):
                    member.reading_ended(None)

    def rest(self, seconds: float) -> None:
        """Rest for so long between turns; with 0, read on at once."""
        self._rest = seconds
        if not seconds and self._resting is not None:
            self.go_on()

    def hold(self) -> None:
        """Read no node until :meth:`go_on`."""
        self.reading = False
        self._wake_up()
        self._reactor.removeReader(self)

    def go_on(self) -> None:
        """Read on, unless it was stopped."""
        if not self._stopped:
            self.reading = True
            self._wake_up()
            self._reactor.addReader(self)

    def _wake_up(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def stop(self) -> None:
        """Read no node any more, for good."""
        self._stopped = True
        self.hold()

    def doRead(self) -> None:
        ended: list[Ended] = []
        more = False
        # Of a mistake that came out of here the reactor would make the end of the pool.
        with self._errors.kept_at(POOL):
            self._assembler.begin_turn()
            told, ended, more = self._turn()
            for each in told:
                self._tell(each)
            self._assembler.end_turn()
        for connection, why in ended:
            member = self._members.pop(connection, None)
            if member is not None:
                with self._errors.kept_at(POOL):
                    member.reading_ended(why)
        if self._rest and self.reading and not more:
            self._reactor.removeReader(self)
            self._resting = self._reactor.callLater(self._rest, self._rested)

    def _turn(self) -> Turn:
        unattended = self._unattended
        if unattended is None or self._rest or not unattended.possible:
            return self._pool.turn(self._reactor.seconds())
        turn, received = unattended.run()
        self._assembler.turn_began(received)
        return turn

    def _rested(self) -> None:
        self._resting = None
        self.go_on()

    def _tell(self, told: Told) -> None:
        try:
            self._assembler.tell(*told)
        except Exception:
            self._members[told.connection].failed(Failure())

    def fileno(self) -> int:
        return self._pool.fileno()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        self.stop()

    def logPrefix(self) -> str:
        return "pool"


def unread_bytes(descriptor: int) -> int:
    """How many bytes have come to a socket and were not read."""
    unread = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    return int.from_bytes(unread, sys.byteorder)
