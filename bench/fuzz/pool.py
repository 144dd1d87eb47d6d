"""The pools against each other, and the writers that they write to: nodes do the same at both.

The pools read every socket that is ready once in a turn, but not in the same order.
"""

from __future__ import annotations

import select
import socket
from itertools import islice
from operator import itemgetter
from random import Random
from typing import Any

from attrs import evolve

from telemetry_twisted.ingestion._chunks import ChunkWriter as CompiledWriter
from telemetry_twisted.ingestion._pool import NodePool as CompiledPool
from telemetry_twisted.ingestion.chunks import ChunkWriter, PythonChunkWriter
from telemetry_twisted.ingestion.pool import NodePool
from telemetry_twisted.ingestion.python_pool import PythonPool
from telemetry_twisted.jip3.codec import Codec, Dialect, FrameTooLong, Stream
from telemetry_twisted.jip3.compiled import CompiledCodec
from telemetry_twisted.jip3.python import PythonCodec
from telemetry_twisted.transport import records

from .messages import CORES, Messages, damaged, random_dialect, random_frames, random_moment

STEPS = 30
TURN_BYTES = 1 << 30
RATES = (0, 0, 0, 1, 20, 10_000)


class Side:
    """A codec with its writer and its pool, and the sockets of the nodes in it."""

    def __init__(self, codec: Codec, writer: ChunkWriter, pool: NodePool) -> None:
        self.codec = codec
        self.writer = writer
        self.pool = pool
        self.sockets: dict[int, tuple[socket.socket, socket.socket]] = {}
        self.streams: dict[int, Stream] = {}

    def add(self, number: int, dialect: Dialect, rate: int, now: float) -> None:
        """A node has connected."""
        self.sockets[number] = ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        self.streams[number] = stream = self.codec.open(dialect)
        self.pool.add(number, ends[1].fileno(), stream, number, b"", rate, rate // 2, now)

    def leave(self, number: int) -> None:
        """Close both ends of its connection."""
        self.pool.remove(number)
        for end in self.sockets.pop(number):
            end.close()

    def turn(self, random: Random, now: float) -> Any:
        """A turn; returns all that it gave."""
        moment = random_moment(random)._replace(second=int(now))
        self.writer.begin_turn(moment, random.randrange(2**64), 1)
        told, ended, _ = self.pool.turn(now)
        ready = bool(select.select([self.pool.fileno()], [], [], 0)[0])
        endings = sorted((number, repr(why)) for number, why in ended)
        written = by_node(b"".join(self.writer.take()))
        return sorted(told, key=itemgetter(0)), endings, written, self.writer.events, ready

    def feed(self, number: int, data: bytes, most: int | None) -> Any:
        """What is read past the pool."""
        try:
            return self.writer.feed(self.streams[number], number, data, 0, most)
        except FrameTooLong as error:
            return str(error)

    def account(self, number: int) -> Any:
        """What is known of a node."""
        stream = self.streams[number]
        counts = stream.take_counts(), stream.take_dropped(), stream.next_event_id, stream.cores
        return counts, self.pool.heard(number) if number in self.sockets else None


def by_node(data: bytes) -> dict[int, list[bytes]]:
    """The events in records of chunks, without their ids, by the handle of the node."""
    events: dict[int, list[bytes]] = {}
    at = 0
    while at < len(data):
        length, kind = records.PREFIX.unpack_from(data, at)
        assert kind == records.CHUNK
        chunk = records.Chunk.decode(data[at + records.PREFIX.size : at + 4 + length])
        each = chunk.each()
        for handle, count in chunk.runs:
            events.setdefault(handle, []).extend(
                event.split(b',"node_id"')[1] for event in islice(each, count)
            )
        at += 4 + length
    return events


def fuzz(random: Random) -> int:
    """One round: a few nodes, and what they send, cut anywhere; how many bytes that was.

    :raises AssertionError: if the pools differ.
    """
    step, longest = random.randrange(1, 4), random.choice((300, 1 << 20))
    compiled, python = CompiledWriter(1, step), PythonChunkWriter(1, step)
    sides = (
        Side(CompiledCodec(), compiled, CompiledPool(compiled, longest, TURN_BYTES)),
        Side(PythonCodec(), python, PythonPool(python, longest, TURN_BYTES)),
    )
    try:
        return _compare(random, sides, longest)
    finally:
        for side in sides:
            side.pool.close()
            for ends in side.sockets.values():
                for end in ends:
                    end.close()


def _compare(random: Random, sides: tuple[Side, Side], longest: int) -> int:
    cores = random.choice(CORES)
    to_send: dict[int, bytes] = {}
    now, total = 0.0, 0
    for number in range(random.randrange(1, 6)):
        dialect = evolve(random_dialect(random, cores), max_message_size=longest)
        rate = random.choice(RATES)
        messages = Messages(random, cores, dialect.version)
        frames = random_frames(random, messages, (1, 3, 20, 100))
        to_send[number] = damaged(random, b"".join(frames))
        total += len(to_send[number])
        for side in sides:
            side.add(number, dialect, rate, now)
    for _ in range(STEPS):
        number = random.choice(list(to_send))
        connected = number in sides[0].sockets
        match random.choice(("send", "send", "send", "turn", "turn", "end", "account", "feed")):
            case "send" if connected:
                data = to_send[number]
                piece = data[: random.choice((1, 3, 40, 1_000, 50_000, len(data)))]
                sent = _same(_send(side.sockets[number][0], piece) for side in sides)
                to_send[number] = data[sent:]
            case "turn":
                now += random.choice((0.0, 0.01, 1.0))
                _turn(random, sides, now)
            case "end" if connected and random.random() < 0.3:
                for side in sides:
                    side.sockets[number][0].shutdown(socket.SHUT_WR)
                to_send[number] = b""
            case "account":
                _same(side.account(number) for side in sides)
            case "feed" if connected and random.random() < 0.3:
                most = random.choice((None, 0, 1, 100))
                _same(side.feed(number, to_send[number], most) for side in sides)
    while _turn(random, sides, now + 1):
        pass
    for number in to_send:
        _same(side.account(number) for side in sides)
    return total


def _turn(random: Random, sides: tuple[Side, Side], now: float) -> bool:
    """A turn of both; whether there is more to read."""
    seed = random.random()
    _, endings, _, _, ready = _same(side.turn(Random(seed), now) for side in sides)
    for ended, _ in endings:
        for side in sides:
            side.leave(ended)
    return bool(ready)


def _same(results: Any) -> Any:
    ours, theirs = results
    assert ours == theirs, f"{ours!r:.4000}\n{theirs!r:.4000}"
    return ours


def _send(node: socket.socket, data: bytes) -> int:
    """How much was sent, where there is room for it and it has not ended."""
    try:
        return node.send(data)
    except (BlockingIOError, BrokenPipeError):
        return 0
