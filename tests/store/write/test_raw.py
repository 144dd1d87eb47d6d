"""The queue of raw events, and what a batch of them is made of."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from telemetry_twisted.store.raw_layout import (
    CHUNK_SPAN,
    cut_events,
    node_term,
    received_at,
    type_term,
)
from telemetry_twisted.store.write.raw import BATCH_EVENTS, RawQueue, Waiting, make_batch
from telemetry_twisted.transport.records import Chunk


def waiting(count: int = 1) -> Waiting:
    message = b'{"type":"event","timestamp":"2026-11-24T07:42:00.123456Z"}'
    return Waiting(
        Chunk(
            1,
            count,
            b"\0\0" + count.to_bytes(2, "little"),
            bytes([11]) * count,
            len(message).to_bytes(4, "little") * count,
            b",".join([message] * count),
        ),
        ("aa",),
    )


def test_oldest_go_when_there_are_too_many_events() -> None:
    queue = RawQueue(250, 1 << 20)
    chunks = [waiting(100) for _ in range(5)]
    assert [queue.push(chunk) for chunk in chunks] == [0, 0, 100, 100, 100]
    assert queue.events == 200
    assert queue.pop_batch() == chunks[3:]
    assert (queue.events, queue.bytes) == (0, 0)


def test_oldest_go_when_there_are_too_many_bytes() -> None:
    size = waiting(100).chunk.size
    queue = RawQueue(1_000_000, 2 * size)
    assert [queue.push(waiting(100)) for _ in range(3)] == [0, 0, 100]
    assert queue.bytes == 2 * size


def test_batches_are_bounded() -> None:
    queue = RawQueue(10_000_000, 1 << 30)
    for _ in range(BATCH_EVENTS // 100 + 10):
        queue.push(waiting(100))
    assert sum(item.chunk.count for item in queue.pop_batch()) == BATCH_EVENTS
    assert sum(item.chunk.count for item in queue.pop_batch()) == 1000
    assert queue.pop_batch() == []


def test_batch_tells_where_the_events_of_nodes_and_types_are(
    gather_chunks: Callable[..., list[Waiting]],
) -> None:
    chunks = gather_chunks([(1, 10), (1, 11), (2, 11)], [(2, 11), (1, 12)])
    numbers = {node: number for number, node in enumerate(("01" * 32, "02" * 32), 501)}
    batch = make_batch(chunks, numbers)
    positions = {term: array("I", where).tolist() for term, where in batch.postings}
    assert positions == {
        node_term(501): [0, 1, CHUNK_SPAN + 1],
        node_term(502): [2, CHUNK_SPAN],
        type_term(10): [0],
        type_term(11): [1, 2, CHUNK_SPAN],
        type_term(12): [CHUNK_SPAN + 1],
    }
    assert (batch.events, batch.first, batch.last) == (
        5,
        1_795_506_120_000_000,
        1_795_506_121_500_000,
    )
    assert [number for number, *_ in batch.chunks] == [0, 1]
    (_, _, lengths, events), _ = batch.chunks
    messages = list(chunks[0].chunk.each())
    assert cut_events(lengths, events, range(3)) == messages
    assert cut_events(lengths, events, [2, 0]) == [messages[2], messages[0]]


def test_small_chunks_that_came_together_are_one_row(
    gather_chunks: Callable[..., list[Waiting]],
) -> None:
    together = gather_chunks(*[[(1, 10), (2, 11)]] * 3, every=0.05)
    later = gather_chunks(*[[(1, 10)] * 60] * 3, every=0)
    batch = make_batch(together + later, {"01" * 32: 501, "02" * 32: 502})
    counts = [len(lengths) // 4 for _, _, lengths, _ in batch.chunks]
    assert counts == [66, 60, 60]  # others would be too many
    assert batch.chunks[0][1] == batch.first
    (_, _, lengths, events), *_ = batch.chunks
    messages = [message for item in together for message in item.chunk.each()]
    assert cut_events(lengths, events, range(6)) == messages
    positions = {term: array("I", where).tolist() for term, where in batch.postings}
    assert positions[node_term(502)] == [1, 3, 5]
    assert positions[type_term(10)][:4] == [0, 2, 4, 6]
    assert positions[type_term(10)][-60:] == list(range(2 * CHUNK_SPAN, 2 * CHUNK_SPAN + 60))


def test_chunks_that_came_apart_are_rows_of_their_own(
    gather_chunks: Callable[..., list[Waiting]],
) -> None:
    chunks = gather_chunks(*[[(1, 10)]] * 7, every=0.04)
    batch = make_batch(chunks, {"01" * 32: 501})
    assert [len(lengths) // 4 for _, _, lengths, _ in batch.chunks] == [3, 3, 1]
    backwards = make_batch(chunks[::-1], {"01" * 32: 501})
    assert [received for _, received, *_ in backwards.chunks] == [
        received_at(chunks[first].chunk.events) for first in (4, 1, 0)
    ]
