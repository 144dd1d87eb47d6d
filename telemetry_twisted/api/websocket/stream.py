"""What a client is sent in order: events from the ring, and answers between them.

The ring is read at a cursor of the client's own for as long as its sender flows. When that is
blocked the stream stops; when it flows again, it goes on where it was, or, where the ring has moved
past that, the client is told how much it missed. Answers wait for their turn in the stream, so that
each stands between the events before and after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import define
from twisted.python.failure import Failure

from telemetry_twisted.hub.channel import FRAMES_BYTES, ONE_FRAME, Channel, Cursor, Reader
from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.hub.memo import Made
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport.sender import Sender

from .context import SUBSCRIBER, SubscriberContext
from .filters import summary
from .frames import frame_header, message
from .tail import Tail


@define(eq=False)
class _Subscription:
    """A stretch of the stream that is read through one channel, whose filter is shown as JSON."""

    channel: Channel
    cursor: Cursor
    shown: bytes


def _nothing_to_prepare() -> bool:
    return True


@define(eq=False)
class _PendingAnswer:
    """An answer whose turn comes when the stream has been read up to ``until``.

    ``prepare`` does some of the work before it can be given, and tells whether that was all.
    """

    until: int
    answer: Callable[[], None]
    prepare: Callable[[], bool] = _nothing_to_prepare


class Owner(Reader, Protocol):
    """The subscriber whose stream it is."""

    def failed(self, failure: Failure) -> None:
        """A mistake of the server's own was made for it."""


class Stream:
    """Sends events and answers.

    ``lagged_total`` counts the events that the client missed. ``sender`` takes what it is sent; at
    the tail of its channel, where it stands with others, events go past that.

    :param reader: woken when there is something to go on with.
    :param batch: most events in a frame.
    :param answered: called when the last answer that had to wait has been given.
    """

    def __init__(
        self,
        context: SubscriberContext,
        sender: Sender,
        reader: Owner,
        batch: int,
        answered: Callable[[], None],
    ) -> None:
        self.lagged_total = 0
        self.sender = sender
        self._context = context
        self._received = 0
        self._tail: Tail | None = None
        self._reader = reader
        self._batch = batch
        # What encrypts takes all that it is given, and a pong would go out behind that.
        self._at_once = ONE_FRAME if sender.descriptor is None else FRAMES_BYTES
        self._answered = answered
        self._awaits_turn = False
        self._at_end: Callable[[], None] | None = None
        self._pending: deque[_PendingAnswer] = deque()
        self._subscriptions = deque([self._subscribe_through(ALL, {"type": "All"})])

    @property
    def events_received(self) -> int:
        """Events that the client was sent."""
        return self._received if self._tail is None else self._received + self._tail.events

    @property
    def busy(self) -> bool:
        """Whether an answer waits for its turn."""
        return bool(self._pending)

    @property
    def flowing(self) -> bool:
        """Whether what is told now goes out at once."""
        return self.sender.flowing

    @property
    def shown_filter(self) -> bytes:
        """The filter that the client has asked for last, as JSON of 1 KiB at most."""
        return self._subscriptions[-1].shown

    def _subscribe_through(self, filter: Filter, given: Any) -> _Subscription:
        channel = self._context.ring.open(filter)
        return _Subscription(channel, channel.tail(), summary(given))

    def tell(self, kind: str, data: Any) -> None:
        """Send a message, now."""
        self._send(message(kind, data, self._context.now()))

    def tell_raw(self, kind: str, data: bytes) -> None:
        """Send a message whose data is JSON already."""
        now = rfc3339(self._context.now()).encode()
        self._send(b'{"type":"%b","data":%b,"timestamp":"%b"}' % (kind.encode(), data, now))

    def _send(self, payload: bytes) -> None:
        self.sender.write((frame_header(len(payload)), payload))

    def go_on(self) -> None:
        """Write until the sender has enough, or there is nothing more."""
        if self._tail is not None:
            self._tail.let_go(self)
        while self.sender.flowing and self._tail is None:  # an answer may have made it go on
            subscription = self._subscriptions[0]
            pending = self._pending[0] if self._pending else None
            if pending is not None and subscription.cursor.position >= pending.until:
                if not self._prepared(pending):
                    return
                self._pending.popleft()
                pending.answer()
                if not self._pending:
                    self._answered()
            elif not self._write_frames(subscription, None if pending is None else pending.until):
                if self._at_end is not None:
                    self._at_end()
                else:
                    self._await_more(subscription)
                return

    def _await_more(self, subscription: _Subscription) -> None:
        channel, cursor = subscription.channel, subscription.cursor
        self._tail = self._context.tails.take_in(self, channel, self._batch, cursor)
        if self._tail is None:
            channel.wait(self._reader)
        else:
            self._received -= self._tail.events

    def left_tail(self, cursor: Cursor, events: int) -> None:
        self._tail = None
        self._received += events
        self._subscriptions[0].cursor = cursor

    def written_past(self, made: Sequence[Made], size: int, taken: int) -> None:
        frames = [frame.frame for frame in made]
        self._note_written(made[: self.sender.written_past(frames, size, taken)])

    def wake(self) -> None:
        self._reader.wake()

    def failed(self, failure: Failure) -> None:
        self._reader.failed(failure)

    def _prepared(self, answer: _PendingAnswer) -> bool:
        """Whether ``answer`` can be given now; if not, it will be in another turn."""
        if self._awaits_turn:
            return False
        if answer.prepare():
            return True
        self._awaits_turn = True
        self._context.turns.taken().addCallback(self._has_turn)
        return False

    def _has_turn(self, _: None) -> None:
        self._awaits_turn = False
        self._reader.wake()

    def _write_frames(self, subscription: _Subscription, until: int | None) -> bool:
        """Write the next frames before position ``until``; False if there is none."""
        channel, cursor = subscription.channel, subscription.cursor
        skipped = channel.catch_up(cursor, until)
        if skipped:
            self.lagged_total += skipped
            self._context.missed(skipped)
            self.tell("lagged", {"skipped": skipped, "lagged_total": self.lagged_total})
            return True
        made = channel.read_ahead(cursor, until, self._batch, False, self._at_once)
        if not made:
            return False
        self._note_written(made[: self.sender.write_flowing([frame.frame for frame in made])])
        return True

    def _note_written(self, made: Sequence[Made]) -> None:
        for frame in made:
            self._received += frame.events
            self._context.frames.observe(frame.events)
            self._subscriptions[0].cursor.move_past(frame)

    def in_turn(
        self, answer: Callable[[], None], prepare: Callable[[], bool] = _nothing_to_prepare
    ) -> None:
        """Have ``answer`` called when all that is in the stream so far is out.

        :param prepare: called before, once in a turn, until it says that it is done.
        """
        until = self._subscriptions[-1].channel.total
        self._pending.append(_PendingAnswer(until, answer, prepare))
        self.go_on()

    def turn_to(self, filter: Filter, given: Any, answer: Callable[[], None]) -> None:
        """Go on through another filter, whose events count from now on.

        :param given: the filter as the client wrote it.
        :param answer: called where the events of the one before end.
        :raises FiltersTooLarge: if there is no room for it.
        """

        def turn() -> None:
            self._leave(self._subscriptions.popleft())
            answer()

        until = self._subscriptions[-1].channel.total
        self._subscriptions.append(self._subscribe_through(filter, given))
        self._pending.append(_PendingAnswer(until, turn))
        self.go_on()

    def _leave(self, subscription: _Subscription) -> None:
        subscription.channel.forget(self._reader)
        self._context.ring.close(subscription.channel)

    def finish(self, at_end: Callable[[], None]) -> None:
        """Send what is in the ring so far, then call ``at_end``."""
        self._at_end = at_end
        self.go_on()

    def leave(self) -> None:
        """Read no more; the connection is closed."""
        if self._tail is not None:
            self._tail.let_go(self)
        for subscription in self._subscriptions:
            with self._context.errors.kept_at(SUBSCRIBER):
                self._leave(subscription)
