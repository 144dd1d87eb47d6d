"""What is observed becomes sums by network, node, core and service, to the last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import NO_CORE, OutcomeCount
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.store.schema.sum_tables import KINDS
from telemetry_twisted.store.write import sums as sums_module
from telemetry_twisted.store.write.facts import Origin
from telemetry_twisted.store.write.sums import OTHER_SERVICES, Sums
from telemetry_twisted.store.write.writer import MAINTENANCE_SECONDS
from tests.store.conftest import NOW, Feed, genesis

from .sums_truth import Told, add_observations, sums_in
from .test_exactly_once import observation

Make = Callable[..., Any]


def node_at(handle: int) -> tuple[str, str]:
    """The node of a handle, and its network."""
    return Feed.node_id(handle), genesis(handle % 2)


async def told_by(database: Database) -> Told:
    """What is in the database."""
    return await database.transact(lambda transaction: sums_in(transaction.query))


@ensureDeferred
async def test_what_is_observed_over_hours_is_all_there(
    database: Database,
    make_writer: Make,
    make_feed: Make,
    commit: Make,
    clock: Clock,
) -> None:
    writer = make_writer(database)
    feed = make_feed(writer)
    await commit(writer)
    truth: Told = Counter()
    for handle in (1, 2, 3):
        feed.connect(handle, genesis=genesis(handle % 2))
    for number in range(100, 130):
        now = clock.seconds()
        for handle in (1, 2, 3):
            found = observation(handle, number)
            feed.observed(now, **found)
            add_observations(truth, Observations(0, 0, **found), node_at)
        await commit(writer)
        clock.advance(17 * MAINTENANCE_SECONDS)
        await commit(writer)
    assert await told_by(database) == truth
    days = [kind.tables[DAY].name for kind in KINDS]
    for table in days:
        while not await database.query(f"SELECT 1 FROM {table} LIMIT 1"):
            clock.advance(MAINTENANCE_SECONDS)
            await commit(writer)
    assert await told_by(database) == truth
    bounds: list[tuple[Any, ...]] = []
    for width in (60, 3600, DAY):
        name = KINDS[0].tables[width].name
        bounds += await database.query(
            f"SELECT clock_least, clock_greatest FROM {name} WHERE clock_least IS NOT NULL"
        )
    assert (min(least for least, _ in bounds), max(most for _, most in bounds)) == (-129, 258)


def taken(number: int, **found: Any) -> tuple[Sums, Counter[str]]:
    """Sums that have taken the same so often, of nodes 1 to 3."""
    lost: Counter[str] = Counter()
    sums = Sums(lost)
    for _ in range(number):
        observed = Observations(NOW * 1_000_000, NOW * 1_000_000 + 1, **found)
        sums.take(observed, lambda h: Origin(f"{h}", 2, 0, genesis(h)) if h < 4 else None)
    return sums, lost


def test_what_nobody_knows_the_node_of_is_counted_as_lost() -> None:
    rows = tuple(OutcomeCount(handle, 43, 0, NO_CORE, 2) for handle in range(1, 6))
    sums, lost = taken(3, outcomes=rows, cores=((9, 94, 1, 5),), withheld=((9, 1, 7),))
    sums.fold()
    written = sum(sum(each.outcomes.values()) for _, _, each in sums.nodes.take())
    assert (written, dict(lost)) == (3 * 3 * 2, {"observations": 3 * (2 * 2 + 5 + 7)})


def test_networks_and_cores_that_are_too_many_are_counted_as_lost(monkeypatch: Any) -> None:
    monkeypatch.setattr(sums_module, "MOST_NETWORKS", 2)
    monkeypatch.setattr(sums_module, "MOST_CORES", 4)
    rows = tuple(OutcomeCount(h, 43, 0, core, 2) for h in (1, 2, 3) for core in range(3))
    sums, lost = taken(1, outcomes=rows)
    sums.fold()
    of_networks = sum(sum(each.outcomes.values()) for _, _, each in sums.networks[10].take())
    of_cores = sum(sum(each.outcomes.values()) for _, _, each in sums.cores.take())
    assert of_networks + lost["network_10s_observations"] == 18
    assert (of_networks, lost["network_3600s_observations"]) == (12, 6)
    assert (of_cores, lost["core_observations"]) == (8, 10)


def test_services_that_are_too_many_count_as_others(monkeypatch: Any) -> None:
    monkeypatch.setattr(sums_module, "MOST_SERVICES", 2)
    costs = tuple((0, 0, service, NO_CORE, 1, (10, 20, 30, 1, 1)) for service in range(5))
    sums, lost = taken(2, networks=(bytes(32),), costs=costs)
    sums.fold()
    found = {key[1]: dict(each.costs) for _, key, each in sums.services.take()}
    assert not lost
    assert {service: costs[0] for service, costs in found.items()} == {
        0: 2,
        1: 2,
        OTHER_SERVICES: 6,
    }
    assert found[OTHER_SERVICES][1] == 60
