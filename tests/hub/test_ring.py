"""The ring and its channels: what is routed, what is held, what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.hub.channel import ONE_FRAME, Channel, Cursor
from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.hub.memo import Frame, FrameMemo, Made
from telemetry_twisted.hub.ring import FiltersTooLarge, Ring
from telemetry_twisted.hub.window import Window
from telemetry_twisted.transport.records import Chunk, encode_runs

A, B, C = "a" * 64, "b" * 64, "c" * 64
HANDLES = {A: 0, B: 1, C: 2}
X, Y = "0x" + "e" * 64, "0x" + "f" * 64
NETWORKS = {A: X, B: Y, C: X}

Event = tuple[int, str, int]
"""Number, node and type of an event, which ``chunk`` writes as ``<number>``."""


def chunk(events: Sequence[Event], handles: dict[str, int] = HANDLES) -> Chunk:
    runs: list[tuple[int, int]] = []
    for _, node, _ in events:
        handle = handles[node]
        if runs and runs[-1][0] == handle:
            runs[-1] = handle, runs[-1][1] + 1
        else:
            runs.append((handle, 1))
    messages = [b"<%d>" % number for number, _, _ in events]
    return Chunk(
        events[0][0],
        len(events),
        encode_runs(runs),
        bytes(kind for _, _, kind in events),
        b"".join(len(message).to_bytes(4, "little") for message in messages),
        b",".join(messages),
    )


def render(parts: list[bytes], count: int) -> list[bytes]:
    assert sum(part.count(b"<") for part in parts) == count
    return parts


def numbers_in(frame: Frame) -> list[int]:
    return [int(text.strip(b"<>")) for text in b",".join(frame).split(b",")]


def make_ring(max_events: int = 1000, max_bytes: int = 1 << 20, batch: int = 100) -> Ring:
    ring = Ring(max_events, max_bytes, render, batch)
    for node, handle in HANDLES.items():
        ring.node_connected(node, handle, NETWORKS[node])
    return ring


def read(
    channel: Channel, cursor: Cursor, until: int | None = None, batch: int | None = None
) -> Made | None:
    """The next frame at ``cursor``, which moves past it."""
    for made in channel.read_ahead(cursor, until, batch, most_bytes=ONE_FRAME):
        cursor.move_past(made)
        return made
    return None


def drain(channel: Channel, cursor: Cursor, until: int | None = None) -> list[int]:
    numbers: list[int] = []
    while (found := read(channel, cursor, until)) is not None:
        assert found.events <= 100
        numbers += numbers_in(found.frame)
    return numbers


class Sleeper:
    """A reader that notes when it is woken."""

    def __init__(self, name: str, woken: list[str]) -> None:
        self.name = name
        self.woken = woken

    def wake(self) -> None:
        self.woken.append(self.name)


class RoutingTests(SynchronousTestCase):
    """Which events come to which channel."""

    def test_a_channel_of_everything_takes_chunks_whole(self) -> None:
        ring = make_ring()
        channel = ring.open(ALL)
        cursor = channel.tail()
        whole = chunk([(1, A, 11), (2, B, 12)])
        ring.publish(whole)
        made = read(channel, cursor)
        self.assertEqual(made, ([whole.events], 2, len(whole.events), 1))
        self.assertIsNone(read(channel, cursor))

    def test_a_filter_selects(self) -> None:
        for filter, numbers in (
            (Filter(node_ids=frozenset({A})), [1, 4, 5]),
            (Filter(node_ids=frozenset({A, C})), [1, 3, 4, 5]),
            (Filter(node_ids=frozenset({A, B, C})), [1, 2, 3, 4, 5]),
            (Filter(types=frozenset({11})), [1, 3, 5]),
            (Filter(types=frozenset(range(12, 14))), [2, 4]),
            (Filter(types=frozenset(range(256))), [1, 2, 3, 4, 5]),
            (Filter(node_ids=frozenset({A}), types=frozenset({13})), [4]),
            (Filter(node_ids=frozenset({A, B, C}), types=frozenset({11})), [1, 3, 5]),
            (Filter(node_ids=frozenset({"d" * 64})), []),
            (Filter(types=frozenset()), []),
            (Filter(node_ids=frozenset({A}), types=frozenset()), []),
            (Filter(network=X), [1, 3, 4, 5]),
            (Filter(network=Y), [2]),
            (Filter(types=frozenset({11}), network=X), [1, 3, 5]),
            (Filter(types=frozenset({11}), network=Y), []),
            (Filter(node_ids=frozenset({A}), network=X), [1, 4, 5]),
            (Filter(node_ids=frozenset({A, B, C}), network=X), [1, 3, 4, 5]),
            (Filter(node_ids=frozenset({A}), network=Y), []),
            (Filter(frozenset({A, B}), frozenset({11, 12}), Y), [2]),
            (Filter(network="0x" + "0" * 64), []),
        ):
            ring = make_ring()
            channel = ring.open(filter)
            cursor = channel.tail()
            ring.publish(chunk([(1, A, 11), (2, B, 12), (3, C, 11)]))
            ring.publish(chunk([(4, A, 13), (5, A, 11)]))
            self.assertEqual(drain(channel, cursor), numbers)
            self.assertEqual(channel.total, len(numbers))

    def test_a_node_that_comes_twice_in_a_chunk(self) -> None:
        ring = make_ring()
        channel = ring.open(Filter(node_ids=frozenset({A})))
        cursor = channel.tail()
        ring.publish(chunk([(1, A, 11), (2, B, 11), (3, A, 11), (4, C, 11)]))
        self.assertEqual(drain(channel, cursor), [1, 3])

    def test_a_node_that_connects_later_joins_its_channel_and_leaves_it(self) -> None:
        ring = Ring(1000, 1 << 20, render, 100)
        channel = ring.open(Filter(node_ids=frozenset({A})))
        cursor = channel.tail()
        ring.node_connected(A, HANDLES[A], X)
        ring.publish(chunk([(1, A, 11)]))
        ring.node_gone(A)
        ring.node_connected(B, HANDLES[A], X)
        ring.publish(chunk([(2, A, 11)]))
        self.assertEqual(drain(channel, cursor), [1])

    def test_a_node_belongs_to_the_network_that_it_says_it_is_of_this_time(self) -> None:
        ring = Ring(1000, 1 << 20, render, 100)
        channels = [ring.open(Filter(network=network)) for network in (X, Y)]
        cursors = [channel.tail() for channel in channels]
        for number, (node, network) in enumerate(((A, X), (A, Y), (B, X), (A, X))):
            ring.node_connected(node, HANDLES[A], network)
            ring.publish(chunk([(number, A, 11)]))
            ring.node_gone(node)
        for channel, cursor, numbers in zip(channels, cursors, ([0, 2, 3], [1]), strict=True):
            self.assertEqual(drain(channel, cursor), numbers)

    def test_a_network_that_is_asked_for_late_has_the_nodes_that_are_there(self) -> None:
        ring = make_ring()
        first = ring.open(Filter(network=X))
        ring.close(first)
        channels = [ring.open(Filter(network=X)), ring.open(Filter(frozenset({C}), network=X))]
        cursors = [channel.tail() for channel in channels]
        self.assertEqual(ring.node_channels, 1)
        ring.publish(chunk([(1, A, 11), (2, B, 11), (3, C, 11)]))
        for channel, cursor, numbers in zip(channels, cursors, ([1, 3], [3]), strict=True):
            self.assertEqual(drain(channel, cursor), numbers)
        self.assertEqual(first.total, 0)

    def test_a_waiting_reader_is_woken_once_and_only_for_its_channel(self) -> None:
        woken: list[str] = []
        ring = make_ring()
        ring.open(ALL).wait(Sleeper("all", woken))
        ring.open(Filter(node_ids=frozenset({A}))).wait(Sleeper("a", woken))
        ring.open(Filter(node_ids=frozenset({B}))).wait(Sleeper("b", woken))
        ring.publish(chunk([(1, A, 11)]))
        ring.publish(chunk([(2, A, 11)]))
        ring.wake()
        ring.publish(chunk([(3, A, 11)]))
        ring.wake()
        self.assertEqual(sorted(woken), ["a", "all"])

    def test_a_channel_ends_with_its_last_reader(self) -> None:
        ring = make_ring()
        filter = Filter(node_ids=frozenset({A}), types=frozenset({11}))
        channel = ring.open(filter)
        ring.open(filter)
        ring.close(channel)
        self.assertEqual(ring.node_channels, 1)
        ring.close(channel)
        self.assertEqual(ring.node_channels, 0)
        ring.publish(chunk([(1, A, 11)]))
        self.assertEqual(channel.total, 0)
        typed = ring.open(Filter(types=frozenset({11})))
        ring.close(typed)
        ring.publish(chunk([(2, A, 11)]))
        self.assertEqual(typed.total, 0)


class AudienceTests(SynchronousTestCase):
    def test_it_is_told_when_the_first_reader_comes_and_when_the_last_one_goes(self) -> None:
        ring, told = make_ring(), list[bool]()
        ring.tell_audience(told.append)
        self.assertEqual(told, [False])
        everything, again = ring.open(ALL), ring.open(ALL)
        only_b = ring.open(Filter(node_ids=frozenset({B})))
        self.assertEqual(told, [False, True])
        for channel in (everything, only_b, again):
            self.assertEqual(told, [False, True])
            ring.close(channel)
        self.assertEqual(told, [False, True, False])


class FrameTests(SynchronousTestCase):
    """How events are put into frames."""

    def test_frames_hold_at_most_a_batch_and_keep_chunks_whole_where_they_fit(self) -> None:
        ring = make_ring(batch=3)
        channel = ring.open(ALL)
        for batch, widths in ((None, [3, 2, 3, 1]), (2, [2, 1, 2, 2, 2]), (1, [1] * 9)):
            cursor = channel.tail()
            for numbers in ([1, 2], [3], [4, 5], [6, 7, 8, 9]):
                ring.publish(chunk([(number, A, 11) for number in numbers]))
            counts = []
            while (found := read(channel, cursor, batch=batch)) is not None:
                counts.append(found[1])
            self.assertEqual(counts, widths)

    def test_readers_at_the_same_cursor_share_one_frame(self) -> None:
        ring = make_ring()
        channel = ring.open(ALL)
        self.assertIs(ring.open(ALL), channel)
        first, second, third = channel.tail(), channel.tail(), channel.tail()
        ring.publish(chunk([(1, A, 11)]))
        ring.publish(chunk([(2, A, 11)]))
        one, other = read(channel, first), read(channel, second)
        assert one is not None
        assert other is not None
        self.assertIs(one[0], other[0])
        self.assertEqual(first, second)
        small = read(channel, third, batch=1)
        assert small is not None
        self.assertEqual(numbers_in(small[0]), [1])

    def test_remembered_frames_are_bounded_in_bytes(self) -> None:
        memo = FrameMemo(10_000)
        for number in range(100):
            memo.put(number, Made([b"x" * 1000], 1, 1000, 0))
            self.assertLessEqual(memo.bytes, 10_000)
        self.assertIsNone(memo.get(90))
        self.assertIsNotNone(memo.get(99))
        memo.put("large", Made([b"x" * 10_000], 1, 10_000, 0))
        self.assertIsNone(memo.get("large"))
        self.assertIsNotNone(memo.get(99))
        memo.put("half", Made([b"x" * 5000], 1, 5000, 0))
        self.assertIsNotNone(memo.get("half"))
        self.assertLessEqual(memo.bytes, 10_000)


class BoundTests(SynchronousTestCase):
    """What is held, and what is missed."""

    def test_a_reader_that_lags_is_told_how_many_events_it_missed(self) -> None:
        ring = make_ring(max_events=4)
        everything = ring.open(ALL)
        only_b = ring.open(Filter(node_ids=frozenset({B})))
        slow, slow_b = everything.tail(), only_b.tail()
        for number in range(0, 10, 2):
            ring.publish(chunk([(number, A, 11), (number + 1, B, 11)]))
        self.assertEqual(everything.catch_up(slow), 6)
        self.assertEqual(everything.catch_up(slow), 0)
        self.assertEqual(drain(everything, slow), [6, 7, 8, 9])
        self.assertEqual(only_b.catch_up(slow_b), 3)
        self.assertEqual(drain(only_b, slow_b), [7, 9])

    def test_an_event_cut_off_within_its_chunk_is_missed_too(self) -> None:
        ring = make_ring(max_events=4, batch=1)
        channel = ring.open(ALL)
        cursor = channel.tail()
        ring.publish(chunk([(1, A, 11), (2, A, 11), (3, A, 11)]))
        read(channel, cursor)
        ring.publish(chunk([(4, A, 11), (5, A, 11)]))
        self.assertEqual(channel.catch_up(cursor), 2)
        self.assertEqual(drain(channel, cursor), [4, 5])

    def test_the_ring_is_bounded_in_bytes(self) -> None:
        ring = make_ring(max_bytes=10_000)
        for number in range(100):
            ring.publish(chunk([(number, A, 11)]))
            self.assertLessEqual(ring.bytes, 10_000)
        self.assertTrue(0 < ring.events < 100)
        self.assertEqual([*ring.newest(3)], [b"<97>", b"<98>", b"<99>"])

    def test_what_channels_keep_is_within_the_bound(self) -> None:
        """The more there are, the fewer events the ring holds."""
        held = []
        for filters in (0, 20):
            ring = make_ring(max_bytes=200_000, max_events=1 << 30)
            channels = [
                ring.open(Filter(frozenset({A}), frozenset({11, 20 + number})))
                for number in range(filters)
            ]
            for number in range(1000):
                ring.publish(chunk([(number, A, 11)]))
                self.assertLessEqual(ring.bytes, 200_000)
            held.append(ring.events)
            for channel in channels:
                ring.close(channel)
            self.assertLess(ring.bytes, 200_000 if filters == 0 else 100_000)
        self.assertLess(held[1], held[0] / 2)

    def test_a_chunk_larger_than_the_ring_is_not_held(self) -> None:
        ring = make_ring(max_bytes=100)
        ring.publish(chunk([(1, A, 11)]))
        self.assertEqual((ring.events, ring.total), (0, 1))

    def test_filters_take_a_quarter_of_the_ring_at_most(self) -> None:
        ring = make_ring(max_bytes=1 << 20)
        opened = []
        with self.assertRaises(FiltersTooLarge) as caught:
            for number in range(1000):
                node_ids = (f"{number:032x}{node:032x}" for node in range(100))
                network = X if number % 2 else None
                opened.append(ring.open(Filter(frozenset(node_ids), network=network)))
        self.assertEqual(caught.exception.most, 1 << 18)
        self.assertTrue(1 << 17 < ring.bytes <= 1 << 18)
        self.assertGreater(len(opened), 2)
        ring.open(ALL)
        ring.close(opened.pop())
        ring.open(Filter(frozenset({A})))

    def test_networks_that_nobody_is_of_count_as_filters(self) -> None:
        ring = make_ring(max_bytes=1 << 18)
        with self.assertRaises(FiltersTooLarge):
            for number in range(100):
                ring.open(Filter(network=f"0x{number:064x}"))
        self.assertTrue(1 << 15 < ring.bytes <= 1 << 16)

    def test_the_newest_events_come_oldest_first(self) -> None:
        ring = make_ring()
        self.assertEqual([*ring.newest(5)], [])
        ring.publish(chunk([(1, A, 11), (2, B, 11)]))
        ring.publish(chunk([(3, A, 11)]))
        self.assertEqual([*ring.newest(2)], [b"<2>", b"<3>"])
        self.assertEqual([*ring.newest(10)], [b"<1>", b"<2>", b"<3>"])

    def test_a_window_keeps_indices_while_items_come_and_go(self) -> None:
        window: Window[int] = Window()
        for number in range(5000):
            window.append(number)
            if number >= 10:
                self.assertEqual(window.popleft(), number - 10)
        self.assertEqual((window.start, window.end, len(window)), (4990, 5000, 10))
        self.assertEqual([window[index] for index in range(4990, 5000)], [*range(4990, 5000)])
        with self.assertRaises(IndexError):
            window[4989]


some_nodes = st.sets(st.sampled_from([A, B, C])) | st.none()
some_types = st.sets(st.integers(10, 13)) | st.none()


def make_filter(
    nodes: set[str] | None, types: set[int] | None, network: str | None = None
) -> Filter:
    return Filter(
        None if nodes is None else frozenset(nodes),
        None if types is None else frozenset(types),
        network,
    )


some_networks = st.sampled_from([X, Y])
some_filters = st.builds(make_filter, some_nodes, some_types, some_networks | st.none())
some_events = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.integers(10, 13)), min_size=1, max_size=7
)


def wants(filter: Filter, event: Event, networks: dict[str, str] = NETWORKS) -> bool:
    _, node, kind = event
    return (
        (filter.node_ids is None or node in filter.node_ids)
        and (filter.types is None or kind in filter.types)
        and filter.network in (None, networks[node])
    )


class PropertyTests(SynchronousTestCase):
    """What holds whatever comes."""

    @given(
        st.lists(some_events, max_size=30),
        some_filters,
        st.integers(1, 40),
        st.lists(st.integers(0, 3), max_size=30),
        st.integers(1, 8),
    )
    def test_received_and_skipped_make_up_what_matched(
        self,
        chunks: list[list[tuple[str, int]]],
        filter: Filter,
        max_events: int,
        reads: list[int],
        batch: int,
    ) -> None:
        """Whatever its pace, a reader gets every matching event in order or is told of it."""
        ring = make_ring(max_events, batch=batch)
        channel = ring.open(filter)
        cursor = channel.tail()
        matching: list[int] = []
        received: list[int] = []
        skipped = 0
        number = 0
        for turn, events in enumerate(chunks):
            numbered = [(number + at, node, kind) for at, (node, kind) in enumerate(events)]
            number += len(events)
            matching += [event[0] for event in numbered if wants(filter, event)]
            ring.publish(chunk(numbered))
            for _ in range(reads[turn] if turn < len(reads) else 0):
                skipped += channel.catch_up(cursor)
                found = read(channel, cursor)
                if found is not None:
                    self.assertLessEqual(found[1], batch)
                    received += numbers_in(found[0])
        skipped += channel.catch_up(cursor)
        received += drain(channel, cursor)
        self.assertEqual(len(received) + skipped, len(matching))
        self.assertEqual(sorted(set(received)), received)
        self.assertLessEqual(set(received), set(matching))

    @given(
        st.lists(
            some_events
            | st.tuples(st.just("open"), some_filters)
            | st.tuples(st.just("close"), st.integers(0, 5))
            | st.tuples(
                st.just("move"), st.sampled_from([A, B, C]), st.integers(0, 9), some_networks
            ),
            max_size=40,
        ),
        st.integers(1, 30),
    )
    def test_channels_come_and_go_and_leave_nothing(self, steps: list[Any], most: int) -> None:
        """Each gets what matched while it was open; what they took is free when they are gone."""
        ring = Ring(most, 1 << 20, render, 100)
        handles: dict[str, int] = {}
        networks: dict[str, str] = {}
        opened: list[tuple[Channel, Cursor, list[int]]] = []
        published: list[Chunk] = []
        number = 0
        for step in steps:
            match step:
                case ("open", Filter() as filter):
                    channel = ring.open(filter)
                    opened.append((channel, channel.tail(), []))
                case ("close", int(place)):
                    if place < len(opened):
                        ring.close(opened.pop(place)[0])
                case ("move", str(node), int(handle), str(network)):
                    if node in handles:
                        ring.node_gone(node)
                        del handles[node]
                    if handle not in handles.values():
                        ring.node_connected(node, handle, network)
                        handles[node], networks[node] = handle, network
                case [*events]:
                    numbered = []
                    for node, kind in events:
                        if node in handles:
                            numbered.append((number, node, kind))
                            number += 1
                    if not numbered:
                        continue
                    published.append(chunk(numbered, handles))
                    ring.publish(published[-1])
                    for channel, cursor, expected in opened:
                        filter = channel.filter
                        expected += [
                            event[0] for event in numbered if wants(filter, event, networks)
                        ]
                        missed = channel.catch_up(cursor)
                        received = drain(channel, cursor)
                        self.assertEqual(received, expected[missed:])
                        expected.clear()
        for channel, _, _ in opened:
            ring.close(channel)
        self.assertEqual(ring.node_channels, 0)
        while sum(held.count for held in published) > ring.events:
            del published[0]
        self.assertEqual(ring.bytes, ring.memo.bytes + sum(held.size for held in published))
