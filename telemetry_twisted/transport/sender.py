"""The one that writes to a connection: in order, whole frames, and nobody beside it.

Whatever goes to the other end of a connection goes through its :class:`Sender`, so that nothing
ever gets between the bytes of a *frame*: a WebSocket frame or a record, in pieces that are sent as
they are, without being joined. What has to go out soon (pings, pongs) is put between frames, ahead
of what waits, and the last word of a connection is followed by nothing.

What may wait is bounded by those who use a sender, and each is told how: frames are written while
it is ``flowing``, or a producer is paused by its ``backlog``; of frames that go ahead, one of each
kind waits.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from itertools import chain
from math import inf
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .sink import Frame, Piece, Sink
from .waiting import WaitingFrames, size_of

PIECES_AT_ONCE = 512
"""Most pieces that are handed to the system at once; it takes 1,024 (``IOV_MAX``)."""

_NO_ROOM = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM)
"""What the system says when it takes nothing for now, the last two when it is short of memory for a
moment; the connection is as good."""


class State(Enum):
    """What a sender is about to do.

    ========== =================================================================================
    OPEN       what is written goes out at once
    YIELDED    it has written its share of a turn of the reactor, and goes on in the next one
    BLOCKED    the system takes no more; the reactor tells when it does
    CLOSING    nothing more is taken; what is queued goes out first
    CLOSED     nothing goes out any more
    ========== =================================================================================
    """

    OPEN = "open"
    YIELDED = "yielded"
    BLOCKED = "blocked"
    CLOSING = "closing"
    CLOSED = "closed"


_OPEN = State.OPEN  # looked up once: that takes longer than to compare


class SenderGroup(Protocol):
    """Senders to which the same is written by one call, while all of it goes out at once.

    ``sent`` is what each member was sent by the group while it was in it, and by those before it.
    """

    sent: int

    def stopped(self, sender: Sender, /) -> None:
        """``sender`` is not open any more, and so has to leave the group."""


class Sender:
    """Owns the outgoing side of a connection.

    ``state`` is for others to read.

    :param ready: called by the reactor, never from within a method that writes, when nothing waits
        any more: it is OPEN again, or all is out that was to go out before it closes.
    :param turn_bytes: its share of a turn of the reactor.
    :param state: BLOCKED if the sink has something of its own to write before.
    :param descriptor: of the socket, if a group may write to it past ``sink`` (:meth:`join`).
    """

    def __init__(
        self,
        sink: Sink,
        clock: IReactorTime,
        ready: Callable[[], None],
        turn_bytes: float = inf,
        state: State = State.OPEN,
        descriptor: int | None = None,
    ) -> None:
        self.state = state
        self.descriptor = descriptor
        self._sent = 0
        self._group: SenderGroup | None = None
        self._sink = sink
        self._clock = clock
        self._ready = ready
        self._turn_bytes = turn_bytes
        self._written = 0
        self._next_turn: IDelayedCall | None = None
        self._leaving = False
        self._waiting = WaitingFrames()
        self._accepted: tuple[int, int] | None = None
        self._relieved = 0
        self._since = clock.seconds()

    @property
    def backlog(self) -> int:
        """How many bytes wait here."""
        return self._waiting.size

    @property
    def sent(self) -> int:
        """How many bytes have been taken."""
        return self._sent if self._group is None else self._sent + self._group.sent

    @property
    def flowing(self) -> bool:
        """Whether what is written goes out at once."""
        return self.state is _OPEN

    @property
    def takes(self) -> bool:
        """Whether what is written will go out, now or later."""
        return self.state is not State.CLOSING and self.state is not State.CLOSED

    @property
    def waits_ahead(self) -> bool:
        """Whether a frame that goes ahead has not gone yet."""
        return self._waiting.some_ahead

    def write(self, frame: Frame) -> None:
        """Send ``frame`` at once if possible, and else in its turn."""
        if self.state is _OPEN and not self._waiting.size and len(frame) <= PIECES_AT_ONCE:
            self.write_flowing((frame,))
        else:
            self.queue(frame)
            self.flush()

    def write_flowing(self, frames: Sequence[Frame]) -> int:
        """Send ``frames`` at once, as far as there is room, while it is flowing and nothing waits.

        :returns: how many of them have gone or, the last one, have begun to or wait here. The
            others are the caller's.
        """
        pieces = frames[0] if len(frames) == 1 else list(chain.from_iterable(frames))
        return self._took(frames, size_of(pieces), self._offer(pieces))

    def join(self, group: SenderGroup) -> None:
        """Be written to by ``group`` too, past this sender, while it flows and nothing waits."""
        self._group = group
        self._sent -= group.sent

    def part(self) -> None:
        """Be written to by no group any more."""
        if self._group is not None:
            self._sent += self._group.sent
            self._group = None

    def written_past(self, frames: Sequence[Frame], size: int, taken: int) -> int:
        """A group that it was in has written ``frames``, of which so many bytes were ``taken``.

        :param size: bytes in ``frames``.
        :param taken: less than all, or the number of an error (``errno``), negated.
        :returns: as :meth:`write_flowing`.
        """
        if taken < 0:
            taken = self._refused(-taken)
        self._sent += taken
        return self._took(frames, size, taken)

    def _took(self, frames: Sequence[Frame], size: int, taken: int) -> int:
        self._written += taken
        if self.state is not _OPEN:
            return 0
        if taken == size:
            if self._written >= self._turn_bytes:
                self._yield()
            return len(frames)
        number = 0
        while taken >= (size := size_of(frames[number])):
            taken -= size
            number += 1
        self._waiting.append(frames[number], size)
        self._waiting.forget(taken)
        self._block()
        return number + 1

    def queue(self, frame: Frame) -> None:
        """Have ``frame`` sent by the next :meth:`flush`, or later in its turn."""
        size = size_of(frame)
        if size and self.takes:
            self._waiting.append(frame, size)

    def write_ahead(self, kind: Hashable, frame: Frame) -> None:
        """Send ``frame`` before all frames that wait, unless one of them has partly gone.

        One of the same ``kind`` that still waits is not sent: who pings often and reads little is
        owed an answer to the last ping alone (RFC 6455, 5.5.3).
        """
        if self.takes:
            self._waiting.put_ahead(kind, frame)
            self.flush()

    def end(self, last: Frame) -> None:
        """Send ``last`` before all frames that wait, which are dropped, and nothing after it."""
        if self.takes:
            self._waiting.end_with(last)
            self._close()

    def close(self) -> None:
        """Take nothing more; have the connection ended when all that waits is out."""
        self._leaving = True
        self._close()

    def lost(self) -> None:
        """The connection is gone, or is to go at once: what waits is dropped."""
        self._stop(State.CLOSED)
        self._waiting.clear()
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def flush(self) -> None:
        """Send what is queued, as far as there is room, if nothing has to be waited for."""
        if self.state is State.OPEN:
            self._send()

    def room(self) -> None:
        """There is room in the sink again."""
        if self.state in (State.BLOCKED, State.CLOSING) and self._next_turn is None:
            self._go_on()

    def stalled_for(self, now: float) -> float:
        """Seconds since the other end accepted a byte, or since none waited; ask regularly.

        Who reads slowly takes something now and then. Who is gone without a word, or does not read,
        takes nothing, however much is written.
        """
        accepted = self._sink.accepted()
        mark = None if accepted is None else (accepted, self._relieved)
        if mark is None or mark != self._accepted:
            self._accepted = mark
            self._since = now
        return now - self._since

    def _close(self) -> None:
        before = self.state
        if before is State.CLOSED:
            return
        self._stop(State.CLOSING)
        # Where the reactor is waited for, that goes on with what is left.
        if before is State.OPEN or (not self.backlog and self._next_turn is None):
            self._send()

    def _begin_turn(self) -> None:
        self._next_turn = None
        self._go_on()

    def _go_on(self) -> None:
        before = self.backlog
        self._written = 0
        self._send()
        self._relieved += self.backlog < before
        if self.state is State.OPEN or (self.state is State.CLOSING and not self.backlog):
            self._ready()

    def _send(self) -> None:
        """Offer what waits to the sink, once, and see where that leaves us."""
        if self.backlog:
            pieces = self._waiting.pieces(PIECES_AT_ONCE)
            taken = self._offer(pieces)
            if self.state is State.CLOSED:
                return
            self._waiting.forget(taken)
            if taken < size_of(pieces):
                self._block()
                return
            self._written += taken
            if self.backlog or self._written >= self._turn_bytes:
                self._yield()
                return
        if self.takes:
            self.state = State.OPEN
        elif self._leaving and self.state is State.CLOSING:
            self._stop(State.CLOSED)
            self._sink.all_out()

    def _stop(self, state: State) -> None:
        """Be open no more: whatever is written from now on waits here, or goes nowhere."""
        self.state = state
        if self._group is not None:
            self._group.stopped(self)

    def _block(self) -> None:
        if self.state is not State.CLOSING:
            self._stop(State.BLOCKED)
        self._sink.await_room()

    def _yield(self) -> None:
        if self.state is not State.CLOSING:
            self._stop(State.YIELDED)
        self._next_turn = self._clock.callLater(0, self._begin_turn)

    def _offer(self, pieces: Sequence[Piece]) -> int:
        try:
            taken = self._sink.take(pieces)
        except BlockingIOError:
            return 0
        except OSError as error:
            return self._refused(error.errno)
        self._sent += taken
        return taken

    def _refused(self, error: int | None) -> int:
        """The system would take nothing, and said why."""
        if error not in _NO_ROOM:
            self.lost()
            self._sink.broken()
        return 0
