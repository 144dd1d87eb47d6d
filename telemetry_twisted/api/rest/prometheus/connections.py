"""Connections to the API, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from telemetry_twisted.api.http.connections import KINDS, Connections

from .server import PREFIX


class ConnectionsCollector(Collector):
    """Tells of ``connections`` to the API."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            f"{PREFIX}api_connections",
            "Connections to the API, subscribers included.",
            value=self._connections.open,
        )
        refused = CounterMetricFamily(
            f"{PREFIX}api_connections_refused",
            "Connections to the API that were not let in, by what there were too many of.",
            labels=["kind"],
        )
        for kind in KINDS:
            refused.add_metric([kind], self._connections.refused[kind])
        yield refused
