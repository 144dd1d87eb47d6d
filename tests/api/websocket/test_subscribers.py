"""All subscribers together: how many may come, who is let go, and how they are sent away."""

from __future__ import annotations

import itertools

from twisted.internet.error import ConnectionAborted
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.subscriber import Subscriber
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.api.websocket.transport import SubscriberTransport
from telemetry_twisted.testing import PING, TEXT, MemorySocket, MemoryTransport
from tests.api.websocket.stage import PING_FRAME, FakeGauges, Stage, messages_in


class Seat:
    """A subscriber, and what becomes of it."""

    def __init__(self, subscribers: Subscribers, stage: Stage) -> None:
        self.goodbyes: list[int] = []
        self.stalled = 0.0
        self.wire = MemoryTransport(Protocol(), stage.time)
        front = SubscriberTransport(self.wire, stage.time, lambda: self.subscriber.wake())
        self.subscriber = Subscriber(
            subscribers,
            "test:1",
            front.sender,
            self._say_goodbye,
            front.abortConnection,
            lambda: front.write(PING_FRAME),
            stage.ring.batch,
            lambda: None,
        )
        self.subscriber.stalled_for = self._stalled_for  # type: ignore[method-assign]
        self.subscriber.start()
        self.wire.pump()

    def _stalled_for(self, now: float) -> float:
        return self.stalled

    def _say_goodbye(self, code: int, _reason: bytes) -> None:
        self.goodbyes.append(code)

    @property
    def aborted(self) -> bool:
        """Whether its connection was closed at once."""
        self.wire.pump()
        return isinstance(self.wire.ended, ConnectionAborted)


class SubscribersTests(SynchronousTestCase):
    """Room for two, and no history."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.clock = self.stage.time
        self.subscribers = self.make()
        self.subscribers.start()

    def make(self, gauges: FakeGauges | None = None, ping_seconds: float = 0) -> Subscribers:
        stage = self.stage
        return Subscribers(
            stage.ring,
            stage,
            gauges,
            2,
            stage.time,
            stage.now,
            stage.errors,
            stage.turns,
            ping_seconds,
            MemorySocket.send_to_all,
        )

    def fill_seats(self, subscribers: Subscribers | None = None) -> list[Seat]:
        """Two that have been greeted."""
        where = self.subscribers if subscribers is None else subscribers
        seats = [Seat(where, self.stage) for _ in range(2)]
        for seat in seats:
            seat.wire.frames()
        return seats

    def test_it_is_full_when_there_are_as_many_as_may_come(self) -> None:
        seats = self.fill_seats()
        self.assertEqual(len(self.subscribers), 2)
        self.assertTrue(self.subscribers.full)
        seats[0].subscriber.gone()
        self.assertEqual(len(self.subscribers), 1)
        self.assertFalse(self.subscribers.full)

    def test_one_that_takes_nothing_for_a_minute_is_let_go(self) -> None:
        seats = self.fill_seats()
        seats[0].stalled = 59.9
        self.clock.advance(5)
        self.assertFalse(seats[0].aborted)
        seats[0].stalled = 60.0
        self.clock.advance(5)
        self.assertTrue(seats[0].aborted)
        self.assertFalse(seats[1].aborted)

    def test_what_they_missed_is_added_up(self) -> None:
        seats = self.fill_seats()
        for seat in seats:
            seat.wire.fill()
        for _ in range(25):
            self.stage.publish(50)
        for seat in seats:
            seat.wire.drain()
        self.assertEqual(self.subscribers.events_missed, 2 * 200)
        self.assertEqual(self.subscribers.lagged(), {"test:1": 2 * 200})

    def test_without_history_no_stats_are_sent(self) -> None:
        seats = self.fill_seats()
        self.clock.pump([5] * 5)
        self.assertEqual(seats[0].wire.frames(), [])

    def test_with_history_stats_are_sent_every_five_seconds(self) -> None:
        subscribers = self.make(FakeGauges())
        subscribers.start()
        seats = self.fill_seats(subscribers)
        self.clock.pump([1] * 11)
        for seat in seats:
            told = [message["type"] for message in messages_in(seat.wire)]
            self.assertEqual(told, ["stats", "stats"])

    def test_a_quiet_one_is_pinged_and_never_left_alone_for_longer_than_asked(self) -> None:
        """Whenever that was sent after which nothing is."""
        subscribers = self.make(ping_seconds=10)
        subscribers.start()
        seats = self.fill_seats(subscribers)
        for moment in (0.1, 2.5, 4.9):
            self.clock.pump([moment])
            seats[0].subscriber.stream.tell("metrics", {})
            heard = [self.clock.seconds()]
            for seat in seats:
                seat.wire.frames()
            while len(heard) < 6:
                self.clock.advance(0.1)
                heard += [self.clock.seconds() for _ in seats[0].wire.frames()]
            gaps = [after - before for before, after in itertools.pairwise(heard)]
            self.assertLessEqual(max(gaps), 10.1)
            self.assertGreater(min(gaps), 4.8)
            self.assertTrue(all(frame.opcode == PING for frame in seats[1].wire.frames()))

    def test_a_busy_one_is_not_pinged(self) -> None:
        subscribers = self.make(ping_seconds=10)
        subscribers.start()
        seats = self.fill_seats(subscribers)
        for _ in range(100):
            self.clock.advance(2)
            self.stage.publish(1)
        for seat in seats:
            self.assertEqual({frame.opcode for frame in seat.wire.frames()}, {TEXT})

    def test_no_timer_is_kept_for_each(self) -> None:
        subscribers = self.make(FakeGauges(), ping_seconds=10)
        subscribers.start()
        before = len(self.clock.getDelayedCalls())
        self.fill_seats(subscribers)
        self.stage.publish(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), before)
        subscribers.finish(1.5)
        subscribers.abort()

    def test_alerts_reach_those_who_asked_for_them(self) -> None:
        gauges = FakeGauges()
        subscribers = self.make(gauges)
        one, other = self.fill_seats(subscribers)
        one.subscriber.asked(b'{"type":"SubscribeAlerts"}', False)
        one.wire.frames()
        gauges.current.append("the store is slow")
        subscribers.alerts_changed()
        (alert,) = messages_in(one.wire)
        self.assertEqual(alert["data"], {"alerts": ["the store is slow"], "count": 1})
        self.assertEqual(other.wire.frames(), [])

    def test_all_are_sent_away_when_they_have_read_what_there_is(self) -> None:
        behind, ready = self.fill_seats()
        behind.wire.fill()
        self.stage.publish(10)
        emptied = self.subscribers.finish(1.5)
        self.assertTrue(self.subscribers.full)
        self.assertEqual(ready.goodbyes, [1001])
        self.assertEqual(behind.goodbyes, [])
        ready.subscriber.gone()
        self.assertNoResult(emptied)
        behind.wire.drain()
        self.assertEqual(behind.goodbyes, [1001])
        behind.subscriber.gone()
        self.successResultOf(emptied)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_those_who_are_too_slow_are_sent_away_before_time_is_up(self) -> None:
        behind, ready = self.fill_seats()
        behind.wire.fill()
        self.stage.publish(10)
        self.subscribers.finish(1.5)
        ready.subscriber.gone()
        self.clock.advance(0.7)
        self.assertEqual(behind.goodbyes, [])
        self.clock.advance(0.1)
        self.assertEqual(behind.goodbyes, [1001])

    def test_those_who_do_not_go_are_thrown_out(self) -> None:
        seats = self.fill_seats()
        seats[0].wire.fill()
        self.subscribers.finish(1.5)
        self.subscribers.abort()
        self.assertTrue(all(seat.aborted for seat in seats))

    def test_an_empty_one_has_nobody_to_wait_for(self) -> None:
        self.successResultOf(self.subscribers.finish(1.5))
        self.assertEqual(self.clock.getDelayedCalls(), [])
