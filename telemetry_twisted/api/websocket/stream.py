"""What a client is sent in order: events from the ring, and answers between them.

The ring is read at a cursor of the client's own for as long as its sender flows. When that is
blocked the stream stops; when it flows again, it goes on where it was, or, where the ring has moved
past that, the client is told how much it missed. Answers wait for their turn in the stream, so that
each stands between the events before and after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define

from telemetry_twisted.hub.channel import Channel, Cursor, Reader
from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.transport.sender import Sender

from .context import SUBSCRIBER, SubscriberContext
from .filters import summary
from .frames import frame_header, message


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


class Stream:
    """Sends events and answers.

    ``events_received`` and ``lagged_total`` count the events that the client was sent and that it
    missed.

    :param reader: woken when there is something to go on with.
    :param batch: most events in a frame.
    :param answered: called when the last answer that had to wait has been given.
    """

    def __init__(
        self,
        context: SubscriberContext,
        sender: Sender,
        reader: Reader,
        batch: int,
        answered: Callable[[], None],
    ) -> None:
        self.events_received = 0
        self.lagged_total = 0
        self._context = context
        self._sender = sender
        self._reader = reader
        self._batch = batch
        self._answered = answered
        self._awaits_turn = False
        self._at_end: Callable[[], None] | None = None
        self._pending: deque[_PendingAnswer] = deque()
        self._subscriptions = deque([self._subscribe_through(ALL, {"type": "All"})])

    @property
    def busy(self) -> bool:
        """Whether an answer waits for its turn."""
        return bool(self._pending)

    @property
    def flowing(self) -> bool:
        """Whether what is told now goes out at once."""
        return self._sender.flowing

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
        self._sender.write((frame_header(len(payload)), payload))

    def go_on(self) -> None:
        """Write until the sender has enough, or there is nothing more."""
        while self._sender.flowing:
            subscription = self._subscriptions[0]
            pending = self._pending[0] if self._pending else None
            if pending is not None and subscription.cursor.position >= pending.until:
                if not self._prepared(pending):
                    return
                self._pending.popleft()
                pending.answer()
                if not self._pending:
                    self._answered()
            elif not self._write_frame(subscription, None if pending is None else pending.until):
                if self._at_end is not None:
                    self._at_end()
                else:
                    subscription.channel.wait(self._reader)
                return

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

    def _write_frame(self, subscription: _Subscription, until: int | None) -> bool:
        """Write the next frame before position ``until``; False if there is none."""
        skipped = subscription.channel.catch_up(subscription.cursor, until)
        if skipped:
            self.lagged_total += skipped
            self._context.missed(skipped)
            self.tell("lagged", {"skipped": skipped, "lagged_total": self.lagged_total})
        found = subscription.channel.read(subscription.cursor, until, self._batch)
        if found is None:
            return bool(skipped)
        frame, count = found
        self.events_received += count
        self._context.frames.observe(count)
        self._sender.write(frame)
        return True

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
        for subscription in self._subscriptions:
            with self._context.errors.kept_at(SUBSCRIBER):
                self._leave(subscription)
