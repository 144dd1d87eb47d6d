"""What is asked of the REST API, over a history that is full."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.read.slots import slot_at as slot_of_network_at
from telemetry_twisted.store.schema.policy import DAY
from telemetry_twisted.timestamps import rfc3339

from .filled_history import node_id, slot_at
from .filled_sums import CORES, OF_CORE, OF_NODE, SERVICES
from .filled_things import SLOT_SECONDS, name_of, packages

Ask = Callable[[random.Random], str]


def questions(nodes: int, days: int, now: int, observed_only: bool) -> dict[str, Ask]:
    """What to ask, by name.

    :param observed_only: only what was observed of chains of events, and understood of networks.
    """

    def node(dice: random.Random) -> str:
        return node_id(dice.randrange(1, nodes + 1))

    of_chains = {
        **observed(f"from=-{days}d", node),
        **understood(days, now),
        **of_dashboards(OBSERVED_PATHS, now, days),
    }
    return of_chains if observed_only else {**counted(node, days, now, nodes), **of_chains}


def counted(node: Ask, days: int, now: int, nodes: int) -> dict[str, Ask]:
    """What to ask for which events are counted."""

    def back(dice: random.Random, most: int) -> str:
        length = dice.randrange(600, most)
        end = dice.randrange(0, max(days * DAY - length, 1))
        return f"from={rfc3339(now - end - length)}&to={rfc3339(now - end)}"

    def slot(dice: random.Random) -> int:
        return slot_at(now - dice.randrange(60, days * DAY))

    month = f"from=-{days}d"
    kinds = list(TABLE.events)
    return {
        "health/detailed": lambda _: "/api/health/detailed",
        "stats": lambda _: "/api/stats",
        "network": lambda _: "/api/network",
        "nodes, 100": lambda dice: f"/api/nodes?cursor={dice.randrange(nodes)}",
        "nodes/{id}": lambda dice: f"/api/nodes/{node(dice)}",
        "nodes/{id}/timeline, 1 h": lambda dice: f"/api/nodes/{node(dice)}/timeline",
        "nodes/{id}/timeline, 1 d": lambda dice: f"/api/nodes/{node(dice)}/timeline?from=-1d",
        "nodes/{id}/timeline, all": lambda dice: f"/api/nodes/{node(dice)}/timeline?{month}",
        "nodes/{id}/events": lambda dice: f"/api/nodes/{node(dice)}/events",
        "events, 100": lambda _: "/api/events",
        "events by type": lambda dice: f"/api/events?type={dice.choice(kinds)}",
        "events by node and type": lambda dice: (
            f"/api/events?node={node(dice)}&type={dice.choice(kinds)}"
        ),
        "events by group": lambda dice: f"/api/events?group={dice.choice(list(TABLE.groups))}",
        "event-types, all": lambda _: f"/api/event-types?{month}",
        "slots/{slot}": lambda dice: f"/api/slots/{slot(dice)}",
        "blocks/propagation, 1 h": lambda _: "/api/blocks/propagation",
        "blocks/propagation, all": lambda _: f"/api/blocks/propagation?{month}",
        "failures, 1 h": lambda _: "/api/failures",
        "failures, all": lambda _: f"/api/failures?{month}",
        "protocol-errors, all": lambda _: f"/api/protocol-errors?{month}",
        "losses, all": lambda _: f"/api/losses?{month}",
        "gaps, all": lambda _: f"/api/gaps?{month}",
        "metrics/live": lambda _: "/api/metrics/live",
        "timeseries by type, any": lambda dice: (
            f"/api/metrics/timeseries?group_by=type&{back(dice, days * DAY)}"
        ),
        "timeseries by group, 1 h": lambda _: "/api/metrics/timeseries?group_by=group",
        "timeseries by group, 1 d": lambda _: "/api/metrics/timeseries?group_by=group&from=-1d",
        "timeseries by group, all": lambda _: f"/api/metrics/timeseries?group_by=group&{month}",
        "timeseries by node, 1 h": lambda _: "/api/metrics/timeseries?group_by=node",
        "timeseries by node, all": lambda _: f"/api/metrics/timeseries?group_by=node&{month}",
        "timeseries of a node, any": lambda dice: (
            f"/api/metrics/timeseries?node={node(dice)}&{back(dice, days * DAY)}"
        ),
        "/metrics": lambda _: "/metrics",
        **of_dashboards(COUNTED_PATHS, now, days),
    }


COUNTED_PATHS = (
    *("timeseries?event_types=blocks", "timeseries?group_by=node_id", "timeseries?group_by=core"),
    *("events-by-node?event_types=failures", "events?limit=100", "nodes?", "stats?", "db-stats?"),
    *("node-stats?", "node-stats-aggregate?", "sync-timeline?", "connections-timeline?"),
    *("da-stats?", "guarantees?", "guarantee-discards?", "failure-rates?", "network-health?"),
    *("blocks/summary?", "wp-stats?"),
)
"""What dashboards ask for which events are counted."""

OBSERVED_PATHS = (
    *("cores?", "cores/7?", "cores/7/metrics?", "cores/7/validators?", "validators/cores?"),
    *("services?", "services/timeseries?", "execution?", "events?core=7", "wp-active?"),
    *("wp-funnel?", "wp-funnel-timeseries?", "bottlenecks?", "bottlenecks?core=7"),
    *("bottlenecks-timeseries?", "validator-profiling?", "validator-profiling-timeseries?"),
    *("guarantees/by-guarantor?", "guarantee-convergence?", "guarantee-convergence?interval=30s"),
    *("guarantee-convergence/detail?", "assurance-convergence?"),
    *("assurance-convergence?interval=5m", "assurance-convergence/senders?"),
    *("shard-latency?", "bundle-latency?", "segment-latency?", "preimage-latency?"),
    *("blocks/convergence?", "blocks/contents?"),
)
"""What they ask for which chains are observed, and networks understood."""


def of_dashboards(paths: Sequence[str], now: int, days: int) -> dict[str, Ask]:
    """What dashboards that were made for JamTART ask."""

    def over(path: str, seconds: int) -> Ask:
        span = f"start={rfc3339(now - seconds)}&end={rfc3339(now)}"
        return lambda _: f"/api/grafana/{path}&{span}"

    spans = {"1 h": 3600, "1 d": DAY, "all": days * DAY}
    return {
        f"grafana/{path.rstrip('?')}, {told}": over(path, seconds)
        for path in sorted(paths)
        for told, seconds in spans.items()
    }


def observed(month: str, node: Ask) -> dict[str, Ask]:
    """What to ask of what was observed of chains of events."""

    def core(dice: random.Random) -> int:
        return dice.randrange(CORES)

    def name(dice: random.Random) -> str:
        return dice.choice(list(OF_NODE))

    paths: dict[str, Ask] = {
        "latencies": lambda _: "latencies?",
        "latencies of a node": lambda dice: f"latencies?node={node(dice)}",
        "latencies of a core": lambda dice: f"latencies?core={core(dice)}",
        "latencies/{name}": lambda dice: f"latencies/{name(dice)}?",
        "latencies/{name} of a node": lambda dice: f"latencies/{name(dice)}?node={node(dice)}",
        "latencies/{name} of a core": lambda dice: (
            f"latencies/{dice.choice(list(OF_CORE))}?core={core(dice)}"
        ),
        "latencies/{name}/nodes": lambda dice: f"latencies/{name(dice)}/nodes?",
        "chains": lambda _: "chains?",
        "chains of a node": lambda dice: f"chains?node={node(dice)}",
        "connections": lambda _: "connections?",
        "clocks": lambda _: "clocks?",
        "funnel": lambda _: "funnel?",
        "funnel of a core": lambda dice: f"funnel?core={core(dice)}",
        "cores": lambda _: "cores?limit=500",
        "cores/{core}": lambda dice: f"cores/{core(dice)}?",
        "services": lambda _: "services?",
        "services/{service}": lambda dice: f"services/{dice.randrange(1, SERVICES)}?",
    }

    return over_spans(paths, month)


def over_spans(paths: Mapping[str, Ask], month: str) -> dict[str, Ask]:
    """Ask each of ``paths`` over the last hour, the last day, and all that there is."""

    def over(path: Ask, span: str) -> Ask:
        return lambda dice: f"/api/{path(dice)}&{span}"

    return {
        f"{title}, {told}": over(path, span)
        for title, path in paths.items()
        for told, span in (("1 h", "from=-1h"), ("1 d", "from=-1d"), ("all", month))
    }


def understood(days: int, now: int) -> dict[str, Ask]:
    """What to ask of slots, work packages, guarantees and assurances."""

    def before(dice: random.Random) -> int:
        """A moment within the time of which there are packages, in microseconds."""
        return (now - dice.randrange(packages(days) // CORES * SLOT_SECONDS)) * 1_000_000

    def slot(dice: random.Random) -> int:
        return slot_of_network_at(now - dice.randrange(60, DAY) // SLOT_SECONDS * SLOT_SECONDS)

    def hash(kind: str, number: int) -> str:
        return f"0x{name_of(kind, number).hex()}"

    core, service = range(CORES), range(1, SERVICES + 1)
    paths: dict[str, Ask] = {
        "slots": lambda _: "slots?",
        "work-packages": lambda _: "work-packages?",
        "work-packages of a core": lambda dice: f"work-packages?core={dice.choice(core)}",
        "work-packages of a service": lambda dice: f"work-packages?service={dice.choice(service)}",
        "work-packages that failed": lambda _: "work-packages?outcome=failed",
        "work-packages that are stuck": lambda _: "work-packages?stuck=true",
        "work-packages, further back": lambda dice: f"work-packages?cursor={before(dice)}",
        "guarantees": lambda _: "guarantees?",
        "guarantees of a slot": lambda dice: f"guarantees?slot={slot(dice)}",
        "assurances": lambda _: "assurances?",
    }

    return {
        "networks": lambda _: "/api/networks",
        "networks/health": lambda _: "/api/networks/health",
        "slots/{slot}/nodes": lambda dice: f"/api/slots/{slot(dice)}/nodes",
        "work-packages/{hash}": lambda dice: (
            f"/api/work-packages/{hash('package', dice.randrange(packages(days)))}"
        ),
        "assurances/{anchor}": lambda dice: f"/api/assurances/{hash('anchor', slot(dice))}",
        "grafana/wp/{wp_hash}": lambda dice: (
            f"/api/grafana/wp/{hash('package', dice.randrange(packages(days)))[2:]}"
        ),
        **over_spans(paths, f"from=-{days}d"),
    }
