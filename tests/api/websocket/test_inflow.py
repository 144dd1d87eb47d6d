"""How fast what a client sends is handed on."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.inflow import SLICE_BYTES, Inflow
from telemetry_twisted.turns import TURN_SECONDS, Turns


class InflowTests(SynchronousTestCase):
    """A client whose slices are noted."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.ready = True
        self.held = False
        self.slices: list[bytes] = []
        self.inflow = Inflow(self.turns, self.take, lambda: self.ready, self.hold)

    def take(self, data: bytes) -> None:
        self.slices.append(data)

    def hold(self, held: bool) -> None:
        self.held = held

    def one_turn(self) -> None:
        """Make the calls that are due, but not those that they ask for in turn."""
        (call,) = self.clock.calls
        self.clock.calls.remove(call)
        call.func(*call.args, **call.kw)

    def test_what_is_small_is_handed_on_in_the_next_turn(self) -> None:
        self.inflow.received(b"hello")
        self.assertEqual((self.slices, self.held), ([], False))
        self.clock.advance(0)
        self.assertEqual((self.slices, self.held), ([b"hello"], False))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_large_segment_comes_in_slices_and_is_read_before_more(self) -> None:
        data = bytes(range(256)) * 50
        self.inflow.received(data)
        self.assertTrue(self.held)
        while self.held:
            self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(b"".join(self.slices), data)
        self.assertEqual(max(map(len, self.slices)), SLICE_BYTES)

    def test_nothing_is_handed_on_while_something_is_unanswered(self) -> None:
        self.inflow.received(b"question")
        self.ready = False
        self.clock.advance(0)
        self.assertEqual((self.slices, self.held), ([], True))
        self.inflow.received(b", and more")
        self.clock.advance(1)
        self.assertEqual(self.slices, [])
        self.ready = True
        self.inflow.go_on()
        self.clock.advance(0)
        self.assertEqual((self.slices, self.held), ([b"question, and more"], False))

    def test_a_slice_that_needs_an_answer_stops_those_after_it(self) -> None:
        def take(data: bytes) -> None:
            self.slices.append(data)
            self.ready = False

        inflow = Inflow(self.turns, take, lambda: self.ready, self.hold)
        inflow.received(b"x" * (3 * SLICE_BYTES))
        self.clock.pump([0] * 5)
        self.assertEqual((len(self.slices), self.held), (1, True))

    def test_nothing_comes_after_the_end(self) -> None:
        self.inflow.received(b"x" * (3 * SLICE_BYTES))
        self.clock.advance(0)
        handed_on = len(self.slices)
        self.inflow.stop()
        self.inflow.received(b"more")
        self.clock.pump([0] * 5)
        self.assertEqual(len(self.slices), handed_on)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all_clients_together_have_a_part_of_each_turn(self) -> None:
        """A hundred that flood, each of whose slices takes 3 ms to answer."""

        def take(data: bytes) -> None:
            self.slices.append(data)
            self.clock.rightNow += 0.003

        for _ in range(100):
            Inflow(self.turns, take, lambda: True, self.hold).received(b"x" * 10_000)
        for _ in range(10):
            before = self.clock.seconds()
            self.one_turn()
            self.assertLessEqual(self.clock.seconds() - before, TURN_SECONDS + 0.003)
        self.assertGreaterEqual(len(self.slices), 10)
