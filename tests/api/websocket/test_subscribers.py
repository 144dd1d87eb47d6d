"""All subscribers together: how many may come, who is let go, and how they are sent away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.task import Clock

from telemetry_twisted.api.websocket.subscriber import Subscriber
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.errors import InternalErrors

if TYPE_CHECKING:
    from tests.api.websocket.conftest import FakeGauges, Stage, Wire


class Seat:
    """A subscriber of an subscribers, and what becomes of it."""

    def __init__(self, subscribers: Subscribers, wire: Wire) -> None:
        self.wire = wire
        self.goodbyes: list[int] = []
        self.stalled = 0.0
        self.subscriber = Subscriber(subscribers, "test:1", self._say_goodbye, wire, 100)
        self.subscriber.stalled_for = self._stalled_for  # type: ignore[method-assign]
        self.subscriber.start()

    def _say_goodbye(self, code: int, _reason: bytes) -> None:
        self.goodbyes.append(code)

    def _stalled_for(self, now: float) -> float:
        return self.stalled


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def subscribers(stage: Stage, clock: Clock) -> Subscribers:
    """Room for two, and no history."""
    subscribers = Subscribers(
        stage.ring, stage, None, 2, clock, clock.seconds, InternalErrors(clock)
    )
    subscribers.start()
    return subscribers


@pytest.fixture
def seats(subscribers: Subscribers, make_wire: Any) -> list[Seat]:
    return [Seat(subscribers, make_wire()) for _ in range(2)]


def test_it_is_full_when_there_are_as_many_as_may_come(
    subscribers: Subscribers, seats: list[Seat]
) -> None:
    assert len(subscribers) == 2
    assert subscribers.full
    seats[0].subscriber.gone()
    assert len(subscribers) == 1
    assert not subscribers.full


def test_one_that_takes_nothing_for_a_minute_is_let_go(seats: list[Seat], clock: Clock) -> None:
    seats[0].stalled = 59.9
    clock.advance(5)
    assert not seats[0].wire.aborted
    seats[0].stalled = 60.0
    clock.advance(5)
    assert seats[0].wire.aborted
    assert not seats[1].wire.aborted


def test_what_they_missed_is_added_up(
    subscribers: Subscribers, seats: list[Seat], stage: Stage
) -> None:
    for seat in seats:
        seat.wire.fill()
    for _ in range(25):
        stage.publish(50)
    for seat in seats:
        seat.wire.drain()
    assert subscribers.events_missed == 500
    assert subscribers.lagged() == {"test:1": 500}


def test_without_history_no_stats_are_sent(seats: list[Seat], clock: Clock) -> None:
    seats[0].wire.messages()
    clock.pump([5] * 5)
    assert seats[0].wire.messages() == []


def test_with_history_stats_are_sent_every_five_seconds(
    stage: Stage, gauges: FakeGauges, clock: Clock, make_wire: Any
) -> None:
    subscribers = Subscribers(
        stage.ring, stage, gauges, 2, clock, clock.seconds, InternalErrors(clock)
    )
    subscribers.start()
    seats = [Seat(subscribers, make_wire()) for _ in range(2)]
    for seat in seats:
        seat.wire.messages()
    clock.pump([1] * 11)
    for seat in seats:
        assert [message["type"] for message in seat.wire.messages()] == ["stats", "stats"]


def test_alerts_reach_those_who_asked_for_them(
    stage: Stage, gauges: FakeGauges, clock: Clock, make_wire: Any
) -> None:
    subscribers = Subscribers(
        stage.ring, stage, gauges, 2, clock, clock.seconds, InternalErrors(clock)
    )
    one, other = (Seat(subscribers, make_wire()) for _ in range(2))
    one.subscriber.asked(b'{"type":"SubscribeAlerts"}', False)
    one.wire.messages()
    other.wire.messages()
    gauges.current.append("the store is slow")
    subscribers.alerts_changed()
    (alert,) = one.wire.messages()
    assert alert["data"] == {"alerts": ["the store is slow"], "count": 1}
    assert other.wire.messages() == []


def test_all_are_sent_away_when_they_have_read_what_there_is(
    subscribers: Subscribers, seats: list[Seat], stage: Stage, clock: Clock
) -> None:
    behind, ready = seats
    behind.wire.fill()
    stage.publish(10)
    emptied = subscribers.finish()
    assert subscribers.full
    assert ready.goodbyes == [1001]
    assert behind.goodbyes == []
    ready.subscriber.gone()
    assert not emptied.called
    behind.wire.drain()
    assert behind.goodbyes == [1001]
    behind.subscriber.gone()
    assert emptied.called
    assert clock.getDelayedCalls() == []


def test_those_who_do_not_go_are_thrown_out(subscribers: Subscribers, seats: list[Seat]) -> None:
    seats[0].wire.fill()
    subscribers.finish()
    subscribers.abort()
    assert all(seat.wire.aborted for seat in seats)


def test_an_empty_one_has_nobody_to_wait_for(subscribers: Subscribers) -> None:
    assert subscribers.finish().called
