"""What filters cost, at full size: memory that is accounted for, and closing that stays cheap."""

from __future__ import annotations

import gc
import random
import struct
import time
import tracemalloc
from collections.abc import Iterable, Iterator

import pytest
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.api.websocket.frames import event_renderer
from telemetry_twisted.hub.channel import Channel, Cursor
from telemetry_twisted.hub.filter import ALL, Filter
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.transport.records import CHUNK_EVENTS, Chunk, encode_runs
from tests.hub.test_ring import read

NODES = [f"{number:064x}" for number in range(1024)]
GENESIS = "0x" + "9" * 64
MIB = 1 << 20


def chunks(number: int, length: int = 300) -> Iterator[Chunk]:
    """Chunks of two events each of fifty nodes, which 1,024 nodes take turns in.

    :param length: bytes in an event's message.
    """
    chance = random.Random(0)
    for index in range(number):
        handles = chance.sample(range(len(NODES)), CHUNK_EVENTS // 2)
        first = index * CHUNK_EVENTS
        messages = [b"%d" % at for at in range(first, first + CHUNK_EVENTS)]
        messages = [message.ljust(length, b"x") for message in messages]
        yield Chunk(
            first,
            CHUNK_EVENTS,
            encode_runs([(handle, 2) for handle in handles]),
            bytes([11]) * CHUNK_EVENTS,
            b"".join(struct.pack("<I", len(message)) for message in messages),
            b",".join(messages),
        )


def of_two_nodes() -> list[Filter]:
    """A thousand filters of two nodes each."""
    pairs = (frozenset({NODES[at], NODES[(at * 7 + 1) % 1024]}) for at in range(1000))
    return [Filter(pair) for pair in pairs]


def of_networks() -> list[Filter]:
    """A thousand filters of a network each, of all its nodes or of one that it has not."""
    nodes = (None, frozenset({NODES[1]}))
    return [Filter(nodes[at % 2], network=f"0x{at:064x}") for at in range(1000)]


def of_nearly_all_nodes() -> list[Filter]:
    """A hundred filters of 1,024 nodes each, no two the same."""
    return [
        Filter(frozenset([*NODES[:at], *NODES[at + 1 :], f"{2000 + at:064x}"])) for at in range(100)
    ]


class MemoryTests(SynchronousTestCase):
    """What a ring says that it holds is what it takes."""

    def measure(
        self, filters: Iterable[Filter], max_bytes: int, length: int, readers: int
    ) -> tuple[Ring, float]:
        """A ring that is full, read through each of ``filters``, and the bytes that it took."""
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            ring = Ring(1 << 30, max_bytes, event_renderer(lambda: 0.0), CHUNK_EVENTS)
            for handle, node_id in enumerate(NODES):
                ring.node_connected(node_id, handle, GENESIS)
            cursors: list[tuple[Channel, Cursor]] = []
            for filter in filters:
                for _ in range(readers):
                    channel = ring.open(filter)
                    cursors.append((channel, channel.tail()))
            for chunk in chunks(max_bytes // (CHUNK_EVENTS * length), length):
                ring.publish(chunk)
                for channel, cursor in cursors:
                    if chunk.first_id % (50 * CHUNK_EVENTS) == 0:
                        channel.catch_up(cursor)
                        read(channel, cursor)
                self.assertLessEqual(ring.bytes, max_bytes)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertGreater(ring.total, ring.events)
        return ring, after - before

    def assert_accounted(
        self, filters: Iterable[Filter], mib: int, length: int = 300, readers: int = 1
    ) -> None:
        """The bound that an operator set holds, and is used."""
        ring, taken = self.measure(filters, mib * MIB, length, readers)
        self.assertGreater(ring.bytes, 0.8 * taken)
        self.assertLess(ring.bytes, 1.4 * taken)
        self.assertGreater(ring.bytes, 0.9 * mib * MIB - ring.memo.max_bytes)

    def test_without_filters(self) -> None:
        self.assert_accounted([ALL], 24)

    @pytest.mark.end_to_end
    def test_a_thousand_filters_of_two_nodes(self) -> None:
        self.assert_accounted(of_two_nodes(), 20)

    @pytest.mark.end_to_end
    def test_a_thousand_filters_of_a_network_each(self) -> None:
        self.assert_accounted(of_networks(), 20)

    @pytest.mark.end_to_end
    def test_a_hundred_filters_of_1024_nodes(self) -> None:
        self.assert_accounted(of_nearly_all_nodes(), 60, 800)

    @pytest.mark.end_to_end
    def test_frames_that_readers_share(self) -> None:
        self.assert_accounted(of_nearly_all_nodes(), 60, 800, readers=2)


class ClosingTests(SynchronousTestCase):
    """What it costs when subscribers go follows their filters, not how many others there are."""

    def seconds_each(self, number: int) -> float:
        """Of this process's time, to close ``number`` channels that all want one node."""
        best = 1.0
        for _ in range(3):
            ring = Ring(1000, MIB << 10, event_renderer(lambda: 0.0), CHUNK_EVENTS)
            ring.node_connected(NODES[0], 0, GENESIS)
            channels = [
                ring.open(Filter(frozenset({NODES[0], f"{2000 + at:064x}"})))
                for at in range(number)
            ]
            ring.publish(next(chunks(1)))
            start = time.process_time()
            for channel in reversed(channels):
                ring.close(channel)
            best = min(best, (time.process_time() - start) / number)
            self.assertEqual(ring.node_channels, 0)
        return best

    def test_a_crowd_goes_as_cheaply_as_a_few(self) -> None:
        self.assertLess(self.seconds_each(4000), 8 * self.seconds_each(100))
