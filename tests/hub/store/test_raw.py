"""Who gets what of the room for raw events."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.hub.store import raw as raw_module
from telemetry_twisted.hub.store.raw import RawEvents
from telemetry_twisted.hub.store.shares import shares
from telemetry_twisted.transport.records import Chunk, encode_runs

wanted = st.dictionaries(st.integers(0, 1023), st.integers(1, 100_000), max_size=50)


@given(wanted, st.integers(0, 300_000))
def test_shares_are_fair_and_all_of_the_room(wanted: dict[int, int], room: int) -> None:
    got = shares(wanted, room)
    assert got.keys() == wanted.keys()
    assert sum(got.values()) == min(room, sum(wanted.values()))
    level = max(got.values(), default=0)
    for who, want in wanted.items():
        assert got[who] <= want
        # Whoever does not get all has as much as anyone, but for what cannot be divided.
        assert got[who] == want or got[who] >= level - 1


def chunk(runs: list[tuple[int, int]]) -> Chunk:
    """A chunk whose events are the handles of their nodes."""
    messages = [b"%d" % handle for handle, count in runs for _ in range(count)]
    lengths = b"".join(len(message).to_bytes(4, "little") for message in messages)
    return Chunk(
        1, len(messages), encode_runs(runs), bytes(len(messages)), lengths, b",".join(messages)
    )


def told(raw: RawEvents, room: int) -> list[Chunk]:
    """What goes when the store has so much room."""
    raw.told(room, None, 0, 0)
    chunks = []
    while (chunk := raw.next(0)) is not None:
        chunks.append(chunk)
    return chunks


runs = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), min_size=1, max_size=6)


@given(st.lists(runs, max_size=30), st.integers(1, 600))
def test_what_waits_goes_as_far_as_there_is_room_and_the_rest_is_withheld(
    arriving: list[list[tuple[int, int]]], room: int
) -> None:
    raw = RawEvents(Clock())
    came = dict.fromkeys(range(6), 0)
    for each in arriving:
        for handle, count in each:
            came[handle] += count
        raw.wait(chunk(each), 0)
    gone = dict.fromkeys(range(6), 0)
    for each_chunk in told(raw, room):
        for handle, count in each_chunk.runs:
            gone[handle] += count
        assert list(each_chunk.each()) == [b"%d" % h for h, n in each_chunk.runs for _ in range(n)]
    # Who gets the events that cannot be divided is not said.
    assert sorted(gone.values()) == sorted(shares(came, room).values())
    assert all(gone[handle] <= came[handle] for handle in came)
    total = sum(came.values())
    assert (raw.given, raw.withheld, raw.waiting) == (min(room, total), total - raw.given, 0)
    sampled = raw.take_sampled()
    assert (sampled.seen, sampled.kept) == (total, raw.given)


class WaitingTests(SynchronousTestCase):
    """Chunks that wait for room."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.raw = RawEvents(self.clock)

    def test_they_are_bounded_and_what_is_let_go_of_is_the_flood(self) -> None:
        self.patch(raw_module, "WAITING_BYTES", 100_000)
        for number in range(1000):
            self.raw.wait(chunk([(1, 100)]), 0)
            if number % 20 == 0:
                self.raw.wait(chunk([(2, 2)]), 0)
            self.assertLess(self.raw.waiting, 6000)
        by_node = self.all_that_waits()
        self.assertEqual(by_node[2], 100)
        self.assertGreater(by_node[1], 500)
        self.assertEqual(self.raw.given + self.raw.withheld, 100_100)

    def test_they_are_bounded_even_where_each_is_one_of_many_nodes(self) -> None:
        self.patch(raw_module, "WAITING_BYTES", 100_000)
        for _ in range(1000):
            self.raw.wait(chunk([(1, 98), (2, 2)]), 0)
            self.assertLess(self.raw.waiting, 6000)
        by_node = self.all_that_waits()
        self.assertGreater(by_node[2], 100)
        self.assertEqual(self.raw.given + self.raw.withheld, 100_000)

    def all_that_waits(self) -> Counter[int]:
        by_node: Counter[int] = Counter()
        for each in told(self.raw, 10_000):
            for handle, count in each.runs:
                by_node[handle] += count
        return by_node

    def test_there_may_be_many_small_ones(self) -> None:
        self.patch(raw_module, "WAITING_CHUNKS", 100)
        for _ in range(1000):
            self.raw.wait(chunk([(1, 1)]), 0)
        self.assertLessEqual(self.raw.waiting, 100)
        self.assertEqual(self.raw.waiting + self.raw.withheld, 1000)

    def test_they_keep_waiting_while_there_is_no_room_at_all(self) -> None:
        self.raw.wait(chunk([(1, 10)]), 0)
        for _ in range(10):
            self.clock.advance(1)
            self.assertEqual(told(self.raw, 0), [])
        self.assertEqual((self.raw.waiting, self.raw.withheld), (10, 0))
        self.assertEqual(len(told(self.raw, 10)), 1)

    def test_of_a_flood_no_more_waits_than_there_may_be_room_for(self) -> None:
        for _ in range(10):
            self.raw.wait(chunk([(1, 100)]), 0)
        told(self.raw, 100)
        for number in range(1000):
            self.raw.wait(chunk([(1, 100)]), 0)
            self.raw.wait(chunk([(2 + number % 100, 1), (1, 9)]), 0)
        self.assertEqual(self.raw.waiting, 1209)
        self.assertEqual(self.raw.withheld, 900 + 110_000 - 1209)
        told(self.raw, 2000)  # all that waits: there is no flood any more
        for _ in range(10):
            self.raw.wait(chunk([(1, 100)]), 0)
        self.assertEqual(self.raw.waiting, 1000)

    def test_the_newest_of_a_node_are_kept(self) -> None:
        self.raw.wait(chunk([(1, 10)]), 1)
        self.raw.wait(chunk([(2, 10)]), 2)
        self.raw.told(10, None, 0, 0)
        self.assertIsNone(self.raw.next(0))  # the record that they come after has not gone
        self.assertEqual([self.raw.next(9).runs for _ in range(2)], [((1, 5),), ((2, 5),)])  # type: ignore[union-attr]

    def test_room_is_shared_out_every_half_second_at_most(self) -> None:
        for _ in range(2):
            self.raw.wait(chunk([(1, 40)]), 0)
        self.assertEqual([each.count for each in told(self.raw, 20)], [20])
        for _ in range(2):
            self.raw.wait(chunk([(1, 40)]), 0)
        self.clock.advance(0.4)
        self.assertEqual(told(self.raw, 20), [])
        self.assertEqual(self.raw.waiting, 40)  # twice of what there was room for is enough
        self.clock.advance(0.2)
        self.assertEqual([each.count for each in told(self.raw, 20)], [20])

    def test_room_for_a_few_events_of_each_node_is_shared_out_less_often(self) -> None:
        self.assertEqual(told(self.raw, 100), [])
        for seconds, gone in ((0, [10]), (0.6, []), (1.3, []), (0.2, [10])):
            self.raw.wait(chunk([(1, 30), (2, 30)]), 0)
            self.clock.advance(seconds)
            self.assertEqual([each.count for each in told(self.raw, 10)], gone)
