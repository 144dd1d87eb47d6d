"""The writer at the size of a network: 1,024 nodes, and one that would rather be all of them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.store.packed import add_up
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.write.counts import MOST_WAITING
from telemetry_twisted.store.write.facts import MOST_FACTS
from telemetry_twisted.store.write.pace import COMMIT_SECONDS
from telemetry_twisted.store.write.spread import MOST_SLOTS
from telemetry_twisted.store.write.transactions import Superseded, begin_run, write_commit
from telemetry_twisted.store.write.writer import LONGEST_DELAY, Writer
from tests.store.conftest import NOW, Feed

from .answers import Answer, AnsweringDatabase, empty_database

NODES = 1024
AT_ONCE = 500
"""Nodes that connect in a second."""


class Network(Feed):
    """Feeds a writer what a whole network says."""

    @staticmethod
    def node_id(handle: int) -> str:
        return f"{handle:064x}"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An empty database."""
    connection = empty_database()
    yield connection
    connection.close()


@pytest.fixture
def database(connection: sqlite3.Connection) -> AnsweringDatabase:
    """Answers when the test says so."""
    return AnsweringDatabase(connection)


@pytest.fixture
def start(clock: Clock, database: AnsweringDatabase) -> Callable[..., tuple[Writer, Network]]:
    """Starts a writer, and feeds it."""

    def start(now: Callable[[], float] = clock.seconds) -> tuple[Writer, Network]:
        writer = Writer(database, "server", clock, Policy(), now, InternalErrors(clock))
        writer.start()
        return writer, Network(writer.take)

    return start


def by_node(connection: sqlite3.Connection) -> Counter[str]:
    """Events by node, the empty ID being all together."""
    found: Counter[str] = Counter()
    ids = {0: "", **dict(connection.execute("SELECT node, node_id FROM nodes"))}
    for node, packed in connection.execute(
        "SELECT node, counts FROM counts_10s UNION ALL SELECT 0, counts FROM totals_10s"
    ):
        found[ids[node]] += sum(add_up([packed]).values())
    return found


def answer(database: AnsweringDatabase, clock: Clock, how: Answer = Answer.WRITTEN) -> None:
    """Let time go on until something is asked, and answer it."""
    while database.asked is None:
        clock.advance(COMMIT_SECONDS)
    database.answer(how)


@pytest.mark.parametrize("how", Answer)
def test_nodes_that_come_while_others_are_written(
    how: Answer,
    clock: Clock,
    database: AnsweringDatabase,
    connection: sqlite3.Connection,
    start: Callable[..., tuple[Writer, Network]],
) -> None:
    """Whenever a node comes, and however the commit goes that is under way."""
    writer, feed = start()
    answer(database, clock)
    for first in range(0, NODES, AT_ONCE):
        for handle in range(first, min(first + AT_ONCE, NODES)):
            feed.connect(handle, clock.seconds())
            feed.counts({handle: {10: 200}}, clock.seconds())
            if handle % 100 == 50:
                answer(database, clock, how)
    while (status := writer.status())["position"] != status["taken"]:
        answer(database, clock)
    assert by_node(connection) == {"": 200 * NODES} | {
        feed.node_id(handle): 200 for handle in range(NODES)
    }
    assert connection.execute("SELECT count(*) FROM connections").fetchall() == [(NODES,)]
    unknown = "SELECT count(*) FROM nodes WHERE implementation IS NULL OR first_seen > last_seen"
    assert connection.execute(unknown).fetchall() == [(0,)]
    assert not status["lost"]


def test_two_servers_that_start_at_once_have_runs_of_their_own(
    connection: sqlite3.Connection, clock: Clock
) -> None:
    databases = [AnsweringDatabase(connection) for _ in range(2)]
    for number, database in enumerate(databases):
        writer = Writer(
            database, f"server {number}", clock, Policy(), clock.seconds, InternalErrors(clock)
        )
        writer.start()
        feed = Network(writer.take)
        feed.connect(1)
        feed.counts({1: {10: 1}})
    for _ in range(3):  # turn by turn
        for database in databases:
            answer(database, clock)
    assert by_node(connection) == {"": 2, Network.node_id(1): 2}
    assert len(set(connection.execute("SELECT run FROM counts_10s"))) == 2


def test_a_store_process_that_was_replaced_writes_no_more(
    connection: sqlite3.Connection,
    clock: Clock,
    database: AnsweringDatabase,
    start: Callable[..., tuple[Writer, Network]],
) -> None:
    writer, feed = start()
    answer(database, clock)
    feed.counts({1: {10: 1}})
    clock.advance(COMMIT_SECONDS)
    assert database.asked is not None
    assert database.asked.what is write_commit
    database._run(lambda transaction: begin_run(transaction, "server", 1))
    answer(database, clock)
    status = writer.status()
    assert status["state"] == "failed"
    assert status["last_error"] == str(Superseded())
    assert by_node(connection) == {}


@pytest.mark.parametrize("how", [Answer.FULL, Answer.REFUSED])
def test_an_hour_without_the_database(
    how: Answer,
    clock: Clock,
    database: AnsweringDatabase,
    connection: sqlite3.Connection,
    start: Callable[..., tuple[Writer, Network]],
) -> None:
    """As many buckets as at its beginning, and all counts there after it."""
    writer, feed = start()
    answer(database, clock)
    nodes = range(0, NODES, 512)
    for handle in nodes:
        feed.connect(handle, clock.seconds())
    answer(database, clock)
    rounds, end = 0, clock.seconds() + 3600
    while clock.seconds() < end:
        feed.counts({handle: {10: 1, 11: 2} for handle in nodes}, clock.seconds())
        for handle in nodes:
            feed.fact(handle, "SyncStatusChanged", clock.seconds(), synced=True)
        rounds += 1
        clock.advance(2 * LONGEST_DELAY)
        if database.asked is not None:
            database.answer(how)
    collected: Any = writer._pending.collected
    open_buckets = {type(each).__name__: len(each) for each in collected._buckets()}
    assert max(open_buckets.values()) <= MOST_WAITING + 2
    while (status := writer.status())["position"] != status["taken"]:
        answer(database, clock)
    assert by_node(connection) == {"": 3 * rounds * len(nodes)} | {
        feed.node_id(handle): 3 * rounds for handle in nodes
    }
    assert not status["lost"]


def test_what_one_node_says_very_often_is_bounded_and_counted(
    clock: Clock,
    database: AnsweringDatabase,
    connection: sqlite3.Connection,
    start: Callable[..., tuple[Writer, Network]],
) -> None:
    """Its state is its newest, others' are theirs, and failures are there to the last."""
    writer, feed = start()
    answer(database, clock)
    for handle in (1, 2):
        feed.connect(handle)
    for number in range(3 * MOST_FACTS):
        feed.fact(1, "BestBlockChanged", NOW, slot=number, hash="0x" + 64 * "a")
        feed.fact(1, "ConnectInFailed", NOW, connecting_id=1, reason=f"reason {number}")
    feed.fact(2, "BestBlockChanged", NOW, slot=3, hash="0x" + 64 * "a")
    status = writer.status()
    while (status := writer.status())["position"] != status["taken"]:
        answer(database, clock)
    states = connection.execute("SELECT best FROM states ORDER BY node").fetchall()
    assert states == [(3 * MOST_FACTS - 1,), (3,)]
    ((failures,),) = connection.execute("SELECT sum(failures) FROM failures_1m")
    assert failures == 3 * MOST_FACTS
    ((slots, reports),) = connection.execute("SELECT count(*), sum(nodes) FROM slots")
    assert slots <= MOST_SLOTS
    assert reports + status["lost"]["slot_reports"] == 3 * MOST_FACTS + 1


def test_nodes_are_seen_last_after_they_were_seen_first(
    clock: Clock,
    database: AnsweringDatabase,
    connection: sqlite3.Connection,
    start: Callable[..., tuple[Writer, Network]],
) -> None:
    """Whatever the clock does in between."""
    ahead = 0.0
    writer, feed = start(lambda: clock.seconds() + ahead)
    answer(database, clock)
    for ahead in (0.0, 5000.0, -5000.0, 3.0):
        feed.connect(1, clock.seconds() + ahead)
        while (status := writer.status())["position"] != status["taken"]:
            answer(database, clock)
        feed.gone(1, clock.seconds() - ahead)
        while (status := writer.status())["position"] != status["taken"]:
            answer(database, clock)
        ((first, last),) = connection.execute("SELECT first_seen, last_seen FROM nodes")
        assert first <= last
        ends = "SELECT count(*) FROM connections WHERE ended < started"
        assert connection.execute(ends).fetchall() == [(0,)]
