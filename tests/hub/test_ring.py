"""The ring and its channels: what is routed, what is held, what was missed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.hub.channel import ALL, Channel, Cursor, Filter, Frame
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.hub.window import Window
from telemetry_twisted.transport.records import Chunk, encode_runs

A, B, C = "a" * 64, "b" * 64, "c" * 64
SLOTS = {A: 0, B: 1, C: 2}

Event = tuple[int, str, int]
"""Number, node and type of an event, which ``chunk`` writes as ``<number>``."""


def chunk(events: Sequence[Event]) -> Chunk:
    runs: list[tuple[int, int]] = []
    for _, node, _ in events:
        slot = SLOTS[node]
        if runs and runs[-1][0] == slot:
            runs[-1] = slot, runs[-1][1] + 1
        else:
            runs.append((slot, 1))
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
    for node, slot in SLOTS.items():
        ring.node_connected(node, slot)
    return ring


def drain(channel: Channel, cursor: Cursor, until: int | None = None) -> list[int]:
    numbers: list[int] = []
    while (found := channel.read(cursor, until)) is not None:
        frame, count = found
        assert count <= 100
        numbers += numbers_in(frame)
    return numbers


def test_a_channel_of_everything_takes_chunks_whole() -> None:
    ring = make_ring()
    channel = ring.open(ALL)
    cursor = channel.tail()
    whole = chunk([(1, A, 11), (2, B, 12)])
    ring.publish(whole)
    assert channel.read(cursor) == ([whole.events], 2)
    assert channel.read(cursor) is None


@pytest.mark.parametrize(
    ("filter", "numbers"),
    [
        (Filter(node_ids=frozenset({A})), [1, 4, 5]),
        (Filter(node_ids=frozenset({A, C})), [1, 3, 4, 5]),
        (Filter(types=frozenset({11})), [1, 3, 5]),
        (Filter(types=frozenset(range(12, 14))), [2, 4]),
        (Filter(node_ids=frozenset({A}), types=frozenset({13})), [4]),
        (Filter(node_ids=frozenset({"d" * 64})), []),
        (Filter(types=frozenset()), []),
    ],
)
def test_a_filter_selects(filter: Filter, numbers: list[int]) -> None:
    ring = make_ring()
    channel = ring.open(filter)
    cursor = channel.tail()
    ring.publish(chunk([(1, A, 11), (2, B, 12), (3, C, 11)]))
    ring.publish(chunk([(4, A, 13), (5, A, 11)]))
    assert drain(channel, cursor) == numbers
    assert channel.total == len(numbers)


def test_a_node_that_connects_later_joins_its_channel_and_leaves_it() -> None:
    ring = Ring(1000, 1 << 20, render, 100)
    channel = ring.open(Filter(node_ids=frozenset({A})))
    cursor = channel.tail()
    ring.node_connected(A, SLOTS[A])
    ring.publish(chunk([(1, A, 11)]))
    ring.node_gone(A)
    ring.node_connected(B, SLOTS[A])
    ring.publish(chunk([(2, A, 11)]))
    assert drain(channel, cursor) == [1]


def test_frames_hold_at_most_a_batch_and_keep_chunks_whole_where_they_fit() -> None:
    ring = make_ring(batch=3)
    channel = ring.open(ALL)
    cursor = channel.tail()
    for numbers in ([1, 2], [3], [4, 5], [6, 7, 8, 9]):
        ring.publish(chunk([(number, A, 11) for number in numbers]))
    counts = []
    while (found := channel.read(cursor)) is not None:
        counts.append(found[1])
    assert counts == [3, 2, 3, 1]


def test_readers_at_the_same_cursor_share_one_frame() -> None:
    ring = make_ring()
    channel = ring.open(ALL)
    assert ring.open(ALL) is channel
    first, second = channel.tail(), channel.tail()
    ring.publish(chunk([(1, A, 11)]))
    ring.publish(chunk([(2, A, 11)]))
    one, other = channel.read(first), channel.read(second)
    assert one is not None
    assert other is not None
    assert one[0] is other[0]
    assert first == second


def test_a_reader_that_lags_is_told_how_many_events_it_missed() -> None:
    ring = make_ring(max_events=4)
    everything = ring.open(ALL)
    only_b = ring.open(Filter(node_ids=frozenset({B})))
    slow, slow_b = everything.tail(), only_b.tail()
    for number in range(0, 10, 2):
        ring.publish(chunk([(number, A, 11), (number + 1, B, 11)]))
    assert everything.catch_up(slow) == 6
    assert everything.catch_up(slow) == 0
    assert drain(everything, slow) == [6, 7, 8, 9]
    assert only_b.catch_up(slow_b) == 3
    assert drain(only_b, slow_b) == [7, 9]


def test_an_event_cut_off_within_its_chunk_is_missed_too() -> None:
    ring = make_ring(max_events=4, batch=1)
    channel = ring.open(ALL)
    cursor = channel.tail()
    ring.publish(chunk([(1, A, 11), (2, A, 11), (3, A, 11)]))
    channel.read(cursor)
    ring.publish(chunk([(4, A, 11), (5, A, 11)]))
    assert channel.catch_up(cursor) == 2
    assert drain(channel, cursor) == [4, 5]


def test_the_ring_is_bounded_in_bytes() -> None:
    ring = make_ring(max_bytes=10_000)
    for number in range(100):
        ring.publish(chunk([(number, A, 11)]))
        assert ring.bytes <= 10_000
    assert 0 < ring.events < 100
    assert ring.newest(3) == [b"<97>", b"<98>", b"<99>"]


def test_the_newest_events_come_oldest_first() -> None:
    ring = make_ring()
    assert ring.newest(5) == []
    ring.publish(chunk([(1, A, 11), (2, B, 11)]))
    ring.publish(chunk([(3, A, 11)]))
    assert ring.newest(2) == [b"<2>", b"<3>"]
    assert ring.newest(10) == [b"<1>", b"<2>", b"<3>"]


def test_a_waiting_reader_is_woken_once_and_only_for_its_channel() -> None:
    woken: list[str] = []

    class Sleeper:
        def __init__(self, name: str) -> None:
            self.name = name

        def wake(self) -> None:
            woken.append(self.name)

    ring = make_ring()
    ring.open(ALL).wait(Sleeper("all"))
    ring.open(Filter(node_ids=frozenset({A}))).wait(Sleeper("a"))
    ring.open(Filter(node_ids=frozenset({B}))).wait(Sleeper("b"))
    ring.publish(chunk([(1, A, 11)]))
    ring.publish(chunk([(2, A, 11)]))
    ring.wake()
    ring.publish(chunk([(3, A, 11)]))
    ring.wake()
    assert sorted(woken) == ["a", "all"]


def test_a_channel_ends_with_its_last_reader() -> None:
    ring = make_ring()
    filter = Filter(node_ids=frozenset({A}), types=frozenset({11}))
    channel = ring.open(filter)
    ring.open(filter)
    ring.close(channel)
    assert ring.node_channels == 1
    ring.close(channel)
    assert ring.node_channels == 0
    ring.publish(chunk([(1, A, 11)]))
    assert channel.total == 0
    typed = ring.open(Filter(types=frozenset({11})))
    ring.close(typed)
    ring.publish(chunk([(2, A, 11)]))
    assert typed.total == 0


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from([A, B, C]), st.integers(10, 13)), min_size=1, max_size=7
        ),
        max_size=30,
    ),
    st.sets(st.sampled_from([A, B, C])) | st.none(),
    st.sets(st.integers(10, 13)) | st.none(),
    st.integers(1, 40),
    st.lists(st.integers(0, 3), max_size=30),
    st.integers(1, 8),
)
def test_received_and_skipped_make_up_what_matched(
    chunks: list[list[tuple[str, int]]],
    nodes: set[str] | None,
    types: set[int] | None,
    max_events: int,
    reads: list[int],
    batch: int,
) -> None:
    """Whatever the pace of a reader, it gets every matching event in order or is told of it."""
    ring = make_ring(max_events, batch=batch)
    channel = ring.open(
        Filter(
            None if nodes is None else frozenset(nodes), None if types is None else frozenset(types)
        )
    )
    cursor = channel.tail()
    matching: list[int] = []
    received: list[int] = []
    skipped = 0
    number = 0
    for turn, events in enumerate(chunks):
        numbered = [(number + at, node, kind) for at, (node, kind) in enumerate(events)]
        number += len(events)
        matching += [
            at
            for at, node, kind in numbered
            if (nodes is None or node in nodes) and (types is None or kind in types)
        ]
        ring.publish(chunk(numbered))
        for _ in range(reads[turn] if turn < len(reads) else 0):
            skipped += channel.catch_up(cursor)
            found = channel.read(cursor)
            if found is not None:
                assert found[1] <= batch
                received += numbers_in(found[0])
    skipped += channel.catch_up(cursor)
    received += drain(channel, cursor)
    assert len(received) + skipped == len(matching)
    assert sorted(set(received)) == received
    assert set(received) <= set(matching)


def test_a_window_keeps_indices_while_items_come_and_go() -> None:
    window: Window[int] = Window()
    for number in range(5000):
        window.append(number)
        if number >= 10:
            assert window.popleft() == number - 10
    assert (window.start, window.end, len(window)) == (4990, 5000, 10)
    assert [window[index] for index in range(4990, 5000)] == list(range(4990, 5000))
    with pytest.raises(IndexError):
        window[4989]
