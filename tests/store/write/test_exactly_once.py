"""Whatever fails and whoever dies: the database holds the records up to its position, each once.

A hub numbers records and hands them on as the server's does; the store process is killed, the
database refuses, breaks, is full, or does not say whether it has written; and at each moment at
which the writer waits for anything, more may come.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

import pytest
import ujson
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import LEAVES, NO_CORE, Cost
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.write.listener import Listener
from telemetry_twisted.store.write.pace import COMMIT_SECONDS
from telemetry_twisted.store.write.presence import END_LOST
from telemetry_twisted.store.write.transactions import write_commit
from telemetry_twisted.store.write.writer import LONGEST_DELAY, Writer
from telemetry_twisted.transport import records
from tests.store.conftest import NOW, Feed, genesis

from .answers import Answer, AnsweringDatabase, empty_database
from .sums_truth import Told, add_observations, clocks_in, sums_in

HANDLES = st.integers(1, 4)
SLOTS = st.integers(100, 103)
COMING = (
    *("connect", "leave", "count", "report", "report", "fail", "fault", "share", "chunk"),
    *("observe", "observe"),
)
BLOCKS = st.sampled_from(["a", "b"])


@define
class Truth:
    """What history is to hold."""

    counts: Counter[tuple[str, int]] = field(factory=Counter)
    connections: dict[tuple[str, int], tuple[int, str] | None] = field(factory=dict)
    connected: dict[int, dict[str, Any]] = field(factory=dict)
    failures: Counter[tuple[int, str]] = field(factory=Counter)
    faults: Counter[str] = field(factory=Counter)
    slots: dict[int, dict[str, str]] = field(factory=dict)
    shares: Counter[str] = field(factory=Counter)
    dropped: Counter[str] = field(factory=Counter)
    gaps: dict[int, int] = field(factory=dict)
    sums: Told = field(factory=Counter)
    clocks: dict[str, tuple[int, int]] = field(factory=dict)

    def node_at(self, handle: int) -> str:
        """Whose handle it is; handles stay with their nodes here."""
        return Feed.node_id(handle)

    def resume(self, nodes: list[dict[str, Any]], gap: dict[str, Any]) -> None:
        """What is known after a gap."""
        self.gaps[gap["began"]] = gap["lost"]["records"]
        there = {body["handle"]: body for body in nodes}
        for handle, body in list(self.connected.items()):
            if there.get(handle, {}).get("connected") != body["connected"]:
                del self.connected[handle]
                key = body["node_id"], body["connected"]
                self.connections[key] = max(gap["ended"], body["connected"]), END_LOST
        for body in nodes:
            self.connected[body["handle"]] = body
            self.connections[body["node_id"], body["connected"]] = None

    def take(self, kind: int, body: bytes) -> None:
        """Take a record."""
        if kind == records.FACTS:
            for handle, content in records.Facts.decode(body).messages:
                self._fact(self.node_at(handle), content)
            return
        if kind == records.OBSERVATIONS:
            observed = Observations.decode(body)
            add_observations(self.sums, observed, lambda h: (self.node_at(h), genesis(h % 2)))
            for handle, least, greatest in observed.clocks:
                before = self.clocks.get(self.node_at(handle), (least, greatest))
                bounds = min(before[0], least), max(before[1], greatest)
                self.clocks[self.node_at(handle)] = bounds
            return
        value = ujson.loads(body)
        if kind == records.NODE_CONNECTED:
            self.connected[value["handle"]] = value
            self.connections[value["node_id"], value["connected"]] = None
        elif kind == records.NODE_GONE:
            gone = self.connected.pop(value["handle"])
            key = gone["node_id"], gone["connected"]
            self.connections[key] = max(value["disconnected"], key[1]), value["reason"]
        elif kind == records.COUNTS:
            for handle, by_type in value["counts"].items():
                for type_, count in by_type.items():
                    self.counts[self.node_at(int(handle)), int(type_)] += count
                    self.counts["", int(type_)] += count
            for type_, count in value.get("unread", {}).items():
                self.failures[int(type_), "(other reasons)"] += count
            for handle, dropped in value.get("dropped", {}).items():
                self.dropped[self.node_at(int(handle))] += dropped["events"]
        elif kind == records.FAULTS:
            for fault in value:
                self.faults[fault["reason"]] += fault["count"]
        elif kind == records.SAMPLED:
            self.shares.update(
                {"seen": value["seen"], "offered": value["kept"], "dropped": value.get("lost", 0)}
            )

    def _fact(self, node: str, content: bytes) -> None:
        if content[8] == 11:
            slot = int.from_bytes(content[9:13], "little")
            self.slots.setdefault(slot, {}).setdefault(node, f"0x{content[13:].hex()}")
        else:
            self.failures[content[8], "why"] += 1


def stored(connection: sqlite3.Connection) -> Truth:
    """What history holds."""
    truth = Truth()
    ask = connection.execute
    ids = {0: "", **dict(ask("SELECT node, node_id FROM nodes"))}
    for resolution in ("10s", "1m", "1h"):
        counts: Counter[tuple[str, int]] = Counter()
        for node, packed in ask(
            f"SELECT node, counts FROM counts_{resolution} "
            f"UNION ALL SELECT 0, counts FROM totals_{resolution}"
        ):
            counts.update({(ids[node], kind): n for kind, n in add_up([packed]).items()})
        assert not truth.counts or counts == truth.counts
        truth.counts = counts
    for node, started, ended, reason in ask("SELECT node, started, ended, reason FROM connections"):
        truth.connections[ids[node], started] = None if ended is None else (ended, reason)
    for kind, reason, count in ask("SELECT type, reason, failures FROM failures_1m"):
        truth.failures[kind, reason] += count
    for reason, count in ask("SELECT reason, faults FROM faults_1h"):
        truth.faults[reason] += count
    for node, count in ask("SELECT node, dropped FROM losses_1h"):
        truth.dropped[ids[node]] += count
    for began, count in ask("SELECT began, records FROM gaps"):
        truth.gaps[began] = count
    for name in ("seen", "offered", "dropped"):
        ((total,),) = ask(f"SELECT sum({name}) FROM raw_share")
        truth.shares[name] += total or 0

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return ask(sql).fetchall()

    truth.sums, truth.clocks = sums_in(rows), clocks_in(rows)
    return truth


def slots_of(connection: sqlite3.Connection) -> dict[int, dict[str, int]]:
    """How many nodes reported which block of each slot; each slot is there once."""
    rows = connection.execute("SELECT slot, nodes, blocks FROM slots").fetchall()
    found = {slot: dict(ujson.loads(blocks)) for slot, _, blocks in rows}
    assert len(found) == len(rows)
    assert all(sum(found[slot].values()) == nodes for slot, nodes, _ in rows)
    return found


def observation(handle: int, number: int) -> dict[str, Any]:
    """Something of each kind that is observed of a node, as :class:`Observations` has it."""
    leaves = {phase: range(1, len(names) + 1) for phase, names in LEAVES.items()}
    return {
        "networks": (bytes.fromhex(genesis(handle % 2)[2:]),),
        "outcomes": ((handle, 90, number % 4, 5, 2), (handle, 43, number % 4, NO_CORE, 1)),
        "latencies": (
            (handle, 16, 5, number, 3, 3000),
            (handle, 6, NO_CORE, number, 1, number),
        ),
        "cores": ((handle, 105, 5, 1), (handle, 94, number, 2)),
        "costs": tuple(
            Cost(0, phase, number, NO_CORE if phase == 2 else 5, 1, tuple(sums))
            for phase, sums in leaves.items()
        ),
        "clocks": ((handle, -number, number * 2),),
        "withheld": ((handle, 1, 1),),
    }


class HubLink(Listener):
    """What the hub hears of a store process, until it dies."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"attempting": None, "position": None}
        self.writer: Writer | None = None
        self.waits: Deferred[None] | None = None

    def tell(self) -> None:
        if self.writer is not None:
            self.status = self.writer.status()

    async def heard(self) -> None:
        self.waits = Deferred()
        await self.waits


class ExactlyOnce(RuleBasedStateMachine):
    """A hub, store processes that die, and a database that is not always there."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.behind = 0
        self.connection = empty_database()
        self.database = AnsweringDatabase(self.connection)
        self.log: list[tuple[int, Any]] = []
        self.connected: dict[int, dict[str, Any]] = {}
        self.feed = Feed(self._hand_over)
        self.times = 0
        self.position: int | None = 0
        self._start()
        for handle in range(1, 4):
            self.something_comes(handle, "connect", 100, "a")

    def _now(self) -> float:
        return self.clock.seconds() - self.behind

    def _start(self) -> None:
        self.link = HubLink()
        errors = InternalErrors(self.clock)
        self.database = AnsweringDatabase(self.connection)
        self.writer = Writer(self.database, "server", self.clock, Policy(), self._now, errors)
        self.errors = errors
        self.link.writer = self.writer
        self.raw = Feed(self._give)
        self.resumed = False
        self.writer.start(self.link)
        self._resume()

    def _resume(self) -> None:
        """As the hub does: at once, or when the database has told what it has."""
        if self.resumed:
            return
        if self.position is None:
            self.position = self.link.status["position"]
            if self.position is None:
                return
        self.resumed = True
        rest = self.log[self.position :]
        if not rest or rest[0][0] != records.RESUME:  # a gap says who is there after it
            nodes = list(self._truth(self.position).connected.values())
            resume = {"first": self.position + 1, "nodes": nodes, "gap": None}
            self._give(records.RESUME, ujson.dumps(resume).encode())
        for kind, body in rest:
            self._give(kind, body)

    def _give(self, kind: int, body: Any) -> None:
        self.writer.take(kind, body)

    def _hand_over(self, kind: int, body: bytes) -> None:
        self.log.append((kind, body))
        if self.resumed:
            self._give(kind, body)

    def _truth(self, position: int) -> Truth:
        truth = Truth()
        for kind, body in self.log[:position]:
            if kind == records.RESUME:
                value = ujson.loads(body)
                truth.resume(value["nodes"], value["gap"])
            else:
                truth.take(kind, body)
        return truth

    # What comes

    def _stamp(self) -> float:
        self.times += 1
        return self._now() + self.times / 1_000_000

    @rule(handle=HANDLES, what=st.sampled_from(COMING), slot=SLOTS, block=BLOCKS)
    def something_comes(self, handle: int, what: str, slot: int, block: str) -> None:
        now, feed = self._now(), self.feed
        there = handle in self.connected
        if what == "fault":
            fault = {"kind": "violation", "discriminator": 10, "offset": 0, "excerpt": "00"}
            feed.faults({"node_id": feed.node_id(handle), "reason": "bad", "count": 2, **fault})
        elif what == "chunk":
            if self.resumed:  # the hub keeps raw events for no other process
                self.raw.chunk((handle, 10), (handle, 11), at=now)
        elif what == "share":
            feed.sampled(10, 7, now, lost=1)
        elif what in ("connect", "leave") or not there:
            if there:
                feed.gone(handle, self._stamp())
                del self.connected[handle]
            if what != "leave":
                feed.connect(handle, self._stamp(), genesis=genesis(handle % 2))
                self.connected[handle] = ujson.loads(self.log[-1][1])
        elif what == "count":
            feed.counts({handle: {10: 1, 11: slot}}, now)
        elif what == "observe":
            feed.observed(now, **observation(handle, slot))
        elif what == "report":
            feed.fact(handle, "BestBlockChanged", now, slot=slot, hash="0x" + 64 * block)
        elif what == "fail":
            feed.fact(handle, "ConnectInFailed", now, connecting_id=1, reason="why")
            dropped = {"events": 3, "spans": 1, "first": 1, "last": 2}
            feed.losses({22: 2}, {handle: dropped}, at=now)

    @rule(handle=HANDLES)
    def gap(self, handle: int) -> None:
        """Records are given up, among them the coming or going of a node."""
        began = int(self._stamp() * 1_000_000)
        if handle in self.connected:
            del self.connected[handle]
        else:
            unlogged = Feed(lambda _, body: self.connected.update({handle: ujson.loads(body)}))
            unlogged.connect(handle, self._stamp(), genesis=genesis(handle % 2))
        gap = {"began": began, "ended": int(self._stamp() * 1_000_000), "lost": {"records": 5}}
        nodes = list(self.connected.values())
        # The gap has a number of its own: with it, all before ``first`` is taken.
        body = ujson.dumps({"first": len(self.log) + 2, "nodes": nodes, "gap": gap}).encode()
        self._hand_over(records.RESUME, body)

    # What happens

    @rule(answer=st.sampled_from([Answer.WRITTEN, Answer.WRITTEN, *Answer]))
    def work_goes_on(self, answer: Answer) -> None:
        """Whatever is waited for comes: the hub, the database, or time."""
        if self.link.waits is not None:
            waits, self.link.waits = self.link.waits, None
            waits.callback(None)
        elif self.database.asked is not None:
            self.database.answer(answer)
            self._resume()
        else:
            self.clock.advance(LONGEST_DELAY)

    @rule(answer=st.sampled_from(Answer), then=st.sampled_from(["nothing", *COMING]))
    def a_commit_ends(self, answer: Answer, then: str) -> None:
        """All goes on until the database is asked for one; while it is, something may come."""
        for _ in range(10):
            if self._asked_to_commit():
                break
            self.work_goes_on(Answer.WRITTEN)
        if then in COMING:
            self.something_comes(1, then, 100, "a")
        if self._asked_to_commit():
            self.work_goes_on(answer)

    def _asked_to_commit(self) -> bool:
        asked = self.database.asked
        return asked is not None and asked.what is write_commit

    @rule(seconds=st.sampled_from([0.1, COMMIT_SECONDS, 20, 90]))
    def time_goes_on(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([5, 100]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.behind += seconds

    @rule(commits=st.booleans(), written=st.booleans())
    def the_process_dies(self, commits: bool, written: bool) -> None:
        """Perhaps while it ``commits``; what it asked of the database may be ``written``."""
        for _ in range(10 if commits else 0):
            if not self._asked_to_commit():
                self.work_goes_on(Answer.WRITTEN)
        asked, status = self.database.asked, self.link.status
        if asked is not None and written:
            self.database.at_once = True
            self.database._run(asked.work)
        self.link.writer = None
        self.position = None if status["attempting"] is not None else status["position"]
        if not self.resumed and status["position"] is None:
            self.position = None
        for call in self.clock.getDelayedCalls():
            call.cancel()
        self._start()

    @invariant()
    def history_is_true(self) -> None:
        if not hasattr(self, "connection"):
            return
        ((position,),) = self.connection.execute("SELECT coalesce(max(position), 0) FROM runs")
        expected, found = self._truth(position), stored(self.connection)
        assert not self.errors.counts
        assert self.position is None or self.position <= position
        assert found.counts == expected.counts
        assert found.connections == expected.connections
        assert found.failures == expected.failures
        assert found.faults == expected.faults
        assert found.dropped == expected.dropped
        assert found.gaps == expected.gaps
        assert found.shares == expected.shares
        assert found.sums == expected.sums
        assert found.clocks == expected.clocks
        assert slots_of(self.connection) == {
            slot: Counter(by_node.values()) for slot, by_node in expected.slots.items()
        }
        ((events,),) = self.connection.execute("SELECT sum(events) FROM raw_batches")
        ((written,),) = self.connection.execute("SELECT sum(raw_written) FROM runs")
        assert (events or 0) == (written or 0)
        ((wrong,),) = self.connection.execute(
            "SELECT count(*) FROM nodes WHERE first_seen > last_seen"
        )
        assert not wrong

    def teardown(self) -> None:
        """In the end the database is there, and all is written."""
        if not hasattr(self, "connection"):
            return
        for _ in range(100):
            status = self.writer.status()
            if status["position"] == len(self.log) and not status["queue_events"]:
                break
            self.work_goes_on(Answer.WRITTEN)
        assert self.writer.status()["position"] == len(self.log)
        assert not status["lost"]
        assert status["raw_taken"] == status["raw_events_written"]
        self.history_is_true()
        self.connection.close()


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)


@pytest.mark.end_to_end
def test_exactly_once_at_length() -> None:
    run_state_machine_as_test(
        ExactlyOnce,
        settings=settings(max_examples=400, stateful_step_count=50, deadline=None),
    )
