"""The REST API over HTTP, on both databases."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
import treq
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics,
)
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import capturedLogs, formatEvent
from twisted.web.client import HTTPConnectionPool

from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.rest.routes import history_routes
from telemetry_twisted.api.site import api_site, basic_routes
from telemetry_twisted.api.websocket.frames import event_renderer
from telemetry_twisted.api.websocket.subscribers import Subscribers
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.node_totals import NodeTotals, window_of
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.quiet import AT_MOST
from telemetry_twisted.store.database.interface import Database
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.turns import Turns
from tests.store.observed import FIRST_SLOT, PACKAGE, STUCK, tell

NOW = 1_795_506_120
README = Path(__file__).parents[2] / "README.md"
LATER = {"telemetry_connections_ended_total", "telemetry_latency_seconds_bucket"}
"""What only a server that was spoken to has to tell."""

Make = Callable[..., Any]
HASH = "0x" + 64 * "a"


NODES = [NodeTotals(f"{number:064x}", events=number) for number in range(3)]
NODES[1].connection = Node(NODES[1].node_id, 0, cast(Any, None), 0, "x:1", NOW, {}, peers=4)
NODES[1].connection.best = NODES[1].connection.finalized = {"slot": 5, "hash": "0x00"}
NODES[1].connection.synced = True
NODES[1].clock_told(window_of(NOW), 2_000)
"""Whom Prometheus is told of: the second node is connected."""


NETWORK = {
    "nodes": {"a": {"best": 7, "finalized": 5}},
    "chains": {"unfinished_percent": 50},
    "assurances": {"late": 3},
    "clocks": {"off": 2},
    "funnel": {"packages": 4, "failed": 1},
}


class Live:
    """Figures of a server that has two nodes."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.store: dict[str, Any] = {
            "state": "ok",
            "problem": None,
            "queue_events": 3,
            "raw_kept_share": 0.5,
            "raw_events_withheld": 7,
            "pending": {"records": 2, "bytes": 300},
            "lost": {"events": 11, "facts": 0},
            "at_risk": {"events": 5},
        }
        self.wrong: list[str] = []

    def stats(self) -> dict[str, Any]:
        return {
            "database": self.store,
            "broadcaster": {"total_events_broadcast": 12},
            "connections": {"total": len(self.nodes), "nodes": self.nodes},
        }

    def problems(self) -> list[str]:
        return self.wrong

    def network(self) -> dict[str, Any]:
        return {"networks": {HASH: NETWORK}}

    def alerts(self) -> dict[str, Any]:
        return {"alerts": [], "count": 0}

    def metrics(self) -> dict[str, Any]:
        return {
            "uptime_seconds": 5,
            "events_per_second": 2.5,
            "broadcaster": {
                "total_events_broadcast": 12,
                "active_subscribers": 1,
                "node_channels": 2,
                "events_in_buffer": 3,
                "dropped_events": 4,
                "undelivered_events": 5,
            },
            "nodes": len(self.nodes),
            "decode_errors": 6,
            "violations": 7,
            "ring": {"events": 8, "bytes": 9, "max_events": 10, "max_bytes": 11},
            "internal_errors": {"history": 2},
            "alerts": {"node_gone": 64, "behind": 0},
            "processes": [
                {
                    "name": "ingestion 0",
                    "state": "running",
                    "since": "2026-11-25T18:00:00.500000Z",
                    "restarts": 3,
                },
                {"name": "store", "state": "late", "since": None, "restarts": 0},
            ],
            "ingestion": [{"pid": 1, "connections": 2, "events": 12, "cpu_seconds": 0.5}],
            "store": self.store,
            "alert_receivers": [
                {
                    "kind": "webhook",
                    "receiver": "https://example.org",
                    "delivered": 2,
                    "failed": 1,
                    "refused": 0,
                }
            ],
        }


@pytest.fixture
def live() -> Live:
    """What the server says of itself."""
    return Live()


@pytest.fixture
def base(database: Database, live: Live, clock: Clock) -> Iterator[str]:
    """The address of a server that answers from the database."""
    ring = Ring(1000, 1 << 20, event_renderer(clock.seconds), 100)
    nobody, errors = cast(Any, None), InternalErrors(clock)
    real = cast(Any, reactor)
    turns, connections = Turns(real), Connections(100, 100, 100, real)
    subscribers = Subscribers(ring, nobody, nobody, 10, clock, clock.seconds, errors, turns)
    app = basic_routes(subscribers, list)
    history = History(database, Policy(), clock.seconds, turns)
    history_routes(app, history, live, clock, clock.seconds, errors, connections, lambda: NODES)
    site = api_site(app, connections, turns, real)
    port = cast(Any, reactor).listenTCP(0, site, interface="127.0.0.1")
    yield f"http://127.0.0.1:{port.getHost().port}"
    pytest_twisted.blockon(port.stopListening())


@pytest.fixture
def fetch(base: str) -> Iterator[Make]:
    """Asks the server; gives the status and the JSON."""
    pool = HTTPConnectionPool(reactor, persistent=True)

    async def get(path: str, **parameters: Any) -> tuple[int, Any]:
        response = await treq.get(base + path, params=parameters, pool=pool)
        return response.code, await treq.json_content(response)

    yield get
    pytest_twisted.blockon(pool.closeCachedConnections())


@pytest.fixture
def filled(
    database: Database, make_writer: Make, make_feed: Make, commit: Make, live: Live
) -> Make:
    """Has two nodes do a little of everything."""

    async def fill() -> tuple[str, str]:
        writer = make_writer(database)
        feed = make_feed(writer)
        await commit(writer)
        feed.connect(1, params={"core_count": 2})
        feed.connect(2, implementation_name="Other")
        feed.gone(2, NOW + 1)
        feed.counts({1: {10: 5, 22: 1}, 2: {11: 1}}, at=NOW)
        feed.fact(1, "Status", NOW, num_peers=1, num_val_peers=1, num_sync_peers=1,
                  num_guarantees=[0, 1], num_shards=1, shards_size=1, num_preimages=1,
                  preimages_size=1)  # fmt: skip
        feed.fact(1, "BestBlockChanged", NOW, slot=7, hash=HASH)
        feed.fact(1, "FinalizedBlockChanged", NOW, slot=5, hash=HASH)
        feed.fact(1, "SyncStatusChanged", NOW, synced=True)
        feed.fact(1, "ConnectInFailed", NOW, connecting_id=1, reason='timed "out"')
        feed.faults(
            {"node_id": feed.node_id(1), "kind": "decode_error", "discriminator": 11,
             "offset": 9, "reason": "cut short", "count": 3, "excerpt": "00ff"}
        )  # fmt: skip
        feed.sampled(10, 4)
        for _ in range(3):
            feed.chunk((1, 10), (2, 11))
        await commit(writer)
        live.nodes = [feed.node_id(1)]
        return feed.node_id(1), feed.node_id(2)

    return fill


@ensureDeferred
async def test_health_names_what_is_wrong(filled: Make, fetch: Make, live: Live) -> None:
    await filled()
    code, health = await fetch("/api/health/detailed")
    assert (code, health["status"], health["problems"]) == (200, "ok", [])
    live.wrong = ["node x has been gone for 31 s"]
    _, health = await fetch("/api/health/detailed")
    assert (health["status"], health["problems"]) == ("degraded", live.wrong)


@ensureDeferred
async def test_stats_and_network(filled: Make, fetch: Make) -> None:
    await filled()
    _, stats = await fetch("/api/stats")
    assert stats["history"]["nodes_known"] == 2
    assert stats["server"]["broadcaster"]["total_events_broadcast"] == 12
    _, network = await fetch("/api/network")
    assert network["nodes"] == {"known": 2, "connected": 1, "synced": 1}
    assert network["best"] == {"slot": 7, "hash": HASH, "nodes": 1}


@ensureDeferred
async def test_nodes(filled: Make, fetch: Make) -> None:
    one, two = await filled()
    _, first = await fetch("/api/nodes", limit=1)
    _, second = await fetch("/api/nodes", limit=1, cursor=first["next"])
    assert second["next"] is None
    shown = [*first["nodes"], *second["nodes"]]
    assert [(node["node_id"], node["connected"]) for node in shown] == [(one, True), (two, False)]
    for parameters, wanted in (
        ({"connected": "true"}, [one]),
        ({"connected": "false"}, [two]),
        ({"implementation": "Other"}, [two]),
    ):
        _, answer = await fetch("/api/nodes", **parameters)
        assert [node["node_id"] for node in answer["nodes"]] == wanted


@ensureDeferred
async def test_one_node(filled: Make, fetch: Make) -> None:
    one, _ = await filled()
    _, node = await fetch(f"/api/nodes/{one}")
    assert (node["best"]["slot"], node["status"]["num_peers"], node["synced"]) == (7, 1, True)
    assert node["info"]["params"] == {"core_count": 2}
    code, answer = await fetch("/api/nodes/" + 64 * "e")
    assert code == 404
    assert answer == {"error": {"status": 404, "message": f"there was never a node {64 * 'e'}"}}
    code, answer = await fetch("/api/nodes/me")
    assert (code, answer["error"]["message"]) == (
        400, "node_id: expected a node ID: 64 lowercase hex digits",
    )  # fmt: skip


@ensureDeferred
async def test_events_page_by_page(filled: Make, fetch: Make) -> None:
    one, _ = await filled()
    seen: list[int] = []
    parameters: dict[str, Any] = {"limit": 4}
    while True:
        _, page = await fetch("/api/events", **parameters)
        assert page["count"] == len(page["events"])
        assert page["sampled"] == {"seen": 10, "kept": 4}
        seen += [event["id"] for event in page["events"]]
        if page["next"] is None:
            break
        parameters["cursor"] = page["next"]
    assert seen == [6, 5, 4, 3, 2, 1]
    _, page = await fetch(f"/api/nodes/{one}/events")
    assert page["events"][0] == {
        "id": 5, "node_id": one, "event_id": 5, "event_type": 10,
        "timestamp": "2026-11-24T07:42:00.000000Z", "event": {"Status": {"timestamp": 1}},
    }  # fmt: skip
    for parameters, wanted in (
        ({"type": "11"}, [6, 4, 2]),
        ({"type": "BestBlockChanged", "node": one}, []),
        ({"group": "status"}, [6, 5, 4, 3, 2, 1]),
        ({"group": "networking"}, []),
        ({"from": "2026-11-24T07:41:00+00:00", "to": "2026-11-24T07:41:59.5Z"}, []),
        ({"from": "-1m"}, [6, 5, 4, 3, 2, 1]),
    ):
        _, page = await fetch("/api/events", **parameters)
        assert [event["id"] for event in page["events"]] == wanted


@ensureDeferred
async def test_charts(filled: Make, fetch: Make) -> None:
    one, two = await filled()
    _, by_group = await fetch("/api/metrics/timeseries", **{"from": "-1m"})
    assert by_group["resolution_seconds"] == 10
    assert {row["group"]: row["total"] for row in by_group["series"]} == {
        "status": 6, "networking": 1,
    }  # fmt: skip
    _, by_type = await fetch("/api/metrics/timeseries", group_by="type", node=two)
    assert [(row["name"], row["total"]) for row in by_type["series"]] == [("BestBlockChanged", 1)]
    _, by_node = await fetch("/api/metrics/timeseries", group_by="node")
    assert [(row["node_id"], row["total"]) for row in by_node["series"]] == [(one, 6), (two, 1)]
    _, types = await fetch("/api/event-types")
    assert len(types["event_types"]) == len(TABLE.events)
    assert sum(row["count"] for row in types["event_types"]) == 7
    _, timeline = await fetch(f"/api/nodes/{one}/timeline")
    assert timeline["states"][0]["best"] == 7
    code, _ = await fetch("/api/metrics/timeseries", node=64 * "e")
    assert code == 404
    code, _ = await fetch("/api/metrics/timeseries", group_by="node", type=10)
    assert code == 400


@ensureDeferred
async def test_blocks_failures_and_faults(filled: Make, fetch: Make) -> None:
    one, _ = await filled()
    _, slot = await fetch("/api/slots/7")
    assert (slot["best"]["nodes"], slot["finalized"]) == (1, None)
    assert (await fetch("/api/slots/8"))[0] == 404
    _, spread = await fetch("/api/blocks/propagation", kind="finalized")
    assert [point["slot"] for point in spread["points"]] == [5]
    _, failures = await fetch("/api/failures")
    assert failures["failures"] == [
        {"event_type": 22, "name": "ConnectInFailed", "reason": 'timed "out"', "count": 1}
    ]
    _, faults = await fetch("/api/protocol-errors", node=one)
    assert [(row["count"], row["excerpt"]) for row in faults["protocol_errors"]] == [(3, "00ff")]


@pytest.mark.parametrize(
    "path",
    [
        "chains", "latencies", "latencies/import", "latencies/import/nodes", "connections",
        "clocks", "funnel", "cores", "cores/1", "services", "services/1",
    ],
)  # fmt: skip
@ensureDeferred
async def test_what_was_observed(filled: Make, fetch: Make, path: str) -> None:
    await filled()
    code, answer = await fetch(f"/api/{path}")
    assert (code, answer["genesis"]) == (200, None)
    code, answer = await fetch(f"/api/{path}", network=HASH)
    assert (code, answer["error"]["message"]) == (
        404, f"nothing was ever heard of a network {HASH}",
    )  # fmt: skip


@ensureDeferred
async def test_a_latency_that_there_is_not(filled: Make, fetch: Make) -> None:
    await filled()
    code, answer = await fetch("/api/latencies/patience")
    assert code == 404
    assert answer["error"]["message"].startswith("there is no latency patience; there are connect")


@pytest.fixture
def observed(database: Database, make_writer: Make, make_feed: Make, commit: Make) -> Make:
    """Has two networks do a little of everything."""

    async def observe() -> None:
        writer = make_writer(database)
        await commit(writer)
        tell(make_feed(writer))
        await commit(writer)

    return observe


@ensureDeferred
async def test_networks(observed: Make, fetch: Make, live: Live, clock: Clock) -> None:
    await observed()
    live.nodes = ["05" * 32]
    clock.advance(20)
    _, known = await fetch("/api/networks")
    assert [each["connected"] for each in known["networks"]] == [0, 1]
    first, second = (each["genesis"] for each in known["networks"])
    for genesis, number in ((None, 3), (first, 3), (second, 1)):
        of = f"&network={genesis}" if genesis else ""
        _, found = await fetch(f"/api/slots?from=-1m{of}")
        assert sum(not each["empty"] for each in found["slots"]) == number
    status, wrong = await fetch(f"/api/slots?network=0x{64 * '9'}")
    assert (status, "ever heard of a network" in wrong["error"]["message"]) == (404, True)
    assert (await fetch("/api/slots?network=x"))[0] == 400
    _, found = await fetch(f"/api/slots/{FIRST_SLOT}/nodes")
    assert len(found["nodes"]) == 4
    assert (await fetch("/api/slots/8/nodes"))[0] == 404
    _, found = await fetch("/api/work-packages?from=-1m&stuck=false&core=5")
    assert [each["work_package"] for each in found["work_packages"]] == [STUCK, PACKAGE]
    _, found = await fetch(f"/api/work-packages/{PACKAGE[2:]}")
    assert found["summary"]["outcome"] == "distributed"
    assert (await fetch(f"/api/work-packages/{PACKAGE}?network={second}"))[0] == 404
    _, found = await fetch("/api/guarantees?from=-1m")
    assert [each["receptions"] for each in found["guarantees"]] == [3]
    _, found = await fetch("/api/assurances?from=-1m")
    (anchor,) = found["anchors"]
    _, found = await fetch(f"/api/assurances/{anchor['anchor']}")
    assert len(found["senders"]) == 1
    assert (await fetch(f"/api/assurances/{HASH}"))[0] == 404
    _, found = await fetch("/api/networks/health")
    assert found["verdict"] in ("healthy", "degraded", "failing")


@ensureDeferred
async def test_live_figures(fetch: Make, live: Live) -> None:
    assert await fetch("/api/metrics/live") == (200, live.metrics())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/events?from=yesterday", "from: expected a time such as"),
        ("/api/events?from=2026-99-99T00:00:00Z", "from: expected a time such as"),
        ("/api/events?from=-5m&to=-10m", "from must be before to"),
        ("/api/events?limit=0", "limit: expected a whole number from 1 to 500"),
        ("/api/events?limit=5&limit=6", "limit is given 2 times, 1 at most"),
        ("/api/events?type=9999", "type: expected the number or the name of an event type"),
        ("/api/events?group=mine", "group: expected one of meta, status"),
        ("/api/events?cursor=1.2", "cursor: expected what an answer gave as next"),
        ("/api/events?form=-1h", "unknown parameter 'form'; accepted: from, to, type, group"),
        ("/api/events?from=%ff", "the query is not UTF-8"),
        ("/api/nodes?connected=maybe", "connected: expected one of true, false"),
        ("/api/slots/x", "slot: expected a whole number from 0 to 4294967295"),
        ("/api/stats?x=1", "unknown parameter 'x'; accepted: none"),
        ("/api/metrics/stream?interval_ms=1", "interval_ms: expected a whole number from 500"),
        ("/api/latencies?network=main", "network: expected a genesis hash: 0x and 64 lowercase"),
        (f"/api/chains?core=1&node={64 * 'e'}", "node and core do not go together"),
        ("/api/cores/x", "core: expected a whole number from 0 to 65534"),
    ],
)  # fmt: skip
@ensureDeferred
async def test_what_is_not_understood(fetch: Make, path: str, message: str) -> None:
    code, answer = await fetch(path)
    assert (code, answer["error"]["status"]) == (400, 400)
    assert answer["error"]["message"].startswith(message)


@ensureDeferred
async def test_what_is_not_there(fetch: Make, base: str) -> None:
    code, answer = await fetch("/api/nothing")
    assert (code, answer["error"]["message"]) == (404, "there is nothing at /api/nothing")
    response = await treq.post(base + "/api/nodes", data=b"", persistent=False)
    assert response.code == 405
    assert (await treq.json_content(response))["error"]["status"] == 405


@ensureDeferred
async def test_database_that_does_not_answer(fetch: Make) -> None:
    with capturedLogs() as logs:
        for _ in range(AT_MOST + 3):
            code, answer = await fetch("/api/nodes")
            assert code == 503
            assert "the database does not answer now" in answer["error"]["message"]
    told = [text for text in map(formatEvent, logs) if "a request is not answered: " in text]
    assert len(told) == AT_MOST


@ensureDeferred
async def test_prometheus(base: str) -> None:
    response = await treq.get(base + "/metrics", persistent=False)
    text = (await treq.content(response)).decode()
    assert response.headers.getRawHeaders("content-type")[0].startswith("text/plain")
    figures = dict(re.findall(r"^([a-z_]+(?:\{[^}]*\})?) (.+)$", text, re.MULTILINE))
    for name, value in (
        ("telemetry_events_received_total", 12),
        ("telemetry_events_lagged_total", 5),
        ("telemetry_decode_errors_total", 6),
        ('telemetry_internal_errors_total{place="history"}', 2),
        ('telemetry_alerts{kind="node_gone"}', 64),
        ('telemetry_child_up{child="ingestion 0"}', 1),
        ('telemetry_child_up{child="store"}', 0),
        ('telemetry_child_state{child="store",state="late"}', 1),
        ('telemetry_child_state{child="store",state="running"}', 0),
        ('telemetry_child_since_seconds{child="ingestion 0"}', 1_795_629_600.5),
        ('telemetry_child_restarts_total{child="ingestion 0"}', 3),
        ("telemetry_subscribers", 1),
        ("telemetry_ring_bytes", 9),
        ("telemetry_store_up", 1),
        ("telemetry_store_queue_events", 3),
        ("telemetry_store_raw_events_withheld_total", 7),
        ("telemetry_store_pending_bytes", 300),
        ('telemetry_store_lost_total{what="events"}', 11),
        ('telemetry_store_at_risk{what="events"}', 5),
        ("telemetry_api_connections", 1),
        (f'telemetry_network_best_slot{{network="{HASH}"}}', 7),
        (f'telemetry_network_packages{{kind="failed",network="{HASH}"}}', 1),
        ('telemetry_api_connections_refused_total{kind="client"}', 0),
        ('telemetry_ingestion_cpu_seconds_total{process="0"}', 0.5),
    ):
        assert float(figures[name]) == value
    assert "process_resident_memory_bytes" in figures
    for number, node in enumerate(NODES):
        assert float(figures[f'telemetry_node_events_total{{node="{node.node_id}"}}']) == number


@ensureDeferred
async def test_what_prometheus_is_told_is_well_formed(base: str) -> None:
    headers: dict[bytes | str, bytes | str] = {
        "Accept": "application/openmetrics-text; version=1.0.0"
    }
    response = await treq.get(base + "/metrics", headers=headers, persistent=False)
    families = {
        family.name: family
        for family in openmetrics((await treq.content(response)).decode())
        if not family.name.startswith("process_")
    }
    assert len(families) > 30
    for name, family in families.items():
        assert re.fullmatch("telemetry(_[a-z0-9]+)+", name)
        assert family.documentation.endswith("."), f"{name} is not explained"
        assert family.type in ("counter", "gauge", "histogram", "summary")
        assert not re.search("_(total|count|sum|ms|millis|kib|mib|percent)$", name)
        assert re.search("[Bb]ytes|memory", family.documentation) is None or name.count("bytes")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels <= {
            "kind",
            "place",
            "child",
            "state",
            "process",
            "what",
            "receiver",
            "outcome",
            "node",
            "network",
        }
    named = set(re.findall("telemetry_[a-z_]+", README.read_text()))
    samples = {sample.name for family in families.values() for sample in family.samples}
    assert named - {"telemetry_twisted"} <= samples | LATER


@ensureDeferred
async def test_stream_of_metrics(base: str, clock: Clock, until: Make) -> None:
    response = await treq.get(base + "/api/metrics/stream?interval_ms=500", persistent=False)
    assert response.headers.getRawHeaders("content-type") == ["text/event-stream"]
    received: list[bytes] = []
    finished = treq.collect(response, received.append)
    await until(lambda: b"".join(received).count(b"\n\n") == 1)
    clock.advance(0.5)
    await until(lambda: b"".join(received).count(b"\n\n") == 2)
    assert b"".join(received).startswith(b'event: metrics\ndata: {"uptime_seconds":5')
    finished.addErrback(lambda _: None)
    finished.cancel()


@ensureDeferred
async def test_page_to_read(base: str) -> None:
    response = await treq.get(base + "/api/docs", persistent=False)
    page = (await treq.content(response)).decode()
    assert "GET /api/nodes/{node_id}/timeline" in page
    assert response.headers.getRawHeaders("content-type") == ["text/html; charset=utf-8"]


@ensureDeferred
async def test_many_at_once(filled: Make, fetch: Make) -> None:
    one, _ = await filled()
    asked = [
        Deferred.fromCoroutine(fetch(path))
        for path in ("/api/nodes", "/api/network", "/api/events", f"/api/nodes/{one}") * 10
    ]
    assert {code for code, _ in await gatherResults(asked)} == {200}


@ensureDeferred
@pytest.mark.end_to_end
async def test_schemathesis_finds_nothing(
    filled: Make, observed: Make, base: str, tmp_path: Path
) -> None:
    await filled()
    await observed()
    (tmp_path / "schemathesis.toml").write_text(
        # A range that ends before it begins is refused, which a schema cannot say.
        '[checks.positive_data_acceptance]\nexpected-statuses = ["2xx", "400", "404"]\n'
        '[[operations]]\ninclude-path = "/api/metrics/stream"\nenabled = false\n'
    )
    output, errors, code = await getProcessOutputAndValue(
        str(Path(sys.executable).with_name("schemathesis")),
        ["run", "--max-examples=15", "--seed=1", "--no-color", f"{base}/api/openapi.json"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        path=str(tmp_path),
    )
    assert code == 0, (output + errors).decode()
