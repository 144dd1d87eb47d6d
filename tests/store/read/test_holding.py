"""How long answers keep the reactor from everything else, at the size of a real network."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.database.interface import Database, Transaction
from telemetry_twisted.store.packed import pack
from telemetry_twisted.store.read import counts, nodes, raw
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.network import network
from telemetry_twisted.store.read.raw_search import NEWEST, Wanted
from telemetry_twisted.store.schema.policy import DAY, Policy
from telemetry_twisted.store.schema.tables import LATEST, NODES, TOTALS
from telemetry_twisted.store.write.raw import Waiting, make_batch
from telemetry_twisted.store.write.transactions import write_batch
from telemetry_twisted.transport.records import Chunk, encode_runs
from telemetry_twisted.turns import Turns

NOW = 1_795_506_120
NODES_KNOWN = 1024
BATCHES, CHUNKS, EVENTS = 8, 500, 100
"""400,000 events; every other chunk is of the first node alone."""

FIRST_TYPES, OTHER_TYPES = range(10, 14), range(20, 60)
"""The types of the first node's events, and those of the others'."""

MOST_CPU_SECONDS = 0.03
"""What the reactor's thread may compute without a pause; without turns it is 0.045.

Processor time, so that a busy machine does not matter; it is 0.01 where the test was made.
"""

EVER = {"begin": 0, "end": 2**62}


def node_id(number: int) -> str:
    return f"{number:064x}"


def write_nodes(transaction: Transaction) -> None:
    """Nodes, and what is known of each."""
    at = NOW * 1_000_000
    fields: dict[int, Any] = {
        10: {"num_peers": 50, "num_guarantees": [1] * 341},
        11: {"slot": 9_432_000, "hash": "0x" + 64 * "a"},
        12: {"slot": 9_431_990, "hash": "0x" + 64 * "a"},
        13: {"synced": True},
    }
    numbers = range(1, NODES_KNOWN + 1)
    transaction.upsert(
        NODES,
        [
            (node_id(number), "10.0.0.1:4000", "impl", "0.1", "0.7.1", 0, 341, 0, None, at, at)
            for number in numbers
        ],
    )
    transaction.upsert(
        LATEST,
        [
            (number, kind, at, json.dumps(value))
            for number in numbers
            for kind, value in fields.items()
        ],
    )


def write_counts(transaction: Transaction) -> None:
    """A day of counts of the whole network."""
    minutes = range(NOW - DAY, NOW, 60)
    packed = pack({kind: 100_000 + kind for kind in TABLE.events})
    rows = [(bucket, 1, 10**7, packed) for bucket in minutes]
    transaction.upsert(TOTALS[60], rows)


def write_events(transaction: Transaction, batch: int) -> None:
    """A batch of events."""
    message = (
        b'{"type":"event","data":{"id":1,"node_id":"%b","event_id":1,"event_type":%d,'
        b'"event":{"Status":{"timestamp":1}}},"timestamp":"2026-11-24T07:42:00.000000Z"}'
    )
    waiting = []
    for chunk in range(CHUNKS):
        first = chunk % 2 == 0
        kinds = FIRST_TYPES if first else OTHER_TYPES
        types = bytes(kinds[index % len(kinds)] for index in range(EVENTS))
        sender = 1 if first else 2 + (batch * CHUNKS + chunk) % (NODES_KNOWN - 1)
        messages = [message % (node_id(sender).encode(), kind) for kind in types]
        lengths = b"".join(len(one).to_bytes(4, "little") for one in messages)
        runs = encode_runs([(0, EVENTS)])
        made = Chunk(1, EVENTS, runs, types, lengths, b",".join(messages))
        waiting.append(Waiting(made, (node_id(sender),)))
    numbers = {node_id(number): number for number in range(1, NODES_KNOWN + 1)}
    write_batch(transaction, (NOW * 1_000_000 + batch, 1), make_batch(waiting, numbers))


@pytest.fixture
def database_url(tmp_path: Any) -> str:
    """The address of an empty database: what is done with rows is the same for both kinds."""
    return f"sqlite:{tmp_path / 'telemetry.sqlite'}"


async def longest_hold(ask: Callable[[], Awaitable[object]], times: int) -> float:
    """The most processor time in a row that so many answers at once take in the reactor."""
    longest = 0.0
    last = time.thread_time()

    def look() -> None:
        nonlocal longest, last
        now = time.thread_time()
        longest, last = max(longest, now - last), now

    watch = LoopingCall(look)
    watch.start(0.001)
    try:
        await gatherResults([Deferred.fromCoroutine(ask()) for _ in range(times)])  # type: ignore
    finally:
        watch.stop()
    return longest


@pytest.mark.end_to_end
@ensureDeferred
async def test_no_answer_holds_the_reactor(database: Database) -> None:
    await database.open()
    await database.transact(write_nodes)
    await database.transact(write_counts)
    for batch in range(BATCHES):
        await database.transact(partial(write_events, batch=batch))
    turns = Turns(cast(IReactorTime, reactor))
    history = History(database, Policy(), lambda: NOW, turns)

    def browse(node: int | None, types: set[int] | None) -> Callable[[], Awaitable[object]]:
        return lambda: raw.browse(history, Wanted(node, types, **EVER), NEWEST, 500)

    everybody = [node_id(number) for number in range(1, NODES_KNOWN + 1)]
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "events": browse(None, None),
        "events of two types": browse(None, {20, 21}),
        "events of many types": browse(None, {*FIRST_TYPES, *OTHER_TYPES}),
        "events of a node": browse(1, None),
        "events of a node by type": browse(1, {10, 11}),
        "events of a node, of which none matches": browse(1, set(OTHER_TYPES)),
        "nodes": lambda: nodes.nodes(history, 0, 500, everybody, True),
        "network": lambda: network(history, everybody),
        "event types": lambda: counts.event_types(history, NOW - DAY, NOW),
        "events by type": lambda: counts.by_type(history, NOW - DAY, NOW, None, None),
        "events by group": lambda: counts.by_group(history, NOW - DAY, NOW, None, None),
    }
    # What the test has left behind is no answer's.
    gc.collect()
    gc.freeze()
    held = {name: await longest_hold(ask, 10) for name, ask in asked.items()}
    assert {name: hold for name, hold in held.items() if hold > MOST_CPU_SECONDS} == {}
    found = await raw.browse(history, Wanted(1, set(OTHER_TYPES), **EVER), NEWEST, 500)
    assert (found.messages, found.next) == ([], None)
