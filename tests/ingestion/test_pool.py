"""The pool: what is sent whole is in the chunks once and in order, whatever else happens."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from telemetry_twisted.ingestion.backends import build_pool, build_writer
from telemetry_twisted.ingestion.pool import READ_BYTES, Ended, NodePool, Turn
from telemetry_twisted.jip3.codec import FACT_TYPES, Dialect, FrameTooLong, Stream, load_codec
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import Moment
from tests.ingestion.test_node import (
    COMPILED,
    NODE_ID,
    ZERO,
    Collector,
    best_block,
    is_readable,
)

LONGEST = 3 * READ_BYTES
BROKEN = frame(b"\xff" * 12)


BLOCK = best_block(0)


def block(number: int) -> bytes:
    """A message with a number, quickly."""
    return BLOCK[:13] + struct.pack("<I", number) + BLOCK[17:]


def tickets(number: int) -> bytes:
    """A message that takes more than a read."""
    fields = {"generating_id": number, "ids": [ZERO] * 1100}
    return frame(encode_event("TicketsGenerated", 1, fields, cores=2))


@define(eq=False)
class Connection:
    """One in the pool, and what is known of it."""

    number: int
    node_end: socket.socket
    server_end: socket.socket
    stream: Stream
    to_send: bytes = b""
    sent: bytes = b""
    came: list[int] = field(factory=list)
    removed: bool = False
    why: str = ""
    broken: int = 0

    def push(self, most: int) -> None:
        """Send so many bytes of what is to be sent, if there is room."""
        try:
            count = self.node_end.send(self.to_send[:most])
        except (BlockingIOError, BrokenPipeError):
            return
        self.sent += self.to_send[:count]
        self.to_send = self.to_send[count:]

    @property
    def whole(self) -> tuple[list[int], int, bool]:
        """The numbers of the events that were sent whole, how many frames were broken, and whether
        one that is too long ended it all."""
        numbers: list[int] = []
        broken = at = 0
        while at + 4 <= len(self.sent):
            (length,) = struct.unpack_from("<I", self.sent, at)
            if length > LONGEST:
                return numbers, broken, True
            end = at + 4 + length
            if end > len(self.sent):
                break
            if self.sent[at:end] == BROKEN:
                broken += 1
            else:
                numbers.append(struct.unpack_from("<I", self.sent, at + 13)[0])
            at = end
        return numbers, broken, False


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two sockets that are connected by TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        return one, listening.accept()[0]


class PoolScene:
    """A pool with a writer, and what came out of it."""

    def __init__(self, codec: str, turn_bytes: int = 1 << 17) -> None:
        self.codec = load_codec(codec)
        self.writer = build_writer(self.codec, 1, 1)
        built = build_pool(self.writer, LONGEST)
        assert built is not None
        built.close()
        self.pool: NodePool = type(built)(self.writer, LONGEST, turn_bytes)  # type: ignore[call-arg]
        self.collector = Collector()
        self.connections: dict[int, Connection] = {}
        self.now = 0.0
        self.events = 0

    def connect(
        self, rest: bytes = b"", rate: int = 0, spent: int = 0, tcp: bool = False
    ) -> Connection:
        number = len(self.connections)
        node_end, server_end = tcp_pair() if tcp else socket.socketpair()
        node_end.setblocking(False)
        server_end.setblocking(False)
        stream = self.codec.open(
            Dialect(NODE_ID, 2, max_message_size=LONGEST, fact_types=FACT_TYPES)
        )
        connection = Connection(number, node_end, server_end, stream)
        self.connections[number] = connection
        connection.sent = rest
        self.pool.add(number, server_end.fileno(), stream, number, rest, rate, spent, self.now)
        return connection

    @property
    def readable(self) -> bool:
        return is_readable(self.pool.fileno())

    def turn(self) -> Turn:
        self.writer.begin_turn(Moment(b"now"), 1, 2)
        turn = self.pool.turn(self.now)
        for told in turn.told:
            connection = self.connections[told.connection]
            assert told.facts or told.newest or told.faults
            connection.broken += sum(fault.times for fault in told.faults)
        for ended in turn.ended:
            self.note_end(ended)
        self.take()
        return turn

    def note_end(self, ended: Ended) -> None:
        connection = self.connections[ended.connection]
        assert not connection.why
        assert not connection.removed
        connection.why = type(ended.why).__name__
        connection.server_end.close()

    def take(self) -> None:
        before = len(self.collector.chunks)
        self.collector.send(*self.writer.take())
        for chunk in self.collector.chunks[before:]:
            assert chunk.first_id == self.events + 1
            assert (chunk.received, chunk.read) == (1, 2)
            self.events += chunk.count
        del self.collector.chunks[:before]
        events = iter(self.collector.events)
        for chunk in self.collector.chunks:
            for handle, count in chunk.runs:
                for _ in range(count):
                    ((_, fields),) = next(events)["data"]["event"].items()
                    number = fields["slot"] if "slot" in fields else fields["generating_id"]
                    self.connections[handle].came.append(number)
        self.collector.chunks.clear()

    def turns(self) -> None:
        """Take turns until there is nothing to read."""
        while self.readable:
            self.turn()

    def close(self) -> None:
        self.pool.close()
        for connection in self.connections.values():
            connection.node_end.close()
            connection.server_end.close()


class PoolMachine(RuleBasedStateMachine):
    """Several connections do what connections do, and turns are taken now and then."""

    codec = "python"
    open = Bundle("open")

    @initialize(turn_bytes=st.sampled_from([1, 200, 1 << 17]))
    def start(self, turn_bytes: int) -> None:
        self.scene = PoolScene(self.codec, turn_bytes)
        self.numbers = iter(range(1 << 32))

    @rule(target=open, rest=st.integers(0, 56))
    def connect(self, rest: int) -> Connection:
        first = block(next(self.numbers))
        connection = self.scene.connect(first[: min(rest, len(first) - 1)])
        connection.to_send = first[len(connection.sent) :]
        return connection

    @rule(connection=open, blocks=st.integers(1, 150), most=st.integers(1, 9000))
    def say(self, connection: Connection, blocks: int, most: int) -> None:
        connection.to_send += b"".join(block(next(self.numbers)) for _ in range(blocks))
        connection.push(most)

    @rule(connection=open, most=st.sampled_from([5, READ_BYTES - 1, READ_BYTES, 1 << 20]))
    def say_much(self, connection: Connection, most: int) -> None:
        connection.to_send += tickets(next(self.numbers))
        connection.push(most)

    @rule(connection=open, count=st.integers(1, 3))
    def say_nonsense(self, connection: Connection, count: int) -> None:
        connection.to_send += BROKEN * count
        connection.push(1 << 20)

    @rule(connection=open, most=st.integers(1, 100))
    def say_on(self, connection: Connection, most: int) -> None:
        if connection.to_send:
            connection.push(most)

    @rule(connection=open)
    def say_too_much(self, connection: Connection) -> None:
        connection.to_send += struct.pack("<I", LONGEST + 1)
        connection.push(1 << 20)

    @rule(connection=consumes(open))
    def end(self, connection: Connection) -> None:
        connection.node_end.close()

    @rule(connection=consumes(open))
    def reset(self, connection: Connection) -> None:
        if not connection.why:
            connection.server_end.send(b"x")  # which is not read, so what follows is a reset
        connection.node_end.close()

    @rule(connection=consumes(open))
    def remove(self, connection: Connection) -> None:
        if not connection.why:
            connection.removed = True
        self.scene.pool.remove(connection.number)
        self.scene.pool.remove(connection.number)
        connection.server_end.close()

    @rule(times=st.integers(1, 4))
    def turn(self, times: int) -> None:
        for _ in range(times):
            self.scene.turn()

    @rule()
    def tell_what_changed(self) -> None:
        self.check_changed()

    def check_changed(self) -> None:
        changed = self.scene.pool.take_changed()
        numbers = [number for number, _ in changed]
        assert len(numbers) == len(set(numbers))
        for number, connection in self.scene.connections.items():
            assert not connection.stream.take_counts() or number in numbers

    @invariant()
    def what_came_was_sent(self) -> None:
        for connection in self.connections:
            numbers, broken, _ = connection.whole
            assert connection.came == numbers[: len(connection.came)]
            assert connection.broken <= broken

    @property
    def connections(self) -> Iterator[Connection]:
        scene = getattr(self, "scene", None)
        return iter(scene.connections.values() if scene is not None else ())

    def teardown(self) -> None:
        if not hasattr(self, "scene"):
            return
        try:
            self.scene.turns()
            for connection in self.connections:
                self.check_end(connection)
            self.check_changed()
        finally:
            self.scene.close()

    def check_end(self, connection: Connection) -> None:
        if connection.removed:
            assert not connection.why
            return
        numbers, broken, too_long = connection.whole
        assert (connection.came, connection.broken) == (numbers, broken)
        if too_long:
            assert connection.why == "FrameTooLong"
        elif connection.node_end.fileno() == -1:
            assert connection.why in ("NoneType", "ConnectionResetError")
        else:
            assert not connection.why


PythonPoolTests = PoolMachine.TestCase

if COMPILED:

    class CompiledPoolMachine(PoolMachine):
        """The same with what is compiled."""

        codec = "compiled"

    CompiledPoolTests = CompiledPoolMachine.TestCase


@pytest.fixture(params=["python", *COMPILED])
def scene(request: pytest.FixtureRequest) -> Iterator[PoolScene]:
    scene = PoolScene(request.param)
    yield scene
    scene.close()


def test_a_turn_reads_once_from_each_that_is_ready(scene: PoolScene) -> None:
    first, second, third = (scene.connect() for _ in range(3))
    assert not scene.readable
    assert scene.turn() == ([], [], False)
    for connection in (first, third):
        connection.to_send = b"".join(best_block(number) for number in range(5))
        connection.push(1 << 20)
    assert scene.readable
    assert not scene.turn().more
    assert (first.came, second.came, third.came) == ([*range(5)], [], [*range(5)])
    assert not scene.readable


def test_the_end_of_a_stream_and_a_reset_are_told_apart(scene: PoolScene) -> None:
    ended, reset = scene.connect(), scene.connect()
    for connection in (ended, reset):
        connection.to_send = best_block(1)
        connection.push(1 << 20)
    reset.server_end.send(b"x")
    ended.node_end.close()
    reset.node_end.close()
    scene.turns()
    assert (ended.why, reset.why) == ("NoneType", "ConnectionResetError")
    assert (ended.came, reset.came) == ([1], [1])
    assert sorted(scene.pool.take_changed()) == [(0, 0), (1, 0)]
    assert scene.pool.take_changed() == []


def test_what_is_behind_an_urgent_mark_is_read_at_once(scene: PoolScene) -> None:
    """TCP's urgent byte is not one of the stream, but a read ends where it was."""
    connection = scene.connect(tcp=True)
    connection.node_end.send(best_block(1)[:20])
    connection.node_end.send(b"!", socket.MSG_OOB)
    connection.node_end.send(best_block(1)[20:] + best_block(2))
    scene.turns()
    assert connection.came == [1, 2]
    connection.node_end.send(best_block(3) + b"!", socket.MSG_OOB)
    scene.turns()
    assert connection.came == [1, 2, 3]
    assert not scene.readable
    connection.node_end.close()
    scene.turns()
    assert connection.why == "NoneType"


def test_one_that_floods_does_not_keep_others_waiting() -> None:
    for codec in ("python", *COMPILED):
        scene = PoolScene(codec, READ_BYTES)
        flooding, quiet = scene.connect(), scene.connect()
        flooding.to_send = best_block(1) * 4000
        flooding.push(1 << 20)
        quiet.to_send = best_block(2)
        quiet.push(1 << 20)
        scene.turn()
        scene.turn()
        assert quiet.came == [2]
        assert len(flooding.came) < 2 * READ_BYTES / len(best_block(1))
        scene.close()


def test_what_is_ready_and_not_reached_comes_first_the_next_time() -> None:
    for codec in ("python", *COMPILED):
        scene = PoolScene(codec, 1)
        connections = [scene.connect() for _ in range(60)]
        while not all(each.came for each in connections):
            for connection in connections:
                connection.to_send += best_block(1)
                connection.push(1 << 20)
            reads = [bool(each.came) for each in connections]
            turn = scene.turn()
            assert turn.more or all(each.came for each in connections)
            assert sum(reads) < sum(bool(each.came) for each in connections)
        scene.close()


def test_many_connections_at_once(scene: PoolScene) -> None:
    connections = [scene.connect() for _ in range(300)]
    for connection in connections:
        connection.to_send = best_block(connection.number)
        connection.push(1 << 20)
    scene.turns()
    assert all(each.came == [each.number] for each in connections)


def test_heard_is_when_bytes_came(scene: PoolScene) -> None:
    scene.now = 5.0
    connection = scene.connect()
    assert scene.pool.heard(0) == 5.0
    scene.now = 7.0
    connection.to_send = best_block(1)
    connection.push(3)
    scene.turn()
    scene.now = 8.0
    scene.turn()
    assert scene.pool.heard(0) == 7.0


def test_the_rate_limit(scene: PoolScene) -> None:
    connection = scene.connect(rate=10, spent=5)
    connection.to_send = b"".join(map(best_block, range(20)))
    connection.push(1 << 20)
    scene.turn()
    assert connection.came == [*range(7)]
    assert scene.pool.take_changed() == [(0, 13)]
    scene.now = 0.5
    connection.to_send = b"".join(map(best_block, range(20, 40)))
    connection.push(1 << 20)
    scene.turn()
    assert connection.came == [*range(7), *range(20, 25)]
    assert connection.stream.next_event_id == 40
    assert scene.pool.take_changed() == [(0, 15)]


def test_too_long_a_frame_is_seen_beyond_the_rate_limit_too(scene: PoolScene) -> None:
    connection = scene.connect(rate=1)
    connection.to_send = best_block(1) * 3 + struct.pack("<I", LONGEST + 1)
    connection.push(1 << 20)
    scene.turn()
    assert (connection.came, connection.why) == ([1], FrameTooLong.__name__)


def test_what_cannot_be_read_from_is_not_added(scene: PoolScene) -> None:
    connection = scene.connect()
    scene.pool.remove(connection.number)
    connection.server_end.close()
    with pytest.raises(OSError, match="descriptor"):
        scene.pool.add(7, 1 << 15, connection.stream, 7, b"", 0, 0, 0.0)
    assert scene.turn() == ([], [], False)
