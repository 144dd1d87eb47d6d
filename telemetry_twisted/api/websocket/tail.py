"""Subscribers at the tail of a channel: what comes is the same for all, and is sent by one call.

Who has read all that there is of a channel waits at its tail, together with all others there who
want as many events in a frame. They have one cursor, one frame is made for them, and what they have
been sent is counted once. Nothing is done for one of them alone until the system takes less than
all of a frame, or the sender has stopped, or there is something to be told to that one in its turn:
then it leaves, with a cursor of its own, and comes back when it stands at the tail again.

Subscribers whose bytes have to be encrypted go on by themselves all the time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from telemetry_twisted.hub.channel import Channel, Cursor
from telemetry_twisted.hub.histogram import Histogram
from telemetry_twisted.hub.memo import Made
from telemetry_twisted.transport.fan_out import SendToAll
from telemetry_twisted.transport.sender import Sender

from .transport import TURN_BYTES, UNSENT_BYTES

AT_ONCE_BYTES = UNSENT_BYTES
"""How much is written by one call; the more, the less it costs, and who keeps up has room for so
much."""


class Member(Protocol):
    """Who stands at a tail, and what is written by."""

    sender: Sender

    def left_tail(self, cursor: Cursor, events: int) -> None:
        """It goes on by itself at ``cursor``, and was sent ``events``, as :class:`Tail` counts."""

    def written_past(self, made: Sequence[Made], size: int, taken: int) -> None:
        """It has left, as of ``made`` not all was taken (:meth:`.Sender.written_past`)."""

    def wake(self) -> None:
        """It has left, as there is something of its own for it."""

    def failed(self, failure: Failure) -> None:
        """A mistake of the server's own was made for it."""


class Tail:
    """Those at the tail of ``channel`` who want ``batch`` events in a frame at most.

    ``sent`` and ``events`` are the bytes and events that were sent to each as long as it exists: a
    member was sent what is added while it is there.

    :param frames: counts events in each frame.
    :param turn_bytes: how much is written to a member before others have their turn.
    :param empty: called when nobody is there any more.
    """

    def __init__(
        self,
        channel: Channel,
        batch: int,
        frames: Histogram,
        clock: IReactorTime,
        send_to_all: SendToAll,
        turn_bytes: int,
        empty: Callable[[], object],
    ) -> None:
        self.sent = 0
        self.events = 0
        self._channel = channel
        self._batch = batch
        self._frames = frames
        self._clock = clock
        self._send_to_all = send_to_all
        self._turn_bytes = turn_bytes
        self._empty = empty
        self._cursor = channel.tail()
        self._next_turn: IDelayedCall | None = None
        # The members, their sockets in the same order, and each one's place in that.
        self._members: list[Member] = []
        self._descriptors = array("i")
        self._places: dict[Sender, int] = {}

    def take_in(self, member: Member, descriptor: int, cursor: Cursor) -> bool:
        """Let ``member``, which stands at ``cursor``, stand here, unless the others are not so far.

        :param descriptor: of its socket.
        """
        if cursor.position != self._cursor.position:
            return False
        if not self._members:
            self._channel.wait(self)
        self._places[member.sender] = len(self._members)
        self._members.append(member)
        self._descriptors.append(descriptor)
        member.sender.join(self)
        return True

    def let_go(self, member: Member) -> None:
        """Let ``member`` go on by itself."""
        place = self._places.pop(member.sender)
        last, descriptor = self._members.pop(), self._descriptors.pop()
        if last is not member:
            self._members[place] = last
            self._descriptors[place] = descriptor
            self._places[last.sender] = place
        member.sender.part()
        member.left_tail(self._cursor.copy(), self.events)
        if not self._members:
            self._channel.forget(self)
            if self._next_turn is not None:
                self._next_turn.cancel()
                self._next_turn = None
            self._empty()

    def stopped(self, sender: Sender) -> None:
        """A member's ``sender`` is not open any more."""
        self.let_go(self._members[self._places[sender]])

    def wake(self) -> None:
        """There is more (:class:`~telemetry_twisted.hub.channel.Reader`)."""
        try:
            self._go_on()
        except Exception:
            failure = Failure()
            for member in self._members.copy():
                member.failed(failure)

    def _go_on(self) -> None:
        channel, cursor = self._channel, self._cursor
        written = 0
        while self._members:
            if not channel.holds(cursor):
                self._part_company()
                return
            alone = len(self._members) >= channel.readers
            made = channel.read_ahead(cursor, None, self._batch, alone, AT_ONCE_BYTES)
            written += self._write(made)
            if cursor.position == channel.total:
                if self._members:
                    channel.wait(self)
                return
            if written >= self._turn_bytes and self._members:
                self._next_turn = self._clock.callLater(0, self._begin_turn)
                return

    def _begin_turn(self) -> None:
        self._next_turn = None
        self.wake()

    def _part_company(self) -> None:
        """The ring has moved past the cursor: each is to be told what it missed."""
        members = self._members.copy()
        for member in members:
            self.let_go(member)
        for member in members:
            member.wake()

    def _write(self, made: Sequence[Made]) -> int:
        """Send ``made`` to all, and let go of those that did not take all; returns its bytes."""
        if len(made) == 1:  # as for most who keep up
            pieces, size = made[0].frame, made[0].size
        else:
            pieces = list(chain.from_iterable([frame.frame for frame in made]))
            size = sum([frame.size for frame in made])
        behind = self._send_to_all(self._descriptors, pieces)
        if behind:
            for member, taken in [(self._members[place], taken) for place, taken in behind]:
                self.let_go(member)
                try:
                    member.written_past(made, size, taken)
                except Exception:
                    member.failed(Failure())
        self.sent += size
        cursor, members = self._cursor, len(self._members)
        for frame in made:
            self.events += frame.events
            self._frames.observe(frame.events, members)
            cursor.move_past(frame)
        return size


class Tails:
    """The tails at which somebody stands.

    :param frames: counts events in each frame.
    """

    def __init__(
        self,
        frames: Histogram,
        clock: IReactorTime,
        send_to_all: SendToAll,
        turn_bytes: int = TURN_BYTES,
    ) -> None:
        self._frames = frames
        self._clock = clock
        self._send_to_all = send_to_all
        self._turn_bytes = turn_bytes
        self._tails: dict[tuple[Channel, int], Tail] = {}

    def __len__(self) -> int:
        return len(self._tails)

    def take_in(self, member: Member, channel: Channel, batch: int, cursor: Cursor) -> Tail | None:
        """Let ``member``, which has read all of ``channel``, stand at its tail.

        :returns: where it stands, or None if it has to go on by itself.
        """
        descriptor = member.sender.descriptor
        if descriptor is None:
            return None
        place = channel, batch
        tail = self._tails.get(place)
        if tail is None:
            tail = self._tails[place] = Tail(
                channel,
                batch,
                self._frames,
                self._clock,
                self._send_to_all,
                self._turn_bytes,
                lambda: self._tails.pop(place),
            )
        return tail if tail.take_in(member, descriptor, cursor) else None
