"""A node's connection: frames split anywhere, the three states, and what bad input gets."""

from __future__ import annotations

import select
import socket
from itertools import product
from typing import Any, cast

import ujson
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.ingestion.assembler import Assembler, Source
from telemetry_twisted.ingestion.backends import build_pool, build_writer
from telemetry_twisted.ingestion.chunks import PythonChunkWriter
from telemetry_twisted.ingestion.faults import FaultLedger, FaultReports
from telemetry_twisted.ingestion.gate import Gate
from telemetry_twisted.ingestion.intake import Intake
from telemetry_twisted.ingestion.node import LEFT, Ending, NodeProtocol
from telemetry_twisted.ingestion.pool import READ_BYTES
from telemetry_twisted.ingestion.pool_reader import PoolReader
from telemetry_twisted.jip3.codec import FACT_TYPES, Dialect, load_codec
from telemetry_twisted.jip3.encoder import encode_event, encode_node_information, frame
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.node_information import NodeInformation
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.testing import MemoryLink
from telemetry_twisted.transport.link import Link, hand_over
from telemetry_twisted.transport.records import CHUNK, Chunk

NODE_ID = "ab" * 32
COMPILED = ["compiled"] if load_codec().name == "compiled" else []
ZERO = "0x" + "00" * 32


def hello(node_id: str = NODE_ID) -> bytes:
    params = {name: 0 for name, _ in TABLE.parameters["gp-0.7"]}
    information = {
        "params": {**params, "core_count": 2},
        "genesis": ZERO,
        "details": {
            "peer_id": "0x" + node_id,
            "peer_address": {"ipv6": "10.0.0.7", "port": 30333},
        },
        "flags": 0,
        "implementation_name": "test",
        "implementation_version": "1",
        "gp_version": "0.7.2",
        "additional_info": "",
    }
    return frame(encode_node_information(information, layout="gp-0.7"))


def best_block(slot: int) -> bytes:
    return frame(encode_event("BestBlockChanged", slot, {"slot": slot, "hash": ZERO}, cores=2))


def failed(reason: str) -> bytes:
    return frame(encode_event("AuthoringFailed", 1, {"authoring_id": 0, "reason": reason}, cores=2))


def tickets_in_small_reads() -> list[bytes]:
    """A large message."""
    tickets = {"generating_id": 0, "ids": [ZERO] * 3000}
    message = frame(encode_event("TicketsGenerated", 1, tickets, cores=2))
    return [message[at : at + 1000] for at in range(0, len(message), 1000)]


def ledger() -> FaultLedger:
    """Of a node with nobody to be told of its faults."""
    clock = Clock()
    return FaultLedger(NODE_ID, FaultReports(MemoryLink(), clock, InternalErrors(clock)))


class NodeTransport(StringTransport):
    """In memory, until the pool asks for a socket: then what nodes send goes through one."""

    protocol: Any = None
    aborted = False
    node_end: socket.socket | None = None
    server_end: socket.socket | None = None

    def setTcpKeepAlive(self, _enabled: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True

    def fileno(self) -> int:
        if self.server_end is None:
            self.node_end, self.server_end = socket.socketpair()
            self.server_end.setblocking(False)
        return self.server_end.fileno()

    def close(self) -> None:
        """Close both ends."""
        for end in (self.node_end, self.server_end):
            if end is not None:
                end.close()

    def connectionLost(self, reason: Failure) -> None:
        if self.server_end is not None:
            self.server_end.close()
        self.protocol.connectionLost(reason)


def connect(node: NodeProtocol) -> NodeTransport:
    """Connect ``node`` from an address of its own."""
    transport = NodeTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 5))
    transport.protocol = node
    node.makeConnection(transport)
    return transport


def is_readable(descriptor: int) -> bool:
    """Whether there is something to read, whatever its number."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


def read_pool(reactor: MemoryReactorClock) -> None:
    """Do what a reactor does when the pool is readable, until it is not."""
    for reader in reactor.getReaders():
        if isinstance(reader, PoolReader):
            while reader.reading and is_readable(reader.fileno()):
                reader.doRead()


def send(reactor: MemoryReactorClock, node: NodeProtocol, *reads: bytes) -> None:
    """Have ``node`` send this, which the pool reads or its transport."""
    for data in reads:
        node_end = cast(NodeTransport, node.transport).node_end
        if node_end is None:
            node.dataReceived(data)
        else:
            for at in range(0, len(data), READ_BYTES):
                node_end.sendall(data[at : at + READ_BYTES])
                read_pool(reactor)


def hang_up(reactor: MemoryReactorClock, node: NodeProtocol) -> None:
    """Have ``node`` end the connection."""
    transport = cast(NodeTransport, node.transport)
    if transport.node_end is None or transport.aborted:
        transport.connectionLost(Failure(CONNECTION_DONE))
    else:
        transport.node_end.close()
        read_pool(reactor)


@define
class Collector:
    """Reads back the chunks that an assembler sends."""

    chunks: list[Chunk] = field(factory=list)

    def send(self, *pieces: bytes) -> None:
        hand_over(memoryview(b"".join(pieces)), self)

    def record_received(self, kind: int, body: bytes) -> None:
        if kind == CHUNK:
            self.chunks.append(Chunk.decode(body))

    def link_made(self, link: Link) -> None:
        raise AssertionError

    def records_done(self) -> None:
        pass

    def link_lost(self, reason: Failure) -> None:
        raise AssertionError

    @property
    def events(self) -> list[dict[str, Any]]:
        return [ujson.loads(event) for chunk in self.chunks for event in chunk.each()]

    @property
    def slots(self) -> list[int]:
        """The slot of each BestBlockChanged that came."""
        return [event["data"]["event"]["BestBlockChanged"]["slot"] for event in self.events]


class Bench:
    """A node connection with everything around it in memory, but for the socket of the pool."""

    def __init__(
        self,
        rate_limit: int = 0,
        max_message_size: int = 1 << 20,
        codec: str = "python",
        pooled: bool = False,
    ) -> None:
        self.clock = MemoryReactorClock()
        self.collector = Collector()
        self.codec = load_codec(codec)
        self.writer = build_writer(self.codec, 1, 1)
        pool = build_pool(self.writer, max_message_size) if pooled else None
        self.assembler = Assembler(self.collector.send, self.writer, pool, self.clock, self.now)
        self.errors = InternalErrors(self.clock)
        self.reader = (
            None
            if pool is None
            else PoolReader(pool, self.assembler, cast(Any, self.clock), self.errors)
        )
        self.gate = Gate(self.reader)
        self.introduced: list[NodeInformation] = []
        self.endings: list[Ending] = []
        self.max_message_size = max_message_size
        self.rate_limit = rate_limit
        self.node = NodeProtocol(
            1,
            self,
            self.assembler,
            self.reader,
            self.gate,
            self.clock,
            max_message_size,
            rate_limit,
        )
        self.transport = connect(self.node)

    def now(self) -> float:
        """Unix time, near the timestamps of the events here, which are those of a new era."""
        return COMMON_ERA / 1_000_000 + self.clock.seconds()

    def node_introduced(self, node: NodeProtocol, information: NodeInformation) -> None:
        self.introduced.append(information)

    def node_ended(self, node: NodeProtocol, ending: Ending) -> None:
        self.endings.append(ending)

    def node_failed(self, node: NodeProtocol, failure: Failure) -> None:
        failure.raiseException()

    @property
    def reading(self) -> bool:
        """Whether what the node sends is read."""
        if self.transport.node_end is None:
            return self.transport.producerState == "producing"
        assert self.reader is not None
        return self.reader in self.clock.getReaders()

    def admit(self) -> Source:
        dialect = Dialect(NODE_ID, 2, max_message_size=self.max_message_size, fact_types=FACT_TYPES)
        stream = self.codec.open(dialect)
        intake = Intake(self.writer, stream, 7, self.rate_limit, 0, self.clock.seconds())
        source = Source(1, 7, stream, ledger(), intake)
        self.assembler.add(source)
        self.node.admit(source)
        return source

    def receive(self, *reads: bytes) -> None:
        send(self.clock, self.node, *reads)

    def hang_up(self) -> None:
        hang_up(self.clock, self.node)

    def open_gate(self) -> None:
        self.gate.resumeProducing()
        read_pool(self.clock)

    def look_for_ends(self) -> None:
        """Do what is done once a second."""
        if self.reader is not None:
            self.reader.look_for_ends()

    def end_turn(self) -> None:
        self.clock.advance(0)


class NodeCases:
    """What holds of a node's connection whoever reads it."""

    codec = "python"
    pooled = False

    def bench(self, rate_limit: int = 0, max_message_size: int = 1 << 20) -> Bench:
        return Bench(rate_limit, max_message_size, self.codec, self.pooled)

    def test_a_node_introduces_itself_and_waits_for_the_hub(self) -> None:
        bench = self.bench()
        bench.receive(hello() + best_block(1))
        assert [information.node_id for information in bench.introduced] == [NODE_ID]
        assert not bench.reading
        bench.admit()
        assert bench.reading
        bench.end_turn()
        assert bench.collector.slots == [1]
        assert bench.collector.chunks[0].runs == ((7, 1),)

    def test_no_information_within_ten_seconds(self) -> None:
        bench = self.bench()
        bench.receive(hello()[:20])
        bench.clock.advance(9.9)
        assert not bench.transport.aborted
        bench.clock.advance(0.2)
        assert bench.transport.aborted
        bench.hang_up()
        assert [ending.kind for ending in bench.endings] == ["no_information"]

    def test_what_came_in_time_is_read_though_the_process_was_late(self) -> None:
        bench = self.bench()
        bench.clock.callLater(10, bench.receive, hello())  # after it is known that time is up
        bench.clock.advance(15)
        assert not bench.transport.aborted
        assert len(bench.introduced) == 1

    def test_while_the_gate_is_closed_nothing_is_due(self) -> None:
        bench = self.bench()
        bench.gate.pauseProducing()
        bench.receive(hello()[:20])
        bench.clock.advance(100)
        assert not bench.transport.aborted
        bench.open_gate()
        bench.clock.advance(9.9)
        assert not bench.transport.aborted
        bench.clock.advance(0.2)
        assert bench.transport.aborted

    def test_a_node_that_introduced_itself_has_all_the_time(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.clock.advance(100)
        assert not bench.transport.aborted

    def test_one_that_leaves_while_the_gate_is_closed(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.receive(best_block(1))
        bench.gate.pauseProducing()
        bench.look_for_ends()
        assert not bench.endings
        bench.hang_up()
        bench.look_for_ends()
        assert bench.endings == [LEFT]
        bench.look_for_ends()
        bench.open_gate()
        assert bench.endings == [LEFT]
        bench.end_turn()
        assert bench.collector.slots == [1]

    def test_one_that_says_something_before_it_leaves_while_the_gate_is_closed(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.gate.pauseProducing()
        bench.receive(best_block(1) + best_block(2)[:5])
        bench.hang_up()
        bench.look_for_ends()
        bench.open_gate()
        assert bench.endings == [LEFT]
        bench.end_turn()
        assert bench.collector.slots == [1]

    def test_information_that_cannot_be_decoded(self) -> None:
        bench = self.bench()
        bench.receive(frame(b"\0" * 30))
        assert bench.transport.aborted
        bench.hang_up()
        assert [ending.kind for ending in bench.endings] == ["bad_information"]
        assert not bench.introduced

    def test_a_node_id_of_zeros(self) -> None:
        bench = self.bench()
        bench.receive(hello("00" * 32))
        assert bench.transport.aborted
        bench.hang_up()
        (ending,) = bench.endings
        assert ending.kind == "bad_information"
        assert "all-zero node ID" in ending.reason
        assert not bench.introduced

    def test_a_time_is_compared_with_the_clock_of_the_turn(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        source = bench.admit()
        bench.receive(best_block(1))
        bench.clock.advance(24 * 3600 + 1)
        assert source.faults.report() == []
        for minute in range(3):
            for _ in range(2):
                bench.receive(best_block(1) * 5)
                bench.end_turn()
            (fault,) = source.faults.report()
            assert fault["reason"] == "timestamp more than a day from the server's clock"
            assert (fault["kind"], fault["count"]) == ("violation", 1), minute
            bench.clock.advance(60)
        assert bench.collector.slots == [1] * 31

    def test_a_slot_is_compared_with_the_clock_of_the_turn(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        source = bench.admit()
        bench.receive(best_block(10), best_block(11), best_block(12))
        bench.end_turn()
        (fault,) = source.faults.report()
        assert (fault["kind"], fault["discriminator"], fault["offset"]) == ("violation", 11, 9)
        assert fault["reason"] == "slot more than 10 beyond that of the server's clock"
        assert fault["count"] == 1
        bench.clock.advance(12)
        bench.receive(best_block(12))
        bench.clock.advance(60)
        assert source.faults.report() == []
        assert bench.collector.slots == [10, 11, 12, 12]

    def test_a_flood_of_bad_frames_is_counted_exactly(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        source = bench.admit()
        for _ in range(3):
            bench.receive(frame(b"") * 8_192)
        (fault,) = source.faults.report()
        assert fault["count"] == 3 * 8_192
        assert source.stream.next_event_id == 3 * 8_192

    def test_a_frame_longer_than_the_limit(self) -> None:
        for introduced, together in product((False, True), repeat=2):
            self.check_a_frame_longer_than_the_limit(introduced, together)

    def check_a_frame_longer_than_the_limit(self, introduced: bool, together: bool) -> None:
        bench = self.bench(max_message_size=2000)
        if introduced:
            bench.receive(hello())
            bench.admit()
            bench.receive(best_block(1))
        before = best_block(2) if together and introduced else b""
        bench.receive(before + (2001).to_bytes(4, "little"))
        assert bench.transport.aborted
        bench.receive(best_block(3))
        bench.end_turn()
        bench.hang_up()
        assert [ending.kind for ending in bench.endings] == ["too_long"]
        assert "2001" in bench.endings[0].reason
        assert "2000" in bench.endings[0].reason
        assert bench.collector.slots == ([1, 2] if before else [1] if introduced else [])

    def test_an_undecodable_event_is_counted_and_uses_up_its_id(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        source = bench.admit()
        bench.receive(best_block(1) + frame(b"\xff" * 12) + best_block(2))
        bench.end_turn()
        assert [event["data"]["event_id"] for event in bench.collector.events] == [0, 2]
        (fault,) = source.faults.report()
        assert fault["node_id"] == NODE_ID
        assert fault["kind"] == "decode_error"
        assert fault["discriminator"] == 255
        assert fault["count"] == 1
        assert fault["excerpt"] == "ff" * 12
        assert source.faults.report() == []
        assert not bench.transport.aborted

    def test_a_violation_is_delivered_and_counted(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        source = bench.admit()
        for _ in range(3):
            bench.receive(frame(failed("no")[4:] + b"!"))
        bench.end_turn()
        assert len(bench.collector.events) == 3
        (fault,) = source.faults.report()
        assert (fault["kind"], fault["count"]) == ("violation", 3)

    def test_above_the_rate_events_are_dropped_and_counted(self) -> None:
        bench = self.bench(rate_limit=10)
        bench.receive(hello())
        source = bench.admit()
        bench.receive(b"".join(map(best_block, range(20))))
        bench.end_turn()
        assert bench.collector.slots == list(range(12))
        assert list(bench.assembler.take_changed()) == [source]
        assert (bench.assembler.rate_limited, source.rate_limited) == (8, 8)
        bench.clock.advance(0.5)
        bench.receive(b"".join(map(best_block, range(20, 40))))
        bench.end_turn()
        assert bench.collector.slots == [*range(12), *range(20, 25)]
        assert list(bench.assembler.take_changed()) == [source]
        assert (bench.assembler.rate_limited, source.rate_limited) == (8 + 15, 8 + 15)
        assert bench.collector.events[-1]["data"]["event_id"] == 24

    def test_a_node_that_introduced_itself_behind_a_closed_gate_waits_for_the_hub_too(self) -> None:
        """If it read on, the end of the connection would come before its events were consumed."""
        bench = self.bench()
        bench.gate.pauseProducing()
        bench.receive(hello() + best_block(1))
        bench.open_gate()
        assert len(bench.introduced) == 1
        assert not bench.reading
        bench.admit()
        assert bench.reading
        bench.end_turn()
        assert bench.collector.slots == [1]


class TransportTests(NodeCases, SynchronousTestCase):
    """A node that its transport reads."""

    def test_a_turn_of_many_nodes_shares_chunks_of_at_most_a_hundred(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.receive(b"".join(map(best_block, range(60))))
        bench.receive(b"".join(map(best_block, range(60, 250))))
        bench.end_turn()
        assert [chunk.count for chunk in bench.collector.chunks] == [100, 100, 50]
        assert bench.collector.slots == list(range(250))

    def test_a_closed_gate_holds_a_node_after_one_read(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.gate.pauseProducing()
        assert bench.reading
        bench.receive(best_block(1) + best_block(2)[:10])
        assert not bench.reading
        bench.end_turn()
        assert bench.collector.chunks == []
        bench.open_gate()
        assert bench.reading
        bench.receive(best_block(2)[10:])
        bench.end_turn()
        assert bench.collector.slots == [1, 2]

    def test_what_still_comes_while_a_node_is_held_waits_in_order(self) -> None:
        """Over TLS one read comes in many pieces, and nothing stops those that are left."""
        bench = self.bench()
        bench.receive(hello(), best_block(0), best_block(1))
        bench.admit()
        bench.gate.pauseProducing()
        bench.receive(*map(best_block, range(2, 400)))
        assert len(bench.gate._held) == 1
        bench.end_turn()
        assert bench.collector.slots == [0, 1]
        bench.open_gate()
        bench.end_turn()
        assert bench.collector.slots == list(range(400))

    def test_what_was_held_of_a_node_that_is_gone_is_not_lost(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.gate.pauseProducing()
        bench.receive(best_block(1), best_block(2) + best_block(3)[:10])
        bench.hang_up()
        bench.end_turn()
        assert bench.collector.slots == [1, 2]
        bench.open_gate()
        assert bench.endings == [LEFT]

    def test_a_large_message_in_small_reads_is_joined_once(self) -> None:
        """A trickling node does not make the server copy what it holds with every read."""
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        reads = tickets_in_small_reads()
        bench.receive(*reads[:-1])
        assert len(bench.node._held._pieces) == len(reads) - 1
        bench.receive(reads[-1] + best_block(1))
        bench.end_turn()
        assert len(bench.collector.events) == 2


if COMPILED:

    class CompiledTransportTests(TransportTests):
        """The same with what is compiled."""

        codec = "compiled"


class PooledTests(NodeCases, SynchronousTestCase):
    """A node that the pool reads."""

    pooled = True

    def test_a_closed_gate_holds_all_nodes(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.gate.pauseProducing()
        assert not bench.reading
        bench.receive(best_block(1) + best_block(2)[:10])
        bench.clock.advance(20)
        assert bench.node.silent == 0
        assert bench.collector.chunks == []
        bench.open_gate()
        assert bench.reading
        bench.receive(best_block(2)[10:])
        assert bench.collector.slots == [1, 2]
        bench.clock.advance(2)
        assert bench.node.silent == 2

    def test_what_came_before_the_end_is_not_lost_behind_a_closed_gate(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.gate.pauseProducing()
        bench.receive(best_block(1), best_block(2) + best_block(3)[:10])
        bench.hang_up()
        assert bench.endings == []
        bench.open_gate()
        assert bench.collector.slots == [1, 2]
        assert bench.endings == [LEFT]

    def test_a_large_message_in_small_reads(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.receive(*tickets_in_small_reads(), best_block(1))
        assert len(bench.collector.events) == 2

    def test_what_is_read_before_the_pool_counts_against_the_rate_limit(self) -> None:
        bench = self.bench(rate_limit=10)
        bench.receive(hello() + b"".join(map(best_block, range(7))) + best_block(7)[:9])
        source = bench.admit()
        bench.receive(best_block(7)[9:] + b"".join(map(best_block, range(8, 20))))
        bench.end_turn()
        assert bench.collector.slots == list(range(12))
        list(bench.assembler.take_changed())
        assert source.rate_limited == 8

    def test_a_connection_that_is_ended_by_the_server_is_not_read_from(self) -> None:
        bench = self.bench()
        bench.receive(hello())
        bench.admit()
        bench.receive(best_block(1))
        bench.node.end(Ending("refused", "because"))
        assert bench.transport.aborted
        bench.receive(best_block(2))
        assert bench.collector.slots == [1]
        bench.hang_up()
        assert [ending.kind for ending in bench.endings] == ["refused"]


if COMPILED:

    class CompiledPooledTests(PooledTests):
        """The same with what is compiled."""

        codec = "compiled"


@given(
    st.sampled_from(["python", *COMPILED]),
    st.booleans(),
    st.lists(st.integers(1, 400), max_size=60),
    st.integers(0, 3),
)
def test_frames_may_be_split_over_reads_at_any_byte(
    codec: str, pooled: bool, cuts: list[int], admit_at: int
) -> None:
    bench = Bench(codec=codec, pooled=pooled)
    stream = hello() + b"".join(best_block(slot) + failed("x" * slot) for slot in range(20))
    reads = []
    for cut in cuts:
        reads.append(stream[:cut])
        stream = stream[cut:]
    reads.append(stream)
    admitted = False
    for number, data in enumerate(reads):
        if bench.introduced and not admitted and number >= admit_at:
            bench.admit()
            admitted = True
        if data:
            bench.receive(data)
    if not admitted:
        bench.admit()
    bench.end_turn()
    events = bench.collector.events
    assert len(events) == 40
    assert [event["data"]["event_id"] for event in events] == list(range(40))
    assert [event["data"]["id"] for event in events] == list(range(1, 41))


def test_ids_rise_above_those_that_the_hub_has_seen() -> None:
    collector = Collector()
    clock = Clock()
    writer = PythonChunkWriter(3, 4)
    assembler = Assembler(collector.send, writer, None, clock, clock.seconds)
    stream = load_codec("python").open(Dialect(NODE_ID, 2))
    source = Source(1, 0, stream, ledger(), Intake(writer, stream, 0, 0, 0, 0))
    assembler.feed(source, best_block(1) + best_block(2))
    assembler.begin_after(2)
    assembler.feed(source, best_block(3))
    assembler.begin_after(1000)
    assembler.feed(source, best_block(4) + best_block(5))
    clock.advance(0)
    assert [event["data"]["id"] for event in collector.events] == [3, 7, 11, 1003, 1007]
    assert [chunk.first_id for chunk in collector.chunks] == [3, 1003]
