"""The network as its nodes tell of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read import nodes
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.network import Head, Implementation, NodeCounts, network
from tests.store.conftest import NOW

Make = Callable[..., Any]
A, B, X = ("0x" + 64 * digit for digit in "abf")


@pytest.fixture
def told(database: Database, make_writer: Make, make_feed: Make, commit: Make) -> Make:
    """Has nodes report best blocks, ``(slot, hash)`` each; gives what feeds the writer."""

    async def tell(*blocks: tuple[int, str]) -> Any:
        writer = make_writer(database)
        feed = make_feed(writer)
        for handle, (slot, block) in enumerate(blocks):
            feed.connect(handle)
            feed.fact(handle, "BestBlockChanged", NOW, slot=slot, hash=block)
        await commit(writer)
        return feed, writer

    return tell


@ensureDeferred
async def test_who_is_there(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    for handle in range(40):
        feed.connect(handle)
        feed.fact(handle, "SyncStatusChanged", NOW, synced=handle > 9)
    await commit(writer)
    shown = await network(history, {feed.node_id(handle) for handle in range(38)})
    assert shown.nodes == NodeCounts(known=40, connected=38, synced=28)
    assert (shown.best, shown.finalized) == (None, None)
    assert shown.implementations == [Implementation("PolkaJam", "0.1", "0.7.1", 38)]


@pytest.mark.parametrize(
    ("blocks", "head"),
    [
        ([*[(100, A)] * 39, (109, X)], Head(100, A, 40)),
        ([*[(100, A)] * 20, *[(101, B)] * 18, *[(109, X)] * 2], Head(101, B, 20)),
        ([*[(number, X) for number in range(13)], *[(100, A)] * 27], Head(100, A, 27)),
        ([(7, A), (9, B)], Head(9, B, 1)),
        ([(7, A)], Head(7, A, 1)),
        ([(7, A), (7, B), (7, B)], Head(7, B, 3)),
    ],
)
@ensureDeferred
async def test_best_block_is_what_most_say(
    history: History, told: Make, blocks: list[tuple[int, str]], head: Head
) -> None:
    feed, _ = await told(*blocks)
    shown = await network(history, {feed.node_id(handle) for handle in range(len(blocks))})
    assert shown.best == head


@ensureDeferred
async def test_who_has_left_has_no_say(history: History, told: Make) -> None:
    feed, _ = await told((100, A), (109, X), (109, X))
    assert (await network(history, {feed.node_id(0)})).best == Head(100, A, 1)


@ensureDeferred
async def test_nobody_is_there_or_nobody_that_history_knows(history: History, told: Make) -> None:
    await told((100, A))
    for present in (set[str](), {"ff" * 32}):
        shown = await network(history, present)
        assert shown.nodes == NodeCounts(known=1, connected=0, synced=0)
        assert (shown.best, shown.implementations) == (None, [])


@ensureDeferred
async def test_who_has_been_silent_has_no_say(
    history: History, told: Make, commit: Make, clock: Clock
) -> None:
    feed, writer = await told((100, X), (100, X), (100, X))
    clock.advance(120)
    feed.fact(0, "BestBlockChanged", clock.seconds(), slot=120, hash=A)
    await commit(writer)
    present = {feed.node_id(handle) for handle in range(3)}
    assert (await network(history, present)).best == Head(120, A, 1)


@ensureDeferred
async def test_a_store_that_is_late_makes_nobody_silent(
    history: History, told: Make, clock: Clock
) -> None:
    feed, _ = await told((100, A))
    clock.advance(600)
    assert (await network(history, {feed.node_id(0)})).best == Head(100, A, 1)


@ensureDeferred
async def test_blocks_ahead_of_the_clock_are_in_no_figure_of_the_network(
    database: Database, history: History, make_writer: Make, make_feed: Make, commit: Make
) -> None:
    """However many nodes claim them; each is still shown with what it claims."""
    newest = newest_slot(NOW)
    writer = make_writer(database)
    feed = make_feed(writer)
    for handle in range(10):
        feed.connect(handle)
        number = newest - 50 if handle > 7 else newest + 1_000
        for event in ("BestBlockChanged", "FinalizedBlockChanged"):
            feed.fact(handle, event, NOW, slot=number, hash=A)
    await commit(writer)
    shown = await network(history, {feed.node_id(handle) for handle in range(10)})
    assert shown.best == shown.finalized == Head(newest - 50, A, 2)
    best = (await nodes.nodes(history, 0, 10)).nodes[0].best
    assert best is not None
    assert best.slot == newest + 1_000
