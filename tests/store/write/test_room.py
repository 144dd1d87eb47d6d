"""Less room for raw events while the process has to wait for a processor."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.store.write.pressure import Pressure, processor_times
from telemetry_twisted.store.write.room import LEAST, RawRoom

MOST = 200_000


class RoomTests(SynchronousTestCase):
    """A process that runs and waits as the test says; the hub sends all that there is room for."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.times: tuple[int, int] | None = (0, 0)
        self.pressure = Pressure(self.clock, lambda: self.times)
        self.room = RawRoom(MOST, self.pressure)
        self.taken = 0

    def pass_half_a_second(self, ran: float, waited: float, most: int = MOST) -> int:
        """So many seconds it has run and waited; returns how many events were sent after it."""
        self.clock.advance(0.5)
        if self.times is not None:
            before = self.times
            self.times = before[0] + int(ran * 1e9), before[1] + int(waited * 1e9)
        sent = min(self.room.left(0, self.taken), most)
        self.taken += sent
        return sent

    def test_while_it_runs_when_it_will_there_is_what_the_queue_has(self) -> None:
        for _ in range(5):
            self.assertEqual(self.pass_half_a_second(0.4, 0.4), MOST)
        self.assertEqual(self.room.left(150_000, self.taken), 50_000)
        self.assertEqual(self.room.left(250_000, self.taken), 0)

    def test_while_it_waits_there_is_less_and_less_down_to_what_there_always_is(self) -> None:
        self.pass_half_a_second(0.4, 0.1)
        rates = [2 * self.pass_half_a_second(0.01, 0.4) for _ in range(10)]
        self.assertEqual(rates[:4], [200_000, 100_000, 50_000, 25_000])
        self.assertEqual(rates[-1], LEAST)

    def test_there_is_more_by_and_by_when_it_waits_no_longer(self) -> None:
        for _ in range(10):
            self.pass_half_a_second(0.01, 0.4)
        rates = [self.pass_half_a_second(0.1, 0.1) for _ in range(25)]
        self.assertEqual(rates, sorted(rates))
        self.assertEqual(rates[-1], MOST)

    def test_room_that_is_not_used_is_kept_for_two_seconds(self) -> None:
        for _ in range(10):
            self.pass_half_a_second(0.01, 0.4)
        for _ in range(20):
            self.pass_half_a_second(0.01, 0.4, most=0)
        self.assertEqual(self.pass_half_a_second(0.01, 0.4), 2 * LEAST)

    def test_few_events_are_never_kept_out(self) -> None:
        for _ in range(20):
            self.assertEqual(self.pass_half_a_second(0, 0.5, most=LEAST // 2), LEAST // 2)

    def test_it_is_not_judged_anew_with_each_question(self) -> None:
        self.pass_half_a_second(0.01, 0.4)
        room = self.room.left(0, self.taken)
        for _ in range(5):
            self.clock.advance(0.05)
            self.assertEqual(self.room.left(0, self.taken), room)
        self.assertEqual(self.room.left(0, self.taken + 100), max(0, room - 100))

    def test_where_the_system_does_not_tell_it_is_never_pressed(self) -> None:
        self.times = None
        for _ in range(3):
            self.assertEqual(self.pass_half_a_second(0, 0), MOST)


def test_what_the_system_tells_of_this_process() -> None:
    times = processor_times()
    if times is not None:  # there may be systems without it
        assert times[0] > 0
