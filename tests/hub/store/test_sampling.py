"""Which raw events are handed on while the stream has no time for them."""

from __future__ import annotations

from collections import Counter
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.hub.store.sampling import LEAST, SATURATED, SHARE_SECONDS, Sampling
from telemetry_twisted.transport.records import Chunk, encode_runs

ROUNDS = 40


def chunk(runs: list[tuple[int, int]]) -> Chunk:
    count = sum(number for _, number in runs)
    return Chunk(1, count, encode_runs(runs), bytes(count), bytes(4 * count), b"")


class RateTests(SynchronousTestCase):
    """A stream that is as busy as the test says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sampling = Sampling(self.clock)
        self.given = 0

    def look(self, busy: float, a_second: int = 1_000_000) -> float:
        self.clock.advance(0.5)
        self.given += a_second // 2
        self.sampling.stream_is_busy(busy, self.given)
        return self.sampling.rate

    def test_all_pass_while_the_stream_has_time(self) -> None:
        for _ in range(5):
            self.assertEqual(self.look(SATURATED - 0.01), inf)
        self.assertTrue(self.sampling.all_pass)

    def test_while_it_has_none_there_are_fewer_and_fewer_but_always_some(self) -> None:
        rates = [self.look(SATURATED) for _ in range(4)]
        self.assertEqual(rates, [200_000, 40_000, LEAST, LEAST])

    def test_there_are_more_by_and_by_when_it_has_time_again(self) -> None:
        for _ in range(4):
            self.look(1.0)
        rates = [self.look(0.5) for _ in range(30)]
        self.assertEqual(rates, sorted(rates))
        self.assertGreater(rates[0], LEAST)
        self.assertLess(rates[5], 10 * LEAST)
        self.assertEqual(rates[-1], inf)


class ShareTests(SynchronousTestCase):
    """Who gets what of the least that there is."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sampling = Sampling(self.clock)
        self.sampling.stream_is_busy(1.0, 0)
        self.assertEqual(self.sampling.rate, LEAST)
        self.came: Counter[int] = Counter()
        self.passed: Counter[int] = Counter()

    def arrive(self, runs: list[tuple[int, int]]) -> None:
        most = self.sampling.most(chunk(runs))
        for (handle, count), passes in zip(runs, most, strict=True):
            self.assertIn(passes, (0, count))
            self.came[handle] += count
            self.passed[handle] += passes

    def test_nodes_that_flood_get_the_same_whatever_their_runs_and_others_all(self) -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                for flooding in range(10, 60):
                    self.arrive([(flooding, 100)])
                    self.arrive([(flooding + 100, 10), (flooding + 200, 1), (flooding + 100, 10)])
            self.arrive([(1, 2)])
            self.arrive([(2, 1), (10, 99)])
            self.clock.advance(SHARE_SECONDS)
        self.assertEqual(self.passed[1], self.came[1])
        self.assertEqual(self.passed[2], self.came[2])
        few = sum(self.came[node] for node in self.came if node < 10 or node >= 200)
        share = (LEAST * SHARE_SECONDS * ROUNDS - few) / 100
        for flooding in range(10, 60):
            self.assertLess(abs(self.passed[flooding] - share), 0.2 * share + 200)
            self.assertLess(abs(self.passed[flooding + 100] - share), 0.2 * share + 50)
        self.assertLess(sum(self.passed.values()), 1.1 * LEAST * SHARE_SECONDS * (ROUNDS + 1))

    def test_who_was_silent_has_saved_nothing(self) -> None:
        for _ in range(ROUNDS):
            self.arrive([(1, 20_000)])
            self.clock.advance(SHARE_SECONDS)
        for _ in range(10):
            self.arrive([(1, 500)] * 20 + [(2, 500)] * 20)
            self.clock.advance(SHARE_SECONDS)
        self.assertLess(self.passed[2], 2 * LEAST * SHARE_SECONDS * 10)

    def test_who_sends_little_loses_nothing_when_it_begins(self) -> None:
        for _ in range(10):
            self.arrive([(1, 20_000)])
            for quiet in range(2, 10):
                self.arrive([(quiet, 3)])
        self.assertLessEqual(self.passed[1], 20_000)
        self.assertEqual([self.passed[quiet] for quiet in range(2, 10)], [30] * 8)

    def test_all_pass_where_that_is_less_than_may(self) -> None:
        for _ in range(ROUNDS):
            for handle in range(100):
                self.arrive([(handle, 10)])
            self.clock.advance(SHARE_SECONDS)
        self.assertEqual(self.passed, self.came)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50)), min_size=1, max_size=5),
        max_size=40,
    )
)
def test_what_passes_is_said_of_each_run(chunks: list[list[tuple[int, int]]]) -> None:
    clock = Clock()
    sampling = Sampling(clock)
    sampling.stream_is_busy(1.0, 0)
    for runs in chunks:
        most = sampling.most(chunk(runs))
        assert len(most) == len(runs)
        assert all(passes in (0, count) for passes, (_, count) in zip(most, runs, strict=True))
        clock.advance(0.05)
