"""What is answered of what was observed: sums of all that came, whatever buckets they are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from telemetry_twisted.jip3.bins import bin_of, percentiles
from telemetry_twisted.jip3.observed import (
    LEAVES,
    NO_CORE,
    CoreCount,
    Cost,
    LatencyCount,
    OutcomeCount,
)
from telemetry_twisted.jip3.observed import (
    Clock as NodeClock,
)
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read import chains, clocks, cores, latencies, services
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.read.networks import Network, find_network
from telemetry_twisted.store.read.nodes import node_number
from telemetry_twisted.store.read.sums import Subject
from telemetry_twisted.store.schema.policy import DAY, HOUR
from telemetry_twisted.store.write.writer import MAINTENANCE_SECONDS
from tests.store.conftest import Feed, genesis

Make = Callable[..., Any]
IMPORT, CONNECT_OUT = latencies.NUMBERS["import"], latencies.NUMBERS["connect_out"]
HANDLES = (1, 2, 3)
CORE = 7


class Truth:
    """What is told to the writer, as it is."""

    def __init__(self) -> None:
        self.times: dict[int, list[int]] = {handle: [] for handle in HANDLES}
        self.dice = Random(3)

    def second(self, handle: int) -> dict[str, Any]:
        """What a node did within a second; those of higher handles are slower."""
        times = [self.dice.randrange(100, 90_000) * handle for _ in range(4)]
        self.times[handle] += times
        return {
            "networks": (bytes.fromhex(genesis(handle // 3)[2:]),),
            "latencies": (
                LatencyCount(handle, CONNECT_OUT, NO_CORE, bin_of(5000), 1, 5000),
                *(LatencyCount(handle, IMPORT, CORE, bin_of(time), 1, time) for time in times),
            ),
            "outcomes": (
                OutcomeCount(handle, 24, 0, NO_CORE, 1),
                OutcomeCount(handle, 24, 1, NO_CORE, 2),
                OutcomeCount(handle, 90, 2, CORE, 3),
            ),
            "cores": (
                CoreCount(handle, 94, CORE, 5),
                CoreCount(handle, 105, CORE, handle),
                CoreCount(handle, 92, CORE + 1, 1),
            ),
            "costs": (
                Cost(0, 1, 9, CORE, 2, tuple(range(10, 10 + len(LEAVES[1])))),
                Cost(0, 2, 8, NO_CORE, 1, (1,) * len(LEAVES[2])),
            ),
            "withheld": ((handle, 2, 3),),
            "clocks": (NodeClock(handle, handle * 1000, handle * 9000),),
        }


@pytest.fixture
def observed(
    database: Database, make_writer: Make, make_feed: Make, commit: Make, clock: Clock
) -> Make:
    """Has nodes 1 and 2 of one network, and 3 of another, do the same 8 times in so many seconds;
    returns what they did, and when they began."""

    async def fill(seconds: int) -> tuple[Truth, float]:
        writer = make_writer(database)
        feed = make_feed(writer)
        await commit(writer)
        truth, began = Truth(), clock.seconds()
        for handle in HANDLES:
            feed.connect(handle, genesis=genesis(handle // 3))
        for _ in range(8):
            for handle in HANDLES:
                feed.observed(clock.seconds(), **truth.second(handle))
            await commit(writer)
            clock.advance(max(seconds / 8, MAINTENANCE_SECONDS))
            await commit(writer)
        return truth, began

    return fill


def distribution(times: list[int]) -> dict[str, Any]:
    """What is to be told of some times, in microseconds."""
    bins = Counter(map(bin_of, times))
    shares = percentiles(bins, latencies.SHARES)
    ordered = sorted(times)
    for share, found in zip(latencies.SHARES, shares, strict=True):
        exact = ordered[max(-(-len(ordered) * round(share * 100) // 100) - 1, 0)]
        assert found is not None
        assert abs(found - exact) <= exact / 20
    return {
        "count": len(times),
        "mean_ms": round(sum(times) / len(times) / 1000, 3),
        **{
            f"p{round(share * 100)}_ms": found / 1000
            for share, found in zip(latencies.SHARES, shares, strict=True)
            if found is not None
        },
    }


def figures(found: latencies.Distribution) -> dict[str, Any]:
    return {name: getattr(found, name) for name in latencies.Distribution.__struct_fields__}


async def the_network(history: History, number: int) -> Network:
    found = await find_network(history, genesis(number))
    assert found is not None
    return found


@pytest.mark.parametrize("seconds", [60, 3 * DAY])
@ensureDeferred
async def test_all_that_was_observed_is_told(
    observed: Make, history: History, clock: Clock, seconds: int
) -> None:
    truth, began = await observed(seconds)
    span = (began, clock.seconds())
    network = await the_network(history, 0)
    node = await node_number(history, Feed.node_id(2))
    of_both = truth.times[1] + truth.times[2]
    for subject, times in (
        (Subject(network), of_both),
        (Subject(network, core=CORE), of_both),
        (Subject(network, node=node), truth.times[2]),
        (Subject(await the_network(history, 1)), truth.times[3]),
    ):
        answer = await latencies.latencies(history, subject, *span)
        by_name = {each.name: each for each in answer.latencies}
        assert figures(by_name["import"]) == distribution(times)
        assert ("connect_out" in by_name) == (subject.core is None)
        chart = await latencies.chart(history, subject, "import", *span)
        assert sum(each.count for each in chart.distributions) == len(times)
        assert len(chart.distributions) <= 362


@ensureDeferred
async def test_nodes_are_told_the_slowest_first(
    observed: Make, history: History, clock: Clock
) -> None:
    truth, began = await observed(HOUR)
    span = (began, clock.seconds())
    network = await the_network(history, 0)
    ranked = await latencies.nodes(history, network, "import", *span, 0, 1)
    assert [each.node_id for each in ranked.nodes] == [Feed.node_id(2)]
    assert ranked.next == 1
    assert figures(ranked.nodes[0]) == distribution(truth.times[2])
    of_both = distribution(truth.times[1] + truth.times[2])
    assert ranked.network_mean_ms == of_both["mean_ms"]
    ranked = await latencies.nodes(history, network, "import", *span, 1, 5)
    assert ([each.node_id for each in ranked.nodes], ranked.next) == ([Feed.node_id(1)], None)
    nothing = await latencies.nodes(history, network, "tickets", *span, 0, 5)
    assert (nothing.network_mean_ms, nothing.nodes) == (None, [])


@pytest.mark.parametrize("seconds", [60, 3 * DAY])
@ensureDeferred
async def test_chains_and_connections_and_work(
    observed: Make, history: History, clock: Clock, seconds: int
) -> None:
    _, began = await observed(seconds)
    span = (began, clock.seconds())
    network = await the_network(history, 0)
    found = await chains.chains(history, Subject(network), *span)
    assert {each.event_type: (each.success, each.failure) for each in found.chains} == {
        24: (16, 32),
        90: (0, 0),
    }
    assert [each.unfinished for each in found.chains] == [0, 48]
    assert found.left_out is not None
    assert (found.left_out.orphans, found.left_out.rows) == (48, 0)
    of_core = await chains.chains(history, Subject(network, core=CORE), *span)
    assert ([each.event_type for each in of_core.chains], of_core.left_out) == ([90], None)
    told = await chains.connections(history, Subject(network), *span)
    out = told.connecting_out
    assert (out.success, out.failure, sum(out.succeeded), sum(out.failed)) == (16, 32, 16, 32)
    assert (out.latency.count, out.latency.mean_ms, told.connecting_in.success) == (16, 5.0, 0)
    for core, counts in ((None, (80, 24, 16)), (CORE, (80, 24, 0)), (CORE + 1, (0, 0, 16))):
        funnel = await chains.funnel(history, Subject(network, core=core), *span)
        totals = {each.name: each.total for each in funnel.stages}
        assert (totals["received"], totals["guaranteed"], totals["failed"]) == counts
        assert all(sum(each.counts) == each.total for each in funnel.stages)


@pytest.mark.parametrize("seconds", [60, 3 * DAY])
@ensureDeferred
async def test_cores_services_and_clocks(
    observed: Make, history: History, clock: Clock, seconds: int
) -> None:
    truth, began = await observed(seconds)
    span = (began, clock.seconds())
    network = await the_network(history, 0)
    listed = await cores.cores(history, network, *span, 0, 1)
    assert [(each.core, each.work_packages, each.guarantees) for each in listed.cores] == [
        (CORE, 80, 24)
    ]
    assert listed.next == CORE + 1
    rest = await cores.cores(history, network, *span, CORE + 1, 5)
    assert [(each.core, each.failed) for each in rest.cores] == [(CORE + 1, 16)]
    one = await cores.core(history, network, CORE, *span)
    assert [(each.node_id, each.guarantees) for each in one.guarantors] == [
        (Feed.node_id(2), 16),
        (Feed.node_id(1), 8),
    ]
    assert (one.refine.count, one.refine.gas_used, one.refine.load_ns) == (32, 160, 192)
    assert figures(one.latencies[0]) == distribution(truth.times[1] + truth.times[2])
    cost = await services.services(history, network, *span, 0, 1)
    assert [(each.service, each.gas_used) for each in cost.services] == [(9, 160)]
    assert cost.next == 1
    in_detail = await services.service(history, network, 9, *span)
    names = LEAVES[1]
    assert in_detail.refine.sums == {
        name: 16 * at for name, at in zip(names, range(10, 10 + len(names)), strict=True)
    }
    assert sum(in_detail.charts["refine"].gas_used) == 160
    assert (in_detail.refine.count, in_detail.accumulate.count) == (32, 0)
    found = await clocks.clocks(history, network, *span, 0, 5)
    assert [(each.node_id, each.least_ms, each.greatest_ms) for each in found.clocks] == [
        (Feed.node_id(2), 2.0, 18.0),
        (Feed.node_id(1), 1.0, 9.0),
    ]


@ensureDeferred
async def test_the_network_that_is_meant(
    database: Database, observed: Make, history: History
) -> None:
    await database.open()
    assert await find_network(history, None) == Network(0, None)
    nothing = await latencies.latencies(history, Subject(Network()), 1, 2)
    assert (nothing.genesis, nothing.latencies) == (None, [])
    await observed(1)
    known = await find_network(history, None)
    assert known is not None
    assert known.genesis == genesis(0)
    assert await find_network(history, genesis(5)) is None
