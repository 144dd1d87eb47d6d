"""History is what was sent, whatever happens to the processes that the server consists of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry_twisted.jip3.moment import COMMON_ERA
from tests.end_to_end.account import (
    Account,
    account_of_history,
    account_of_simulator,
    account_of_stream,
    compare,
    differences,
    querying,
)
from tests.end_to_end.conftest import await_true
from tests.end_to_end.truth import EVENTS, NODES, PATIENCE, Scene, scene

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Subscriber


def test_store_that_is_killed_five_times(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        simulation = at.simulate()
        pid = 0
        for number in range(1, 6):
            at.await_events(number * 30_000)
            pid = at.await_pid("store", besides=pid)
            at.kill(pid)
        at.check(simulation.sent())


def test_processes_that_stand_still_for_a_while(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        simulation = at.simulate(rate=40)
        at.await_events(30_000)
        with at.stopped(at.await_pid("store")):
            at.await_events(80_000)
        with at.stopped(at.await_pid("ingestion")):
            at.await_events(110_000)
        at.check(simulation.sent())


def test_store_that_hangs_until_it_is_replaced(database_url: str, tmp_path: Path) -> None:
    with scene(tmp_path / "server", database_url) as at:
        simulation = at.simulate(rate=40)
        at.await_events(50_000)
        pid = at.await_pid("store")
        with at.stopped(pid):
            at.await_pid("store", besides=pid)
        at.check(simulation.sent())


def test_ingestion_that_is_killed(database_url: str, tmp_path: Path) -> None:
    check_ingestion_that_ends(tmp_path / "server", database_url, Scene.kill)


def test_ingestion_that_hangs_until_it_is_replaced(tmp_path: Path) -> None:
    def hang(at: Scene, pid: int) -> None:
        with at.stopped(pid):
            at.server.await_ended(pid)

    url = f"sqlite:{tmp_path / 'telemetry.sqlite'}"
    check_ingestion_that_ends(tmp_path / "server", url, hang)


def check_ingestion_that_ends(
    directory: Path, url: str, end: Callable[[Scene, int], object]
) -> None:
    """Have an ingestion process end while its nodes send, as ``end`` does with its pid."""
    with scene(directory, url) as at, at.server.subscriber() as subscriber:
        simulation = at.simulate("--reconnect", rate=25)
        at.await_events(40_000)  # long before the end, for a machine that is busy
        pid = at.await_pid("ingestion")
        begin = era_now()
        end(at, pid)
        end_of_it = era_now()

        def is_whole(connection: Mapping[str, Any]) -> bool:
            # One that ended with the process looks as if it had been read to its end, if it had.
            ended = connection["ended"]
            return connection["whole"] and not begin - MARGIN < ended < end_of_it + MARGIN

        check_what_was_delivered(at, subscriber, simulation.result(), is_whole)


MARGIN = 5_000_000
"""Within how many microseconds a busy simulator notices that a connection has ended."""


def era_now() -> int:
    """The time, in microseconds of the Common Era."""
    return int(time.time() * 1_000_000) - COMMON_ERA


def check_what_was_delivered(
    at: Scene,
    subscriber: Subscriber,
    told: Mapping[str, Any],
    is_whole: Callable[[Mapping[str, Any]], bool],
) -> None:
    """Hold history to what the stream has delivered, and that to what was sent; of a connection
    that ``is_whole`` all has to be delivered."""
    sent, whole = account_of_simulator(told), account_of_simulator(told, is_whole)
    cut = account_of_simulator(told, lambda connection: not is_whole(connection))
    assert 0 < told["connections"]["lost"] < NODES
    await_true(lambda: at.get("/api/metrics/live")["nodes"] == 0, "all nodes left", PATIENCE)
    total = at.events()
    subscriber.receive_until(lambda: len(subscriber.events) == total, PATIENCE)
    assert subscriber.skipped == 0
    delivered = account_of_stream(subscriber.events)
    # What was not cut came whole; what was cut, as far as it got.
    assert not [key for key, count in whole.counts.items() if delivered.counts[key] < count]
    assert not [key for key, count in delivered.counts.items() if sent.counts[key] < count]
    assert all(count <= EVENTS for count in (sent.by_node() - delivered.by_node()).values())
    begun = Counter(
        event["data"]["node_id"] for event in subscriber.events if not event["data"]["event_id"]
    )
    at.settle(delivered)
    # Of the chains that the process followed it is not known how they end; test_truth_networks.py
    # knows how many they are.
    wrong = differences("told as lost", {"chains": 0}, {**at.lost(), "chains": 0})
    wrong += at.raw_shares(delivered)
    at.server.stop(seconds=PATIENCE)
    found, contradictions = account_of_history(querying(at.url))
    wrong += contradictions + compare(delivered, found, ["counts"])
    # A process that ends may have connections that nobody was told of.
    wrong += [
        f"{found.connections[node_id]} connections of {node_id}: {begun[node_id]} are known to "
        f"have begun, of {connected}"
        for node_id, connected in sent.connections.items()
        if not begun[node_id] <= found.connections[node_id] <= connected
    ]
    wrong += differences("failures by type", _by_type(delivered), _by_type(found))
    # What a process has read of faults and blocks and not yet told goes with it.
    wrong += [
        f"faults of {key}: {found.faults[key]}, from {whole.faults[key]} to {sent.faults[key]} sent"
        for key in {**sent.faults, **found.faults}
        if not whole.faults[key] <= found.faults[key] <= sent.faults[key]
    ]
    wrong += [
        f"{report} of {found.spreads.get(report)}, {spread} delivered"
        for report, spread in delivered.spreads.items()
        if not 0 <= spread[0] - found.spreads.get(report, (0,))[0] <= len(cut.connections)
    ]
    assert not wrong, "\n".join(wrong)


def _by_type(account: Account) -> Counter[str]:
    total: Counter[str] = Counter()
    for (name, _), count in account.failures.items():
        total[name] += count
    return total
