"""What a read of a node costs: by a pool, by a transport of Twisted's, and by the system alone.

Nodes send an event each, or ten, and then all of it is read and written into chunks, decoded by the
compiled codec. Sockets are TCP over the loopback, whose reads include sending what acknowledges
them, in this system's kernel most of a read.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import ServerFactory

from telemetry_twisted.ingestion.backends import build_pool, build_writer
from telemetry_twisted.ingestion.chunks import ChunkWriter, PythonChunkWriter
from telemetry_twisted.ingestion.pool import READ_BYTES, NodePool
from telemetry_twisted.ingestion.python_pool import PythonPool
from telemetry_twisted.jip3.codec import (
    DEFAULT_MAX_MESSAGE_SIZE,
    Codec,
    Dialect,
    Stream,
    load_codec,
)
from telemetry_twisted.jip3.moment import Moment

from .processes import HOST
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings
from .traffic import CORES, Traffic

NODES = 1024
EVENTS = (1, 10)
ROUNDS = 20
MOMENT = Moment(b"2026-11-24T07:42:00.123456Z")
COMPILED, PYTHON, TRANSPORT, SYSTEM = "compiled pool", "pool in Python", "transports", "recv alone"


def run(settings: Settings) -> Report:
    """Processor time of a read, in microseconds."""
    traffic = Traffic.load(settings.traffic)
    with ExitStack() as stack:
        nodes = Nodes(traffic, stack)
        codec, python = load_codec("compiled"), PythonChunkWriter(1, 1)
        writer = build_writer(codec, 1, 1)
        pool = build_pool(writer, DEFAULT_MAX_MESSAGE_SIZE)
        assert pool is not None
        ways: dict[str, Way] = {
            COMPILED: Pooled(nodes, codec, writer, pool),
            PYTHON: Pooled(nodes, codec, python, PythonPool(python, DEFAULT_MAX_MESSAGE_SIZE)),
            TRANSPORT: Transports(nodes, codec, python),
            SYSTEM: System(nodes),
        }
        measures: dict[tuple[str, str], Measure] = {
            (case_of(events), name): measure_of(nodes, events, way)
            for events in EVENTS
            for name, way in ways.items()
        }
        rows = interleave(settings.repeats, "µs", measures)
    return Report(
        "reads",
        f"A read of one of {NODES:,} nodes that are ready",
        rows,
        tuple(
            Target(case_of(events), COMPILED, 0.5, True, (case_of(events), TRANSPORT))
            for events in EVENTS
        ),
        less_is_better=True,
        about="Processor time of the reading process for a read that brings so many events, which "
        "are decoded and written into chunks.",
    )


def case_of(events: int) -> str:
    """What nodes send."""
    return f"{events} event{'s' if events > 1 else ''} a read"


class Nodes:
    """Connections, of which ``ends`` are those to read from."""

    def __init__(self, traffic: Traffic, stack: ExitStack) -> None:
        self._traffic = traffic
        self.ends: list[socket.socket] = []
        self._senders: list[socket.socket] = []
        listening = stack.enter_context(socket.create_server((HOST, 0), backlog=NODES))
        for _ in range(NODES):
            sender = stack.enter_context(socket.create_connection(listening.getsockname()))
            end = stack.enter_context(listening.accept()[0])
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
            self._senders.append(sender)
            self.ends.append(end)

    def send(self, events: int) -> None:
        """Each sends so many events at once, each from another one on."""
        block = self._traffic.block
        for number, sender in enumerate(self._senders):
            at = number * events % (block.count - events)
            sender.sendall(block.data[block.offsets[at] : block.offsets[at + events]])

    def dialect_of(self, number: int) -> Dialect:
        """How a node speaks."""
        return Dialect(self._traffic.node_ids[number], CORES)


class Way(Protocol):
    """A way to read: only one at a time has the sockets."""

    def join(self) -> None:
        """Take up the sockets."""

    def read(self, events: int) -> None:
        """Read what was sent, so many events."""

    def leave(self) -> None:
        """Let go of the sockets."""


def measure_of(nodes: Nodes, events: int, way: Way) -> Measure:
    """Measures ``way`` while each node sends ``events`` at once."""

    def measure() -> Sample:
        spent = 0.0
        way.join()
        for _ in range(ROUNDS):
            nodes.send(events)
            began = time.thread_time()
            way.read(events * NODES)
            spent += time.thread_time() - began
        way.leave()
        return Sample(spent / ROUNDS / NODES * 1_000_000)

    return measure


class System:
    """Reads and does nothing with it."""

    def __init__(self, nodes: Nodes) -> None:
        self._ends = nodes.ends

    def join(self) -> None:
        pass

    def read(self, events: int) -> None:
        for end in self._ends:
            end.recv(READ_BYTES)

    def leave(self) -> None:
        pass


class Pooled:
    """Reads by a pool."""

    def __init__(self, nodes: Nodes, codec: Codec, writer: ChunkWriter, pool: NodePool) -> None:
        self._nodes = nodes
        self._codec = codec
        self._writer = writer
        self._pool = pool

    def join(self) -> None:
        for number, end in enumerate(self._nodes.ends):
            stream = self._codec.open(self._nodes.dialect_of(number))
            self._pool.add(number, end.fileno(), stream, number, b"", 0, 0, 0.0)

    def read(self, events: int) -> None:
        _take_turns(self._writer, events, lambda: self._pool.turn(0.0))

    def leave(self) -> None:
        for number in range(NODES):
            self._pool.remove(number)


def _take_turns(writer: ChunkWriter, events: int, read: Callable[[], object]) -> None:
    """Have ``read`` called, each time in a turn of ``writer``, until so many events are written."""
    expected = writer.events + events
    while writer.events < expected:
        writer.begin_turn(MOMENT, 1, 1)
        read()
        writer.take()


class Transports:
    """Reads by a reactor, with a transport for each node."""

    def __init__(self, nodes: Nodes, codec: Codec, writer: ChunkWriter) -> None:
        self._reactor = EPollReactor()
        self._writer = writer
        self._transports = []
        for number, end in enumerate(nodes.ends):
            factory = _Factory(writer, codec.open(nodes.dialect_of(number)), number)
            transport = self._reactor.adoptStreamConnection(end.fileno(), end.family, factory)
            transport.bufferSize = READ_BYTES
            transport.stopReading()
            self._transports.append(transport)

    def join(self) -> None:
        for transport in self._transports:
            transport.startReading()

    def read(self, events: int) -> None:
        _take_turns(self._writer, events, lambda: self._reactor.doIteration(0))

    def leave(self) -> None:
        for transport in self._transports:
            transport.stopReading()


class _Reader(TwistedProtocol):
    def __init__(self, writer: ChunkWriter, stream: Stream, handle: int) -> None:
        self._writer = writer
        self._stream = stream
        self._handle = handle

    def dataReceived(self, data: bytes) -> None:
        self._writer.feed(self._stream, self._handle, data, 0, None)


class _Factory(ServerFactory):
    noisy = False

    def __init__(self, writer: ChunkWriter, stream: Stream, handle: int) -> None:
        self._reader = _Reader(writer, stream, handle)

    def buildProtocol(self, _address: object) -> _Reader:
        return self._reader
