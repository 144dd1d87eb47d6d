"""How networks fare, for Prometheus: what subscribers to them are told, in a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from telemetry_twisted.api.websocket.context import Gauges
from telemetry_twisted.clock import Now
from telemetry_twisted.jip3.moment import newest_slot
from telemetry_twisted.majority import majority_slot

from .server import PREFIX

MOST_NETWORKS = 8
"""Networks that are told of, those with the most nodes: what genesis hash a node says is its own
affair."""

Network = Mapping[str, Any]

_LATELY = "in the last five minutes"

_SUMMED: tuple[tuple[str, str, Callable[[Network], float]], ...] = (
    (
        "fork_slots",
        "For how many slots in a row nodes have been on different blocks.",
        lambda network: network["fork"]["slots"] if "fork" in network else 0,
    ),
    (
        "packages_stuck",
        "Work packages under way of which nothing was heard for half a minute.",
        lambda network: network["stuck"]["count"] if "stuck" in network else 0,
    ),
    (
        "assurances_late",
        "Assurances of the last two minutes that began too late.",
        lambda network: network["assurances"]["late"],
    ),
    (
        "clocks_off",
        "Nodes whose clocks are off by more than a slot.",
        lambda network: network["clocks"]["off"],
    ),
    (
        "chains_unfinished_ratio",
        f"Share of the chains of events that ended {_LATELY} without a result.",
        lambda network: network["chains"]["unfinished_percent"] / 100,
    ),
)
"""What the store process knows of a network, from its summary."""


class NetworksCollector(Collector):
    """Reads ``live`` whenever Prometheus asks, and says nothing of what the store process does not
    tell at the time.

    :param now: tells Unix time.
    """

    def __init__(self, live: Gauges, now: Now) -> None:
        self._live = live
        self._now = now

    def collect(self) -> Iterable[Metric]:
        told: Mapping[str, Network] = self._live.network()["networks"]
        largest = sorted(told, key=lambda network: (-len(told[network]["nodes"]), network))
        networks = {network: told[network] for network in largest[:MOST_NETWORKS]}
        yield _gauge(
            "nodes",
            "Nodes of a network that are connected.",
            {network: len(each["nodes"]) for network, each in networks.items()},
        )
        newest = newest_slot(self._now())
        for block in ("best", "finalized"):
            yield _gauge(
                f"{block}_slot",
                f"The highest {block} slot that at least half of the nodes have reached, of those "
                "that told one and are not ahead of the clock.",
                {
                    network: slot
                    for network, each in networks.items()
                    if (slot := _majority(each["nodes"].values(), block, newest)) is not None
                },
            )
        summed = {network: each for network, each in networks.items() if "chains" in each}
        for name, text, read in _SUMMED:
            yield _gauge(name, text, {network: read(each) for network, each in summed.items()})
        packages = GaugeMetricFamily(
            f"{PREFIX}network_packages",
            f"Work packages under way or ended {_LATELY}, by what they reached and how they ended.",
            labels=["network", "kind"],
        )
        for network, each in summed.items():
            for kind, count in each["funnel"].items():
                packages.add_metric([network, kind], count)
        yield packages


def _majority(nodes: Iterable[Mapping[str, Any]], block: str, newest: int) -> int | None:
    return majority_slot(node[block] for node in nodes if node.get(block, newest + 1) <= newest)


def _gauge(name: str, text: str, values: Mapping[str, float]) -> Metric:
    gauge = GaugeMetricFamily(f"{PREFIX}network_{name}", text, labels=["network"])
    for network, value in values.items():
        gauge.add_metric([network], value)
    return gauge
