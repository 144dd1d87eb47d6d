"""How JamTART's answers behave at the edges, and what its dashboards ask in their own way."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from telemetry_twisted.api.grafana.given import (
    FAILURES,
    GROUPS,
    INTERVALS,
    Interval,
    Services,
    type_numbers,
)
from telemetry_twisted.timestamps import rfc3339
from tests.store.conftest import NOW, Feed
from tests.store.observed import FAILED, PACKAGE, STUCK
from tests.store.test_rest import Live, Make

from .shapes import FACTS

ONE, TWO, THREE = map(Feed.node_id, (1, 2, 3))


def test_groups_and_intervals_are_those_of_the_facts() -> None:
    meta = FACTS["meta"]
    assert {name: sorted(kinds) for name, kinds in GROUPS.items()} == meta["event_groups"]
    assert sorted(FAILURES) == meta["virtual_groups"]["failures"]
    assert [Interval.read(text) for text in meta["valid_intervals"]] == [*INTERVALS]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("99x", 60), ("", 60), ("0s", 60), ("-5m", 60), ("1", 60), ("5000ms", 6), ("500ms", 6),
        ("61999ms", 120), (" 7m ", 600), ("2d", 86400), ("31s", 60), ("13s", 18),
    ],
)  # fmt: skip
def test_any_interval_is_one_that_there_is(text: str, seconds: int) -> None:
    assert Interval.read(text) == seconds


def test_lists_of_types_and_services() -> None:
    assert type_numbers("{11,blocks}") == {11, *range(40, 48)}
    assert type_numbers(" Status , nothing, 9999, failures,") == {10} | FAILURES
    assert type_numbers("") == type_numbers("status?") == frozenset()
    assert Services.read("{10,0x0000000b,-1,x,4294967295}").numbers == {10, 11, 2**32 - 1}


@ensureDeferred
async def test_events_by_type_group_and_node(filled: Make, ask: Make) -> None:
    await filled()
    for asked, wanted in (
        ("", 115),
        ("nothing", 115),
        ("{11,blocks}", 9),
        ("%7B11%2Cblocks%7D", 115),
        ("failures", len(FAILURES)),
    ):
        found = await ask("timeseries", event_types=asked, interval="7003ms", surprise="yes")
        assert len({row["event_type"] for row in found}) == wanted
        assert {row["count"] for row in found} == {6}
    for group_by in ("node", "node_id"):
        found = await ask("timeseries", group_by=group_by, event_types=92)
        assert {row["node_id"]: row["count"] for row in found} == {ONE: 1, TWO: 2, THREE: 3}
    assert {row["count"] for row in await ask("timeseries", node=TWO)} == {2}
    assert await ask("timeseries", node="nobody") == []
    found = await ask("timeseries", group_by="core", event_types="92,94")
    assert [(row["core"], row["count"]) for row in found] == [(5, 8)]
    assert {row["count"] for row in await ask("timeseries", core="")} == {6}
    found = await ask("timeseries", core=5, event_types="92")
    assert [row["count"] for row in found] == [4]
    assert await ask("timeseries", core=3) == []
    await ask("timeseries", 400, group_by="invalid")


@ensureDeferred
async def test_windows_of_events(feeding: Make, ask: Make, clock: Clock) -> None:
    def tell(feed: Feed) -> None:
        feed.connect(1)
        feed.counts({1: {92: 3}}, at=NOW)
        feed.counts({1: {92: 2}}, at=NOW + 35)

    await feeding(tell)
    clock.advance(40)
    for interval, wanted in (("30s", [3, 2]), ("1m", [5]), ("6s", [3, 2])):
        found = await ask("timeseries", interval=interval, event_types=92)
        assert [row["count"] for row in found] == wanted


@ensureDeferred
async def test_ranking_of_nodes(feeding: Make, ask: Make) -> None:
    def tell(feed: Feed) -> None:
        for handle in (1, 2, 3):
            feed.connect(handle)
        feed.counts({1: {92: 1}, 2: {92: 3, 11: 9}, 3: {11: 1}})

    await feeding(tell)
    for asked in ({}, {"interval": "30s"}, {"interval": "1m"}):
        found = await ask("events-by-node", event_types="{92,tickets}", **asked)
        assert [(row["node_id"], row["share"]) for row in found] == [(TWO, 0.75), (ONE, 0.25)]
    (first,) = await ask("events-by-node", event_types=92, limit=1)
    assert (first["share"], first["address"]) == (0.75, "127.0.0.1:5002")
    assert len(await ask("events-by-node", event_types="")) == 3


@ensureDeferred
async def test_a_page_of_events(filled: Make, ask: Make) -> None:
    await filled()
    found = await ask("events", limit=2)
    assert [row["event_type"] for row in found["events"]] == [92, 11]
    pagination = found["pagination"]
    assert (pagination["offset"], pagination["limit"], pagination["has_more"]) == (0, 2, True)
    assert pagination["total"] >= 3
    assert [*found["events"][0]["data"]] == ["WorkPackageFailed"]
    found = await ask("events", limit=2, offset=2, event_types="")
    assert [row["event_type"] for row in found["events"]] == [10]
    assert (await ask("events", limit=9999))["pagination"]["limit"] == 2000
    found = await ask("events", node=TWO)
    assert [row["node_id"] for row in found["events"]] == [TWO]
    found = await ask("events", wp_hash=FAILED, event_types=92)
    assert found["events"][0]["data"] == {"WorkPackageFailed": {"reason": "no anchor"}}
    found = await ask("events", core=5, event_types="{109}")
    assert [row["event_type"] for row in found["events"]] == [109]


@ensureDeferred
async def test_funnel_and_packages(filled: Make, ask: Make, post: Make) -> None:
    await filled()
    funnel = await ask("wp-funnel")
    (over_time,) = await ask("wp-funnel-timeseries")
    assert {**funnel, "ts": over_time["ts"]} == over_time
    assert (funnel["received"], funnel["distributed"], funnel["failed"]) == (3, 1, 1)
    (only,) = await ask("wp-funnel-timeseries", core=6)
    assert (only["total"], only["failed"]) == (1, 1)
    (bottlenecks,) = await ask("bottlenecks")
    assert len(bottlenecks["stage_timing"]) == 6
    active = await ask("wp-active")
    assert [row["wp_hash"] for row in active["work_packages"]] == [
        STUCK[2:], FAILED[2:], PACKAGE[2:],
    ]  # fmt: skip
    assert active["failure_breakdown"] == [{"reason": "no anchor", "count": 1}]
    assert await ask("wp/" + 64 * "e") == {"summary": None, "events": []}
    await ask("wp/xyz", 400)
    one = await ask(f"wp/{PACKAGE}")
    kinds = Counter(event["event_type"] for event in one["events"])
    assert (kinds[94], kinds[109], one["summary"]["stage"]) == (2, 1, 5)
    found = await post("/api/grafana/wp/batch", [PACKAGE, STUCK[2:], 64 * "e", "?"])
    assert [row["wp_hash"] for row in found] == [STUCK[2:], PACKAGE[2:]]
    await post("/api/grafana/wp/batch", {"hashes": []}, 400)


@ensureDeferred
async def test_services(filled: Make, ask: Make) -> None:
    await filled()
    for path in ("services", "services/timeseries"):
        assert [row["service_id"][-1] for row in await ask(path)] == ["7", "8", "9"]
        assert [row["service_id"] for row in await ask(path, service="{7,x}")] == ["0x00000007"]
        assert await ask(path, service="") == []
    (row,) = await ask("services", service="0x00000007")
    assert (row["authorizations"], row["refinements"], row["executions"]) == (2, 2, 2)
    execution = await ask("execution")
    assert {(row["service_id"], row["phase"]) for row in execution["by_service"]} == {
        (7, "authorization"), (7, "refinement"), (7, "accumulation"),
    }  # fmt: skip


@ensureDeferred
async def test_guarantors(filled: Make, ask: Make) -> None:
    await filled()
    found = await ask("validator-profiling")
    assert [row["node_id"] for row in found["nodes"]] == [THREE, TWO, ONE]
    assert [row["slowdown_factor"] for row in found["nodes"]] == [1.5, 1.0, 0.5]
    first = await ask("validator-profiling", limit=1)
    assert [row["node_id"] for row in first["nodes"]] == [THREE]
    assert first["network_avg_total_ms"] == found["network_avg_total_ms"]
    last = await ask("validator-profiling", sort="asc", core=5)
    assert [row["node_id"] for row in last["nodes"]] == [ONE, TWO]
    (of_two,) = await ask("validator-profiling-timeseries", node=TWO)
    assert (of_two["wp_count"], of_two["avg_total_ms"]) == (2, 18.0)


@ensureDeferred
async def test_blocks(filled: Make, ask: Make) -> None:
    await filled()
    found = await ask("blocks/convergence")
    assert [row["event_type"] for row in found] == [11, 12, 42, 43]
    assert {row["event_type"] for row in await ask("blocks/convergence", event_type=11)} == {11}
    assert await ask("blocks/convergence", event_type=99) == []
    (contents,) = await ask("blocks/contents")
    assert (contents["num_guarantees"], contents["extrinsic_size"]) == (3, 2048)
    (row,) = await ask("guarantee-discards")
    assert (row["reason"], row["count"]) == ("TooManyGuarantees(3)", 1)


@ensureDeferred
async def test_nodes(filled: Make, ask: Make, live: Live) -> None:
    await filled()
    found = await ask("nodes")
    assert [row["is_connected"] for row in found] == [True, True, True, False]
    assert all(row["event_count"] == row["total_event_count"] for row in found)
    live.nodes = live.nodes[1:]
    found = await ask("nodes")
    assert {row["node_id"] for row in found if row["is_connected"]} == {TWO, THREE}
    for path in ("node-stats", "node-stats-aggregate"):
        for asked in (TWO, f"{{{TWO}}}"):
            assert [row["node_id"] for row in await ask(path, node=asked)] == [TWO]
        assert await ask(path, node="") == []
    (together,) = await ask("node-stats-aggregate")
    assert "node_id" not in together
    assert (together["min_peers"], together["max_peers"]) == (1, 3)


@ensureDeferred
async def test_health(empty: Make, ask: Make) -> None:
    await empty()
    health = await ask("network-health")
    assert (health["health_score"], health["overall_health"]) == (80, "degraded")
    assert [row["name"] for row in health["components"]] == [
        "block_production", "work_packages", "data_availability", "connectivity",
        "event_throughput",
    ]  # fmt: skip
    rates = await ask("failure-rates")
    assert len(rates["by_category"]) == 6
    found = await ask("guarantees")
    assert {*found["success_rates"].values()} == {1.0}
    assert len(await ask("event-types")) == 115
    assert {row["group"] for row in await ask("event-types", group="{blocks}")} == {"blocks"}
    assert await ask("event-types", group="") == []


@ensureDeferred
async def test_how_many_are_in_sync(feeding: Make, ask: Make) -> None:
    def tell(feed: Feed) -> None:
        feed.connect(1)
        feed.connect(2)
        feed.fact(1, "BestBlockChanged", NOW + 1, slot=100, hash="0x" + 64 * "a")
        feed.fact(2, "BestBlockChanged", NOW + 1, slot=98, hash="0x" + 64 * "b")

    await feeding(tell)
    (row,) = await ask("sync-timeline")
    assert (row["total_nodes"], row["synced_nodes"], row["network_slot"]) == (2, 2, 100)


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("timeseries", {"start": "yesterday"}),
        ("timeseries", {"start": rfc3339(NOW + 1), "end": rfc3339(NOW)}),
        ("cores", {"core": "x"}),
        ("cores/x", {}),
        ("onchain/services/x", {}),
        ("onchain/services/{}", {}),
    ],
)
@ensureDeferred
async def test_what_is_not_understood(
    empty: Make, ask: Make, path: str, given: dict[str, Any]
) -> None:
    await empty()
    answer = await ask(path, 400, **given)
    assert answer["error"]["status"] == 400


@ensureDeferred
async def test_what_is_needed_is_asked_for(empty: Make, fetch: Make) -> None:
    await empty()
    code, answer = await fetch("/api/grafana/stats")
    assert (code, answer["error"]["message"][:16]) == (400, "start is missing")


@ensureDeferred
async def test_networks_are_not_added_up(filled: Make, ask: Make, live: Live) -> None:
    await filled()
    assert (await ask("wp-funnel"))["total"] == 3
    live.nodes = [Feed.node_id(5)]
    assert (await ask("wp-funnel"))["total"] == 0
    assert [row["node_id"] for row in await ask("nodes")] == [Feed.node_id(5)]
    assert await ask("timeseries") == []
    known = "0x" + 64 * "0"
    assert (await ask("wp-funnel", network=known))["total"] == 3


@ensureDeferred
async def test_long_ranges(filled: Make, ask: Make, clock: Clock) -> None:
    await filled()
    clock.advance(86400)
    for days in (2, 30, 300):
        given = {"start": rfc3339(NOW - days * 86400), "end": rfc3339(NOW + 86400)}
        for path in ("timeseries", "events-by-node", "cores", "services/timeseries"):
            assert await ask(path, interval="6s", **given), path
        for path in ("shard-latency", "wp-funnel-timeseries", "guarantee-convergence"):
            assert await ask(path, interval="6s", **given), path
