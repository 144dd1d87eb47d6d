"""What history counts is what the hub received, whenever an ingestion process dies."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.admission import AdmissionRules
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.permits import Permits
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.hub.uncounted import MOST_CHUNKS, Uncounted
from telemetry_twisted.ingestion.process import REPORT_SECONDS, IngestionProcess
from telemetry_twisted.ingestion.settings import Settings
from telemetry_twisted.jip3.codec import FAILURE_TYPES
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.testing import MemoryLink
from telemetry_twisted.transport import records
from telemetry_twisted.transport.records import Chunk, Facts, decode_json, encode_runs
from tests.examples import examples
from tests.ingestion.test_node import (
    NodeTransport,
    best_block,
    connect,
    failed,
    hang_up,
    hello,
    send,
)

CODEC = "python"
NODES = [f"{number:02x}" * 32 for number in range(1, 4)]
EVENTS = {
    "blocks": b"".join(map(best_block, range(1, 4))),
    "many": best_block(1) * 120,
    "failure": failed("no"),
    "failures": failed("no") * 80,
    "dropped": frame(encode_event("Dropped", 1, {"last_timestamp": 5, "num": 9}, cores=2)),
    "nonsense": frame(b"\xff" * 12),
    "half": best_block(9)[:20],
}


class Reactor(MemoryReactorClock):
    """Adopts connections."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[Any] = []

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        node = factory.buildProtocol(None)
        connect(node)
        self.adopted.append(node)


class Account:
    """A history that adds up, by node ID, what came and what was counted.

    It sees to it that nothing is uncounted of a node when it goes.
    """

    def __init__(self) -> None:
        self.nodes: dict[int, str] = {}
        self.came: Counter[tuple[str, int]] = Counter()
        self.counted: Counter[tuple[str, int]] = Counter()
        self.dropped: Counter[str] = Counter()
        self.rate_limited: Counter[str] = Counter()
        self.failures: Counter[int] = Counter()

    def node_connected(self, node: Node) -> None:
        self.nodes[node.handle] = node.node_id

    def node_gone(self, node: Node, kind: str, reason: str) -> None:
        assert self.nodes.pop(node.handle) == node.node_id
        for each in (self.came, self.counted):
            each[node.node_id, -1] = 0
        assert self.of(self.came, node.node_id) == self.of(self.counted, node.node_id)

    def of(self, counter: Counter[tuple[str, int]], node_id: str) -> Counter[int]:
        return +Counter({kind: n for (of, kind), n in counter.items() if of == node_id})

    def chunk(self, chunk: Chunk) -> None:
        types = iter(chunk.types)
        for handle, count in chunk.runs:
            for _ in range(count):
                self.came[self.nodes[handle], next(types)] += 1

    def chains_lost(self, number: int) -> None:
        raise AssertionError("there are none")

    def record(self, kind: int, body: bytes) -> None:
        if kind == records.FACTS:
            for _, content in Facts.decode(body).messages:
                self.failures[content[8]] += content[8] in FAILURE_TYPES
        elif kind == records.COUNTS:
            told = decode_json(body)
            for handle, by_type in told["counts"].items():
                for kind, count in by_type.items():
                    self.counted[self.nodes[int(handle)], int(kind)] += count
            for handle, spans in told.get("dropped", {}).items():
                self.dropped[self.nodes[int(handle)]] += spans["events"]
            for handle, count in told.get("rate_limited", {}).items():
                self.rate_limited[self.nodes[int(handle)]] += count
            self.failures.update({int(kind): n for kind, n in told.get("unread", {}).items()})


class Scene:
    """A hub and an ingestion process, with a link in memory whose bytes come when it is said."""

    def __init__(self, rate_limit: int = 0) -> None:
        self.reactor = Reactor()
        self.errors = InternalErrors(self.reactor)
        self.account = Account()
        self.hub = Hub(
            Ring(1000, 1 << 20, lambda parts, _count: parts, 100),
            AdmissionRules(len(NODES)),
            self.reactor,
            self.now,
            self.errors,
            cast(Any, self.account),
        )
        self.settings = Settings(1, 1, CODEC, False, 1 << 20, rate_limit, 9, history=True)
        self.server = IngestionServer(0, self.settings, self.hub, Permits(1000), self.errors)
        self.start()

    def now(self) -> float:
        return COMMON_ERA / 1_000_000 + 80_000 + self.reactor.seconds()

    def close(self) -> None:
        """Let go of what the process held, of which there may be much in many examples."""
        for node in self.reactor.adopted:
            cast(NodeTransport, node.transport).close()
        if self.process._pool is not None:
            self.process._pool.stop()
            self.process._pool._pool.close()

    def start(self) -> None:
        self.here, self.there = MemoryLink(), MemoryLink()
        self.server.link_made(self.here)
        listening = socket.socket()
        listening.close()
        self.process = IngestionProcess(
            cast(Any, self.reactor), self.settings, listening, self.errors, self.now
        )
        self.process.link_made(self.there)
        self.reactor.adopted.clear()

    def connect(self, node_id: str) -> None:
        with socket.socket() as accepted:
            self.process._connections.connection_accepted(accepted, "127.0.0.1")
        send(self.reactor, self.reactor.adopted[-1], hello(node_id))

    def hub_reads(self, most: int = 1_000_000) -> None:
        read, self.there.sent = self.there.sent[:most], self.there.sent[most:]
        for kind, body in read:
            if kind == records.CHUNK:
                self.server.chunk_received(Chunk.decode(body))
            else:
                self.server.record_received(kind, body)
        told, self.here.sent = self.here.sent, []
        for kind, body in told:
            self.process.record_received(kind, body)

    def die(self, read: int) -> None:
        """The process is killed when the hub has read or will read ``read`` records more."""
        self.hub_reads(read)
        for call in list(self.reactor.getDelayedCalls()):
            call.cancel()
        self.server.link_lost(Failure(RuntimeError()))
        self.server.process_ended("killed by SIGKILL")
        assert self.account.came == self.account.counted
        assert not self.account.nodes
        assert self.totals_agree()
        assert not self.errors.counts
        self.close()
        self.start()

    def totals_agree(self) -> bool:
        """Whether the hub's totals of each node are what history was told, whoever is there."""
        account = self.account
        told = {
            each.node_id: (each.events, each.failures, each.dropped, each.rate_limited)
            for each in self.hub.totals
        }
        for node_id in told:
            counted = account.of(account.counted, node_id)
            failures = sum(counted[kind] for kind in FAILURE_TYPES & counted.keys())
            others = account.dropped[node_id], account.rate_limited[node_id]
            if told[node_id] != (sum(counted.values()), failures, *others):
                return False
        return told.keys() >= {node_id for node_id, _ in account.counted}

    def failures_that_came(self) -> Counter[int]:
        came: Counter[int] = Counter()
        for (_, kind), count in self.account.came.items():
            came[kind] += count * (kind in FAILURE_TYPES)
        return +came


STEPS = st.one_of(
    st.tuples(st.just("connect"), st.sampled_from(NODES)),
    st.tuples(st.just("send"), st.integers(0, 3), st.sampled_from(sorted(EVENTS))),
    st.tuples(st.just("send"), st.integers(0, 3), st.sampled_from(sorted(EVENTS))),
    st.tuples(st.just("leave"), st.integers(0, 3)),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.0, 0.1, REPORT_SECONDS])),
    st.tuples(st.just("gate"), st.booleans()),
    st.tuples(st.just("read"), st.integers(0, 20)),
    st.tuples(st.just("read"), st.just(1_000)),
    st.tuples(st.just("die"), st.integers(0, 20)),
)


def carry_out(scene: Scene, steps: list[tuple[Any, ...]]) -> None:
    for node_id in NODES[1:]:
        scene.connect(node_id)
    scene.hub_reads()
    nodes = scene.reactor.adopted
    for step, *arguments in steps:
        if step == "connect":
            scene.connect(*arguments)
        elif step == "send" and nodes:
            send(scene.reactor, nodes[arguments[0] % len(nodes)], EVENTS[arguments[1]])
        elif step == "leave" and nodes:
            hang_up(scene.reactor, nodes.pop(arguments[0] % len(nodes)))
        elif step == "pass":
            scene.reactor.advance(*arguments)
        elif step == "gate":
            gate = scene.process._gate
            gate.pauseProducing() if arguments[0] else gate.resumeProducing()
        elif step == "read":
            scene.hub_reads(*arguments)
        elif step == "die":
            scene.die(*arguments)


@examples(150)
@given(st.lists(STEPS, max_size=40), st.sampled_from([0, 50]))
def test_what_came_is_counted_whenever_a_process_dies(
    steps: list[tuple[Any, ...]], rate_limit: int
) -> None:
    scene = Scene(rate_limit)
    carry_out(scene, steps)
    scene.reactor.advance(0)
    scene.die(1_000_000)
    assert scene.account.failures == scene.failures_that_came()
    scene.close()


@examples(150)
@given(st.lists(STEPS, max_size=40), st.sampled_from([0, 50]))
def test_a_process_that_drains_has_counted_all(
    steps: list[tuple[Any, ...]], rate_limit: int
) -> None:
    scene = Scene(rate_limit)
    carry_out(scene, steps)
    scene.process.drain()
    scene.hub_reads()
    assert scene.account.came == scene.account.counted
    assert scene.account.failures == scene.failures_that_came()
    assert scene.server._uncounted.take() is None
    assert scene.totals_agree()
    scene.close()


def test_what_nodes_dropped_and_what_was_rate_limited_is_told_by_node() -> None:
    scene = Scene(rate_limit=10)
    for node_id in NODES:
        scene.connect(node_id)
    scene.hub_reads()
    first, second, _ = scene.reactor.adopted
    send(scene.reactor, first, EVENTS["dropped"] * 2)
    send(scene.reactor, second, best_block(1) * 20)
    scene.hub_reads()
    hang_up(scene.reactor, second)
    told = [decode_json(body) for kind, body in scene.there.sent if kind == records.COUNTS]
    assert told == [
        {
            "received": scene.now(),
            "counts": {"0": {"0": 2}, "1": {"11": 12}},
            "dropped": {
                "0": {"events": 18, "spans": 2, "first": COMMON_ERA + 1, "last": COMMON_ERA + 5}
            },
            "rate_limited": {"1": 8},
        }
    ]
    scene.hub_reads()
    assert scene.account.dropped == {NODES[0]: 18}
    assert scene.account.rate_limited == {NODES[1]: 8}
    totals = {each.node_id: each for each in scene.hub.totals}
    assert (totals[NODES[0]].events, totals[NODES[0]].dropped) == (2, 18)
    assert (totals[NODES[1]].events, totals[NODES[1]].rate_limited) == (12, 8)


def chunks(number: int) -> Iterator[Chunk]:
    for at in range(number):
        runs = encode_runs([(at % 7, 2), (7, 1)])
        yield Chunk(3 * at, 3, runs, bytes([11, at % 5, 12]), b"", b"", 1_000_000 + at)


def test_of_very_many_chunks_the_oldest_are_counted_as_they_come() -> None:
    uncounted = Uncounted()
    right: dict[int, Counter[int]] = {handle: Counter() for handle in range(8)}
    number = 2 * MOST_CHUNKS + 77
    for at, chunk in enumerate(chunks(number)):
        uncounted.chunk(chunk)
        right[at % 7].update(chunk.types[:2])
        right[7].update(chunk.types[2:])
        assert len(uncounted._chunks) < MOST_CHUNKS
    told = uncounted.take()
    assert told == {"received": 1 + (number - 1) / 1_000_000, "counts": right, "unread": {}}
    assert uncounted.take() is None


def test_nothing_is_left_of_what_was_counted() -> None:
    uncounted = Uncounted()
    for chunk in chunks(MOST_CHUNKS + 1):
        uncounted.chunk(chunk)
    uncounted.facts(Facts(1, ((1, failed("no")),)).encode()[records.PREFIX.size :])
    uncounted.counted()
    assert uncounted.take() is None
    uncounted.chunk(Chunk(1, 1, encode_runs([(5, 1)]), bytes([failed("no")[4 + 8]]), b"", b""))
    told = uncounted.take()
    assert told is not None
    assert told["counts"] == {5: {failed("no")[12]: 1}}
    assert told["unread"] == {failed("no")[12]: 1}


def test_chains_that_have_begun_are_counted_once() -> None:
    uncounted = Uncounted()
    begun = 0
    for number in (1, MOST_CHUNKS + 3):
        for at in range(number):
            # An import, an execution, an import, a best block: chains begin with two of them.
            uncounted.chunk(
                Chunk(4 * at, 4, encode_runs([(5, 4)]), bytes([43, 47, 43, 11]), b"", b"")
            )
        begun += 2 * number
        uncounted.counted()
        assert uncounted.begun == begun
        uncounted.chunk(Chunk(1, 1, encode_runs([(5, 1)]), bytes([126]), b"", b""))
        begun += 1
        assert uncounted.take() is not None
        assert uncounted.begun == begun
