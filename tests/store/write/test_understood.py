"""What is understood of networks survives whoever dies, and is written once.

Nodes say things; at any moment what is pending is written, is not written, or nobody knows, and the
store process may die. Whatever the database then holds is what was said in the records up to its
position, each event once.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import ujson
from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.task import Clock as Time

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import Assurance, Clock, Fetch
from telemetry_twisted.network.journey import EVENT
from telemetry_twisted.network.slot import STAGES
from telemetry_twisted.store.database.interface import DatabaseUnavailable, OutcomeUnknown
from telemetry_twisted.store.database.sqlite import SqliteTransaction
from telemetry_twisted.store.detail import unpack_detail
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.write import transactions
from telemetry_twisted.store.write.lines import Lines
from telemetry_twisted.store.write.pending import Pending
from telemetry_twisted.store.write.rows import Keys
from telemetry_twisted.transport import records
from tests.examples import examples
from tests.network.scene import BEGIN, HASH, SECOND, SLOT_NOW, Node, Scene, outline, package
from tests.store.conftest import Feed

from .answers import empty_database

HANDLES = st.integers(1, 3)
PACKAGES = st.integers(0, 2)
ANCHOR = bytes([9]) * 32


def hash_of(kind: int, number: int, epoch: int) -> bytes:
    return bytes([kind, number, epoch % 256, epoch // 256]) * 8


@define
class Seen:
    """All that was seen: what came how often."""

    events: Counter[tuple[bytes, str, int, int]] = field(factory=Counter)
    stages: set[tuple[int, int, str]] = field(factory=set)
    receptions: Counter[bytes] = field(factory=Counter)
    receivers: dict[bytes, set[str]] = field(factory=lambda: defaultdict(set))
    assured: Counter[bytes] = field(factory=Counter)
    fetched: Counter[bytes] = field(factory=Counter)


@define
class Said:
    """What a record says, and what is to be understood of it."""

    body: bytes
    seen: Seen


class Understood(RuleBasedStateMachine):
    """A store process that dies, and a database that may not say what it has done."""

    @initialize()
    def begin(self) -> None:
        self.database = empty_database()
        self.log: list[tuple[int, Any, Seen | None]] = []
        self.connected: dict[int, bytes] = {}
        self.scene = Scene()
        self.open: dict[int, list[tuple[int, int, bool]]] = defaultdict(list)
        self.imports: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.unnamed: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.seen = Seen()
        self.epoch = 0
        self.now = BEGIN
        self.resolved = True
        self.position = 0
        for handle in range(1, 4):
            self._connect(handle)
        self._start()

    # The store process

    def _transact(self, work: Callable[[Any], Any], then: Exception | None = None) -> Any:
        self.database.execute("BEGIN")
        try:
            result = work(SqliteTransaction(self.database))
            if then is not None:
                raise then
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")
        return result

    def _start(self, late: bool = False) -> None:
        """A store process begins; the database may be there only ``late``."""
        clock = Time()
        clock.advance(self.now / SECOND)
        self.errors = InternalErrors(clock)
        self.pending = Pending(Policy(), self.errors, Lines(clock))
        nodes = self._nodes_at(self.position)
        resume = {"first": self.position + 1, "nodes": nodes, "gap": None}
        self.pending.resume(resume, self.now / SECOND)
        rest = self.log[self.position :]
        if not late:
            self._begin()
        for kind, body, _ in rest:
            self.pending.take(kind, body, self.now / SECOND)
        if late:
            self._begin()

    def _begin(self) -> None:
        begin = partial(transactions.begin_run, server="server", now=self.now)
        begun = self._transact(begin)
        self.keys = Keys("server", (begun.run,))
        assert begun.position == self.position
        self.pending.begin(begun)

    def _nodes_at(self, position: int) -> list[Any]:
        nodes: dict[int, Any] = {}
        for kind, body, _ in self.log[:position]:
            if kind in (records.NODE_CONNECTED, records.NODE_GONE):
                value = ujson.loads(body)
                nodes.pop(value["handle"], None)
                if kind == records.NODE_CONNECTED:
                    nodes[value["handle"]] = value
        return [*nodes.values()]

    def _give(self, kind: int, body: bytes, seen: Seen | None = None) -> None:
        self.log.append((kind, body, seen))
        if hasattr(self, "pending"):
            self.pending.take(kind, body, self.now / SECOND)

    @rule(how=st.sampled_from(["written", "refused", "unheard", "unknown"]))
    def it_is_written(self, how: str) -> None:
        try:
            with self.pending.commit(self.keys) as commit:
                write = partial(
                    transactions.write_commit,
                    keys=self.keys,
                    now=self.now,
                    commit=commit,
                    careful=False,
                )
                if how == "refused":
                    self._transact(write, DatabaseUnavailable("it went away"))
                if how != "unknown":
                    self._transact(write)
                    self.position = commit.position
                if how in ("unheard", "unknown"):
                    raise OutcomeUnknown("the answer is lost")
        except DatabaseUnavailable:
            pass
        self.pending.settle(self.now / SECOND)
        if self.pending.in_doubt:
            read = partial(transactions.read_commits, run=self.keys.run)
            self.pending.resolve(self._transact(read))
        self.pending.settle(self.now / SECOND)

    @rule(late=st.booleans())
    def it_dies(self, late: bool) -> None:
        self._start(late)

    # The nodes

    def _connect(self, handle: int) -> None:
        self.now += SECOND
        node = self.scene.node(handle)
        self.open[handle].clear()
        self.imports[handle].clear()
        assert isinstance(node, Node)
        feed = Feed(lambda kind, body: self._give(kind, bytes(body)))
        feed.connect(handle, self.now / SECOND, cores=16)

    @rule(handle=HANDLES)
    def a_node_comes_again(self, handle: int) -> None:
        self.unnamed = {key: told for key, told in self.unnamed.items() if key[0] != handle}
        feed = Feed(lambda kind, body: self._give(kind, bytes(body)))
        feed.gone(handle, self.now / SECOND)
        self._connect(handle)

    def _tell(self, **more: Any) -> None:
        self.now += SECOND
        handles = {sighting.handle for sighting in self.scene.sightings} | {1, 2, 3}
        body = Observations(
            self.now - SECOND,
            self.now,
            networks=(bytes(32),),
            clocks=tuple(Clock(handle, 0, 5) for handle in sorted(handles)),
            sightings=tuple(self.scene.sightings),
            **more,
        ).encode()
        self.scene.sightings.clear()
        self._give(records.OBSERVATIONS, body, self.seen)
        self.seen = Seen()

    def _at(self) -> int:
        return self.now - BEGIN

    @rule(handle=HANDLES)
    def a_package_is_submitted(self, handle: int) -> None:
        node = self.scene.nodes[handle]
        top = node.say(90, self._at(), -1, builder=HASH, bundle=False)
        self.unnamed[handle, top] = [(90, top)]
        self.open[handle].append((top, -1, False))
        self._tell()

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data(), number=PACKAGES, kind=st.sampled_from([95, 97, 98, 109]))
    def a_package_goes_on(self, data: Any, number: int, kind: int) -> None:
        handle = data.draw(st.sampled_from([h for h, tops in self.open.items() if tops]))
        index = data.draw(st.integers(0, len(self.open[handle]) - 1))
        top, package_number, _ = self.open[handle][index]
        node = self.scene.nodes[handle]
        cost = {"gas_used": 1, "elapsed_ns": 2}
        if package_number < 0:
            kind, package_number = 94, number
            self.open[handle][index] = (top, number, True)
        hash = hash_of(1, package_number, self.epoch)
        said: dict[int, dict[str, Any]] = {
            94: {
                "submission_or_share_id": top,
                "core": 3,
                "outline": package(f"0x{hash.hex()}"),
            },
            95: {
                "submission_or_share_id": top,
                "cost": {"total": cost, "load_ns": 3, "host_call": cost},
            },
            97: {"submission_or_share_id": top},
            98: {"submission_id": top, "secondary": HASH},
            109: {"submission_id": top},
        }
        event = node.say(kind, self._at(), top, **said[kind])
        for told_kind, told in [*self.unnamed.pop((handle, top), []), (kind, event)]:
            self.seen.events[hash, node.origin.node_id, told_kind, told] += 1
        if kind == 109:
            del self.open[handle][index]
        self._tell()

    @rule(handle=HANDLES, number=st.integers(0, 2), stage=st.sampled_from([11, 12, 62, 43]))
    def a_block_is_reported(self, handle: int, number: int, stage: int) -> None:
        node, slot = self.scene.nodes[handle], SLOT_NOW + self.epoch + number
        block: dict[str, Any] = {"slot": slot, "hash": HASH}
        name = {11: "best", 12: "finalized", 62: "announced", 43: "importing"}[stage]
        if stage == 43:
            event = node.say(43, self._at(), -1, slot=slot, outline=outline())
            self.imports[handle].append((event, slot))
        elif stage == 62:
            node.say(62, self._at(), peer=HASH, announcer="Remote", **block)
        else:
            node.say(stage, self._at(), **block)
        self.seen.stages.add((slot, STAGES.index(name), node.origin.node_id))
        self._tell()

    @precondition(lambda self: any(self.imports.values()))
    @rule(data=st.data())
    def an_import_goes_on(self, data: Any) -> None:
        handle = data.draw(st.sampled_from([h for h, told in self.imports.items() if told]))
        root, slot = data.draw(st.sampled_from(self.imports[handle]))
        node = self.scene.nodes[handle]
        node.say(45, self._at(), root, importing_id=root)
        self.seen.stages.add((slot, STAGES.index("verified"), node.origin.node_id))
        self._tell()

    @rule(handle=HANDLES, number=PACKAGES)
    def a_guarantee_is_received(self, handle: int, number: int) -> None:
        node, report = self.scene.nodes[handle], hash_of(2, number, self.epoch)
        root = node.say(110, self._at(), -1, sender=HASH)
        told = {"work_report_hash": report, "slot": 7, "guarantors": [1, 2]}
        node.say(112, self._at(), root, receiving_id=root, outline=told)
        self.seen.receptions[report] += 1
        self.seen.receivers[report].add(node.origin.node_id)
        self._tell()

    @rule(handle=HANDLES, receivers=st.lists(HANDLES), begins=st.booleans())
    def an_assurance_spreads(self, handle: int, receivers: list[int], begins: bool) -> None:
        node, anchor = self.scene.nodes[handle], hash_of(3, 0, self.epoch)
        if begins:
            statement = {"anchor": anchor, "bitfield": [1, 1]}
            node.say(126, self._at(), -1, statement=statement)
        receipts = tuple((receiver, self.now) for receiver in receivers)
        self.seen.assured[anchor] += len(receipts)
        self._tell(assurances=(Assurance(0, anchor, node.key, receipts),))

    @rule(number=PACKAGES, times=st.integers(1, 9))
    def shards_are_fetched(self, number: int, times: int) -> None:
        root = hash_of(4, number, self.epoch)
        self.seen.fetched[root] += times
        fetch = Fetch(0, 120, root, times, 0, self.now, self.now, 5 * times, 5)
        self._tell(fetches=(fetch,))

    @rule()
    def all_is_over(self) -> None:
        """So much time passes that whatever goes on is over; what comes then is of other things."""
        self.now += 3700 * SECOND
        self.epoch += 617
        self.unnamed.clear()
        self.open.clear()
        self.imports.clear()
        self.it_is_written("written")
        self.it_is_written("written")

    # What is to hold

    @invariant()
    def the_database_holds_what_was_seen(self) -> None:
        if not hasattr(self, "keys"):
            return
        expected = Seen()
        for _, _, seen in self.log[: self.position]:
            if seen is not None:
                expected.events += seen.events
                expected.stages |= seen.stages
                expected.receptions += seen.receptions
                for report, receivers in seen.receivers.items():
                    expected.receivers[report] |= receivers
                expected.assured += seen.assured
                expected.fetched += seen.fetched
        assert not self.errors.counts
        assert not self.pending.status()["lost"]
        found = stored(self.database)
        assert found.events == expected.events
        assert found.stages == expected.stages
        assert found.receptions == expected.receptions
        assert found.receivers == {
            report: len(receivers) for report, receivers in expected.receivers.items()
        }
        assert +found.assured == +expected.assured
        assert found.fetched == expected.fetched

    def teardown(self) -> None:
        if hasattr(self, "keys"):
            self.it_is_written("written")
            assert self.position == len(self.log)
            self.the_database_holds_what_was_seen()
            self.database.close()


def stored(database: sqlite3.Connection) -> Any:
    """What the tables hold; each thing is there once."""
    found = Seen()
    ids = dict(database.execute("SELECT node, node_id FROM nodes"))
    for hash, outcome, events, detail in database.execute(
        "SELECT hash, outcome, events, detail FROM journeys"
    ):
        numbers, (_, packed, *_) = unpack_detail(detail)
        told = [*EVENT.iter_unpack(packed)]
        assert len(told) == events
        assert outcome != "named" or not told
        if len(hash) == 32:
            for node, kind, _, _, _, event in told:
                found.events[hash, ids[numbers[node]], kind, event] += 1
    ask = database.execute
    for slot, stages, detail in ask("SELECT slot, stages, detail FROM network_slots"):
        numbers, (dumped, _) = unpack_detail(detail)
        for stage, (nodes, _, _) in enumerate(dumped[1]):
            for node in memoryview(nodes).cast("H"):
                key = slot, stage, ids[numbers[node]]
                assert key not in found.stages
                found.stages.add(key)
            told = ujson.loads(stages).get(STAGES[stage])
            assert (told[0] if told else 0) == len(nodes) // 2
    for report, receptions, spread in ask("SELECT report, receptions, spread FROM guarantees"):
        assert report not in found.receptions
        found.receptions[report] = receptions
        found.receivers[report] = ujson.loads(spread)[0]
    for anchor, receptions in ask("SELECT anchor, receptions FROM anchors"):
        assert anchor not in found.assured
        found.assured[anchor] = receptions
    for root, kinds in ask("SELECT erasure_root, kinds FROM fetches"):
        assert root not in found.fetched
        found.fetched[root] = sum(succeeded for succeeded, *_ in ujson.loads(kinds).values())
    return found


Understood.TestCase.settings = examples(60, stateful_step_count=30)
TestUnderstood = Understood.TestCase
