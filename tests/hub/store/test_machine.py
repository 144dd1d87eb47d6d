"""Whatever happens to store processes: written + pending + at risk + told as lost = arrived."""

from __future__ import annotations

from typing import Any, cast
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.task import Clock

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.store import pending as pending_module
from telemetry_twisted.hub.store import raw as raw_module
from telemetry_twisted.hub.store.client import StoreClient
from telemetry_twisted.hub.store.pending import Pending
from telemetry_twisted.hub.store.tally import Tally
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import NO_CORE, Outcome, OutcomeCount
from telemetry_twisted.transport import records
from tests.examples import examples

from .model import ModelDatabase, ModelProcess

MOST_BYTES = 6000
HANDLES = st.integers(0, 3)


class StoreMachine(RuleBasedStateMachine):
    """Nodes come and go and report; store processes take, commit, fail, stop reading and die."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            mock.patch.object(pending_module, "AT_ONCE_BYTES", 700),
            mock.patch.object(raw_module, "WAITING_BYTES", 6000),
        ]
        for patch in self.patches:
            patch.start()
        self.clock = Clock()
        self.clock.advance(1_000_000)
        errors = InternalErrors(self.clock)
        self.client = StoreClient(b"{}", True, self.clock, self.clock.seconds, errors)
        self.client.pending = self.pending = Pending(
            self.clock.seconds, self.client.losses.add, self.client.raw.put_back, MOST_BYTES
        )
        self.errors = errors
        self.database = ModelDatabase()
        self.process: ModelProcess | None = None
        self.arrived = Tally()
        self.seen = 0
        self.nodes: dict[int, Node] = {}
        self.states: dict[int, dict[int, str]] = {0: {}}
        self.known = 0

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            for patch in self.patches:
                patch.stop()

    def came(self, before: dict[int, str]) -> None:
        """Note which numbers were given out while the state went from ``before`` to the present."""
        self.clock.advance(0.001)
        present = self.present()
        while self.known < self.pending.last:
            self.known += 1
            self.states[self.known] = present if self.known == self.pending.last else before

    def present(self) -> dict[int, str]:
        return {handle: node.node_id for handle, node in self.nodes.items()}

    # Nodes

    @rule(handle=HANDLES, name=st.integers(0, 5))
    def node_comes_or_goes(self, handle: int, name: int) -> None:
        before = self.present()
        if handle in self.nodes:
            self.client.node_gone(self.nodes.pop(handle), "left", "it left")
        else:
            self.arrived.connections += 1
            info: dict[str, Any] = {"params": {"core_count": 2}, "version": 0}
            node = Node(
                f"node {name}", handle, cast(Any, None), self.arrived.connections, "x", 1.5, info
            )
            self.nodes[handle] = node
            self.client.node_connected(node)
        self.arrived.records += 1
        self.came(before)

    def report(self, kind: int, body: bytes, tally: Tally) -> None:
        self.arrived.add(tally)
        self.client.record(kind, body)
        self.came(self.present())

    @rule(count=st.integers(1, 1000), size=st.integers(0, 1500))
    def counts(self, count: int, size: int) -> None:
        body = {"received": 1.0, "counts": {"0": {"11": count}, "1": {"12": 1}}, "more": "x" * size}
        tally = Tally(records=1, events=count + 1)
        self.report(records.COUNTS, records.json_body(body), tally)

    @rule(count=st.integers(1, 20))
    def facts(self, count: int) -> None:
        frames = (b"\x0a\0\0\0" + b"x" * 10) * count
        body = records.Facts(1, ((0, frames),)).encode()[records.PREFIX.size :]
        self.report(records.FACTS, body, Tally(records=1, facts=count))

    @rule(count=st.integers(1, 20))
    def observations(self, count: int) -> None:
        outcomes = (OutcomeCount(0, 43, Outcome.SUCCESS, NO_CORE, count),) * 3
        body = Observations(1, 2, outcomes=outcomes).encode()
        self.report(records.OBSERVATIONS, body, Tally(records=1, chains=3 * count))

    @rule(count=st.integers(1, 20))
    def faults(self, count: int) -> None:
        body = records.json_body([{"count": count}, {"count": 2}])
        self.report(records.FAULTS, body, Tally(records=1, faults=count + 2))

    @precondition(lambda self: self.nodes)
    @rule(data=st.data(), counts=st.lists(st.integers(1, 9), min_size=1, max_size=3))
    def events(self, data: st.DataObject, counts: list[int]) -> None:
        runs = [(data.draw(st.sampled_from(sorted(self.nodes))), count) for count in counts]
        messages = [
            self.nodes[handle].node_id.encode() for handle, count in runs for _ in range(count)
        ]
        lengths = b"".join(len(message).to_bytes(4, "little") for message in messages)
        types = b"\x0b" * len(messages)
        chunk = records.Chunk(
            1, len(messages), records.encode_runs(runs), types, lengths, b",".join(messages)
        )
        self.seen += chunk.count
        self.client.chunk(chunk)

    @rule()
    def sampled(self) -> None:
        self.tell_sampled()

    def tell_sampled(self) -> None:
        before = self.pending.last, self.client.losses.total["records"]
        self.client._send_sampled()
        after = self.pending.last, self.client.losses.total["records"]
        if before != after:
            self.arrived.records += 1
        self.came(self.present())

    @rule(seconds=st.sampled_from([0.2, 0.6]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # The store process

    @precondition(lambda self: self.process is None)
    @rule(room=st.integers(0, 60), window=st.integers(2, 30))
    def start(self, room: int, window: int) -> None:
        self.process = ModelProcess(self.client, self.database, room, window)

    def running(self) -> ModelProcess:
        assert self.process is not None
        return self.process

    @precondition(lambda self: self.process is not None)
    @rule(number=st.integers(1, 20))
    def read(self, number: int) -> None:
        self.running().read(number)
        self.came(self.present())

    @precondition(lambda self: self.process is not None)
    @rule(number=st.integers(3, 9))
    def much_comes_and_is_taken(self, number: int) -> None:
        for _ in range(number):
            self.counts(1, 1400)
            self.read(20)
            self.say()

    @precondition(lambda self: self.process is not None)
    @rule()
    def say(self) -> None:
        self.running().say()
        self.came(self.present())

    @precondition(lambda self: self.process is not None and not self.process.opened)
    @rule()
    def open(self) -> None:
        self.running().open()
        self.came(self.present())

    @precondition(
        lambda self: (
            self.process is not None
            and self.process.opened
            and self.process.resumes
            and not self.process.attempts
        )
    )
    @rule()
    def begin(self) -> None:
        self.running().begin()
        self.came(self.present())

    @precondition(lambda self: self.process is not None and self.process.attempts)
    @rule(committed=st.booleans())
    def end(self, committed: bool) -> None:
        self.running().end(committed)
        self.came(self.present())

    @precondition(lambda self: self.process is not None and self.process.attempts)
    @rule(committed=st.booleans())
    def die_in_doubt(self, committed: bool) -> None:
        self.running().end(committed, known=False)
        self.die()

    @precondition(lambda self: self.process is not None and self.process.opened)
    @rule()
    def write_raw(self) -> None:
        self.running().write_raw()

    @precondition(lambda self: self.process is not None)
    @rule()
    def die(self) -> None:
        process = self.running()
        process.die()
        self.check_resumes(process)
        self.process = None

    def check_resumes(self, process: ModelProcess) -> None:
        for number, nodes in process.resumes:
            assert nodes == self.states[number]

    # What always holds

    @invariant()
    def nothing_is_lost_untold(self) -> None:
        assert not self.errors.counts
        known = Tally(**self.client.losses.total)
        known.add(self.pending.remains())
        known.add(self.database.tallies[self.pending.position])
        for what in ("records", "events", "facts", "faults", "chains"):
            assert getattr(known, what) == getattr(self.arrived, what), what
        raw = self.client.raw
        assert raw.given + raw.withheld + raw.waiting == self.seen
        assert self.pending.bytes <= MOST_BYTES + 2000

    def finish(self) -> None:
        """With a process that works, all is either written or told as lost."""
        if self.process is not None:
            self.die()
        process = self.process = ModelProcess(self.client, self.database, 1000, 10)
        process.open()
        for _ in range(2):
            self.clock.advance(1)
            self.tell_sampled()
            while process.unread:
                process.read(100)
                process.say()
                self.came(self.present())
            process.write_raw()
            process.begin()
            process.end(committed=True)
            self.came(self.present())
        self.check_resumes(process)
        self.nothing_is_lost_untold()
        assert not self.pending.remains()
        written = self.database.written
        lost = self.client.losses.total
        assert len(written.connections) + lost["connections"] == self.arrived.connections
        # What a gap told of in the end is all that was lost, and none of it twice.
        assert written.gaps.as_json() == lost
        raw, sampled = self.client.raw, written.sampled
        assert sampled.seen == self.seen
        assert (sampled.kept, sampled.lost) == (raw.given, raw.lost)
        browsable = self.database.raw.total() - self.database.raw["dropped"]
        assert browsable == sampled.kept - sampled.lost - self.database.raw["dropped"]


StoreMachine.TestCase.settings = examples(100, stateful_step_count=50)
TestStoreMachine = StoreMachine.TestCase
