"""The server's figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.hub.child import ChildState
from telemetry_twisted.timestamps import microseconds

Figures = Mapping[str, Any]
Reading = Callable[[Figures], float | None]

PREFIX = "telemetry_"

_BROADCASTER = "broadcaster"

_COUNTERS: tuple[tuple[str, str, Reading], ...] = (
    (
        "events_received",
        "Events that came from nodes.",
        lambda m: m[_BROADCASTER]["total_events_broadcast"],
    ),
    (
        "events_delivered",
        "Events sent to subscribers, over all of them.",
        lambda m: m.get("delivered_events"),
    ),
    (
        "events_rate_limited",
        "Events above the rate limit, dropped.",
        lambda m: m[_BROADCASTER]["dropped_events"],
    ),
    (
        "events_lagged",
        "Events that subscribers were told they missed.",
        lambda m: m[_BROADCASTER]["undelivered_events"],
    ),
    ("decode_errors", "Events that could not be decoded.", lambda m: m["decode_errors"]),
    ("violations", "Events that broke a rule of JIP-3.", lambda m: m["violations"]),
    (
        "store_rows_written",
        "Rows written to the database.",
        lambda m: m["store"].get("rows_written"),
    ),
    (
        "store_raw_events_written",
        "Raw events written to the database.",
        lambda m: m["store"].get("raw_events_written"),
    ),
    (
        "store_raw_events_withheld",
        "Raw events that the store process had no room for.",
        lambda m: m["store"].get("raw_events_withheld"),
    ),
    (
        "store_raw_events_dropped",
        "Raw events that the database did not take in time.",
        lambda m: m["store"].get("raw_events_dropped"),
    ),
    (
        "store_raw_events_lost",
        "Raw events that went with a store process that ended.",
        lambda m: m["store"].get("raw_events_lost"),
    ),
)
_GAUGES: tuple[tuple[str, str, Reading], ...] = (
    ("uptime_seconds", "How long the server runs.", lambda m: m["uptime_seconds"]),
    ("events_per_second", "Events from nodes, lately.", lambda m: m["events_per_second"]),
    ("nodes_connected", "Nodes that are connected.", lambda m: m["nodes"]),
    ("subscribers", "WebSocket subscribers.", lambda m: m[_BROADCASTER]["active_subscribers"]),
    (
        "node_channels",
        "Channels of single nodes in use.",
        lambda m: m[_BROADCASTER]["node_channels"],
    ),
    ("ring_events", "Events held for subscribers.", lambda m: m["ring"]["events"]),
    ("ring_bytes", "Bytes of events held for subscribers.", lambda m: m["ring"]["bytes"]),
    ("ring_events_max", "Events held at most.", lambda m: m["ring"]["max_events"]),
    ("ring_bytes_max", "Bytes of events held at most.", lambda m: m["ring"]["max_bytes"]),
    (
        "store_up",
        "Whether history is written as it should, by what health says.",
        lambda m: m["store"]["problem"] is None,
    ),
    (
        "store_queue_events",
        "Raw events that wait for the database.",
        lambda m: m["store"].get("queue_events"),
    ),
    (
        "store_queue_bytes",
        "Bytes of raw events that wait for the database.",
        lambda m: m["store"].get("queue_bytes"),
    ),
    (
        "store_raw_events_waiting",
        "Raw events that wait for the store process to have room.",
        lambda m: m["store"].get("raw_events_waiting"),
    ),
    (
        "store_pending_records",
        "Records kept until they are committed.",
        lambda m: m["store"].get("pending", {}).get("records"),
    ),
    (
        "store_pending_bytes",
        "Bytes of records kept until they are committed.",
        lambda m: m["store"].get("pending", {}).get("bytes"),
    ),
    (
        "store_raw_kept_share",
        "Share of raw events kept lately.",
        lambda m: m["store"].get("raw_kept_share"),
    ),
)
_PROCESS_COUNTERS = (
    ("events", "events", "Events read."),
    ("cpu_seconds", "cpu_seconds", "Processor time taken."),
)
_PROCESS_GAUGES = (
    ("connections", "connections", "Connections of nodes."),
    ("memory_bytes", "memory_bytes", "Resident memory."),
    ("held_back", "held_back", "Whether it reads no more until the hub has taken what it sent."),
    ("link_backlog_bytes", "link_backlog_bytes", "Bytes on their way to the hub."),
)


class ServerCollector(Collector):
    """Reads ``live`` whenever Prometheus asks."""

    def __init__(self, live: Gauges) -> None:
        self._live = live

    def collect(self) -> Iterable[Metric]:
        metrics = self._live.metrics()
        for name, text, read in _COUNTERS:
            value = read(metrics)
            if value is not None:
                yield CounterMetricFamily(PREFIX + name, text, value=value)
        for name, text, read in _GAUGES:
            value = read(metrics)
            if value is not None:
                yield GaugeMetricFamily(PREFIX + name, text, value=value)
        yield _endings(metrics.get("connections_ended", {}))
        yield _mistakes(metrics.get("internal_errors", {}))
        yield _alerts(metrics.get("alerts", {}))
        yield _deliveries(metrics.get("alert_receivers", ()))
        yield from _losses(metrics["store"])
        yield from _children(metrics.get("processes", ()))
        yield from _processes(metrics["ingestion"])
        for name, histogram in metrics.get("histograms", {}).items():
            yield HistogramMetricFamily(
                PREFIX + name,
                histogram["help"],
                buckets=[(bound, count) for bound, count in histogram["buckets"]],
                sum_value=histogram["sum"],
            )


def _endings(endings: Mapping[str, int]) -> Metric:
    counter = CounterMetricFamily(
        PREFIX + "connections_ended", "Connections of nodes that ended, and why.", labels=["kind"]
    )
    for kind, count in sorted(endings.items()):
        counter.add_metric([kind], count)
    return counter


def _alerts(alerts: Mapping[str, int]) -> Metric:
    gauge = GaugeMetricFamily(
        PREFIX + "alerts",
        "Alerts that hold, as the number of nodes, subscribers or others that each kind is of.",
        labels=["kind"],
    )
    for kind, count in alerts.items():
        gauge.add_metric([kind], count)
    return gauge


def _deliveries(receivers: Iterable[Figures]) -> Metric:
    counter = CounterMetricFamily(
        PREFIX + "alert_deliveries",
        "Attempts to tell receivers of alerts, by what became of them.",
        labels=["kind", "receiver", "outcome"],
    )
    sums: dict[tuple[str, str, str], int] = {}  # two webhooks may share what is shown of them
    for each in receivers:
        for outcome in ("delivered", "failed", "refused"):
            labels = each["kind"], each["receiver"], outcome
            sums[labels] = sums.get(labels, 0) + each[outcome]
    for labels, count in sorted(sums.items()):
        counter.add_metric(labels, count)
    return counter


def _mistakes(mistakes: Mapping[str, int]) -> Metric:
    counter = CounterMetricFamily(
        PREFIX + "internal_errors",
        "Mistakes of the server's own, by what was being done.",
        labels=["place"],
    )
    for place, count in sorted(mistakes.items()):
        counter.add_metric([place], count)
    return counter


def _losses(store: Figures) -> Iterable[Metric]:
    """What history has lost, and what it would lose if the store process ended now."""
    lost = CounterMetricFamily(
        PREFIX + "store_lost", "What history has lost, told in its gaps.", labels=["what"]
    )
    for what, count in sorted(store.get("lost", {}).items()):
        lost.add_metric([what], count)
    at_risk = GaugeMetricFamily(
        PREFIX + "store_at_risk",
        "What is lost if the store process ends before it commits.",
        labels=["what"],
    )
    for what, count in sorted(store.get("at_risk", {}).items()):
        at_risk.add_metric([what], count)
    return lost, at_risk


def _children(children: Iterable[Figures]) -> Iterable[Metric]:
    """The child processes: whether they work, in which state they are and since when."""
    up = GaugeMetricFamily(PREFIX + "child_up", "Whether it works.", labels=["child"])
    state = GaugeMetricFamily(
        PREFIX + "child_state", "1 for the state it is in.", labels=["child", "state"]
    )
    since = GaugeMetricFamily(
        PREFIX + "child_since_seconds", "Since when it is, in Unix time.", labels=["child"]
    )
    restarts = CounterMetricFamily(
        PREFIX + "child_restarts", "How often it had to be started again.", labels=["child"]
    )
    for child in children:
        labels = [child["name"]]
        up.add_metric(labels, child["state"] == ChildState.RUNNING.value)
        for each in ChildState:
            state.add_metric([*labels, each.value], child["state"] == each.value)
        if child["since"] is not None:
            since.add_metric(labels, microseconds(child["since"]) / 1_000_000)
        restarts.add_metric(labels, child["restarts"])
    return up, state, since, restarts


def _processes(processes: Iterable[Figures]) -> Iterable[Metric]:
    numbered = list(enumerate(processes))
    for key, name, text in _PROCESS_COUNTERS:
        counter = CounterMetricFamily(f"{PREFIX}ingestion_{name}", text, labels=["process"])
        for number, process in numbered:
            if key in process:
                counter.add_metric([str(number)], process[key])
        yield counter
    for key, name, text in _PROCESS_GAUGES:
        gauge = GaugeMetricFamily(f"{PREFIX}ingestion_{name}", text, labels=["process"])
        for number, process in numbered:
            if key in process:
                gauge.add_metric([str(number)], process[key])
        yield gauge
