"""Reads the sockets of admitted nodes, many in one turn: the interface of the two pools.

A thousand nodes that say a little are read from thousands of times a second. If each read went
through the reactor, a transport and a protocol, those would cost more than the events. So the
sockets are in one ``epoll``, which the reactor watches as one reader, and a turn of the pool reads
those that are ready into a :class:`~.chunks.ChunkWriter`. What is done in Python is done once for
each turn. The compiled pool is in :mod:`._pool`, the other in :mod:`.python_pool`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from telemetry_twisted.jip3.codec import Fault, Stream

READ_BYTES = 1 << 15
"""How much is read from a node at once, which is also what it may hold while the hub is busy."""

TURN_BYTES = 1 << 17
"""After how many bytes a turn ends, so that the reactor gets to do other things: milliseconds."""


class Told(NamedTuple):
    """What a node said in a turn that is not only for subscribers.

    ``connection`` is its number in this process; the others are as in :class:`~.chunks.Fed`, and
    one of them at least is not empty.
    """

    connection: int
    facts: bytes
    newest: bytes
    faults: list[Fault]


class Ended(NamedTuple):
    """A connection that is not read from any more, and is no longer in the pool.

    ``why`` is None at the end of the stream, an :class:`OSError` where reading failed, a
    :class:`~telemetry_twisted.jip3.codec.FrameTooLong`; anything else is a mistake of the server's.
    """

    connection: int
    why: Exception | None


class Turn(NamedTuple):
    """What a turn found, beside the events, which are in the writer.

    ``told`` has at most one item for each connection. ``ended`` comes after ``told``: what a
    connection sent before it ended is in the writer, and told of. ``more`` says whether the turn
    was ended by a bound, so that there may be more to read.
    """

    told: list[Told]
    ended: list[Ended]
    more: bool


class NodePool(Protocol):
    """Owns reading from the sockets of admitted nodes; whoever has the sockets closes them.

    Made of ``(writer, max_message_size)``: where events go, and the longest message content in
    bytes. What is wrong with one connection, and what goes wrong with it, ends that one alone.
    """

    def fileno(self) -> int:
        """A descriptor that is readable while there is something for :meth:`turn` to do."""

    def add(
        self,
        connection: int,
        descriptor: int,
        stream: Stream,
        handle: int,
        rest: bytes,
        rate: int,
        spent: int,
        now: float,
    ) -> None:
        """Read from the non-blocking socket ``descriptor`` from now on.

        :param connection: its number in this process.
        :param stream: decodes what comes, for the node with ``handle``.
        :param rest: what was read already: the beginning of a frame that is not whole, and is not
            too long, or nothing.
        :param rate: events a second that are written (:class:`~.rate.RateLimit`), those beyond are
            passed over; 0 where there is no limit.
        :param spent: how many events of it were written already, out of what it may send at once.
        :param now: seconds of the clock that nobody sets, as in :meth:`turn`.
        :raises OSError: if it cannot be read from; it is not in the pool then.
        """

    def remove(self, connection: int) -> None:
        """Read from it no more. Call it before the socket is closed; it does nothing twice.

        What it sent since the last :meth:`take_changed` is still told of there.
        """

    def turn(self, now: float) -> Turn:
        """Read once from each socket that is ready, until a bound of the turn is reached.

        Those that are ready and were not reached come first the next time. At most
        :data:`READ_BYTES` are read from a socket; it is only known to have ended when all that came
        before is read.
        """

    def heard(self, connection: int) -> float:
        """When bytes last came from it, or it was added, in seconds; it is in the pool."""

    def take_changed(self) -> list[tuple[int, int]]:
        """The connections that sent whole frames since the last call; others may be among them.

        Each is there once, with how many of its messages were passed over by the rate limit, even
        if it is gone meanwhile.
        """

    def close(self) -> None:
        """Read from no socket any more."""
