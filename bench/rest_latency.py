"""How long answers of the REST API take over a store that is full.

``python -m bench.rest_latency`` fills SQLite and a PostgreSQL of its own with 30 days of counts
from 1,024 nodes, which takes minutes and some 20 GB, and asks each question many times, one after
another, with nodes, slots and ranges drawn at random.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any, cast

from attrs import define, field
from klein import Klein
from rich.console import Console
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred

from telemetry_twisted.api.http.connections import Connections
from telemetry_twisted.api.rest.routes import history_routes
from telemetry_twisted.api.site import api_site
from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.interfaces import IServerReactor
from telemetry_twisted.jip3.table import TABLE
from telemetry_twisted.store.database.opening import open_database
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.schema.policy import DAY, Policy
from telemetry_twisted.store.testing import ThrowawayPostgresql
from telemetry_twisted.timestamps import rfc3339
from telemetry_twisted.turns import Turns

from . import machine, output
from .accounts import cpu_seconds
from .filled_history import fill, node_id, slot_at
from .filled_sums import CORES, OF_CORE, OF_NODE, SERVICES
from .processes import HOST, module
from .rows import Report, Row, Sample, Target

MOST_MS = 50.0

Ask = Callable[[random.Random], str]


def questions(nodes: int, days: int, now: int) -> dict[str, Ask]:
    """What to ask, by name."""

    def node(dice: random.Random) -> str:
        return node_id(dice.randrange(1, nodes + 1))

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
        **observed(month, node),
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
        **of_dashboards(now, days),
    }


def of_dashboards(now: int, days: int) -> dict[str, Ask]:
    """What dashboards that were made for JamTART ask."""
    paths = {
        *("timeseries?event_types=blocks", "timeseries?group_by=node_id"),
        *("timeseries?group_by=core", "events-by-node?event_types=failures"),
        *("events?limit=100", "nodes?", "stats?", "node-stats?", "node-stats-aggregate?"),
        *("cores?", "cores/7?", "cores/7/metrics?", "services?", "services/timeseries?"),
        *("bottlenecks?", "bottlenecks-timeseries?", "wp-funnel?", "wp-stats?", "wp-active?"),
        *("validator-profiling?", "validator-profiling-timeseries?", "guarantees/by-guarantor?"),
        *("da-stats?", "shard-latency?", "segment-latency?", "guarantee-discards?"),
        *("failure-rates?", "network-health?", "sync-timeline?", "connections-timeline?"),
        *("blocks/summary?", "blocks/convergence?", "execution?"),
    }

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

    def over(path: Ask, span: str) -> Ask:
        return lambda dice: f"/api/{path(dice)}&{span}"

    return {
        f"{title}, {told}": over(path, span)
        for title, path in paths.items()
        for told, span in (("1 h", "from=-1h"), ("1 d", "from=-1d"), ("all", month))
    }


@define
class Answers:
    """What answers to a question took, each: milliseconds, by the clock and of the processor of the
    process that answers; and how large the largest was, in bytes."""

    taken: list[float] = field(factory=list)
    processor: list[float] = field(factory=list)
    largest: int = 0

    def sample(self) -> Sample:
        """What is told of them."""
        cuts, of_processor = _cuts(self.taken), _cuts(self.processor)
        return Sample(
            cuts[98],
            {
                "p50 ms": cuts[49],
                "most ms": max(self.taken),
                "p50 processor ms": of_processor[49],
                "p99 processor ms": of_processor[98],
                "most KiB": self.largest / 1024,
            },
        )


def _cuts(values: list[float]) -> list[float]:
    return quantiles(values, n=100, method="inclusive")


def ask(
    port: int, pid: int, asked: Mapping[str, Ask], times: int, seed: int
) -> Iterator[tuple[str, Answers]]:
    """Each question with its answers, of the process ``pid``."""
    dice = random.Random(seed)
    connection = HTTPConnection(HOST, port, timeout=20)
    for name, make in asked.items():
        answers = Answers()
        for _ in range(times):
            path = make(dice)
            before, start = cpu_seconds(pid), time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            answers.taken.append((time.perf_counter() - start) * 1000)
            answers.processor.append((cpu_seconds(pid) - before) * 1000)
            answers.largest = max(answers.largest, len(body))
            if answer.status != 200:
                sys.exit(f"{path} is answered with {answer.status}: {body[:500]!r}")
        yield name, answers


class Figures:
    """What a server says of itself that so many nodes are connected to."""

    def __init__(self, nodes: int) -> None:
        self._nodes = [node_id(number) for number in range(1, nodes + 1)]

    def stats(self) -> dict[str, Any]:
        return {"connections": {"total": len(self._nodes), "nodes": self._nodes}}

    def problems(self) -> list[str]:
        return []

    def network(self) -> dict[str, Any]:
        return {"networks": {}}

    def alerts(self) -> dict[str, Any]:
        return {"alerts": [], "count": 0}

    def metrics(self) -> dict[str, Any]:
        broadcaster = dict.fromkeys(
            ("total_events_broadcast", "active_subscribers", "node_channels", "dropped_events",
             "undelivered_events"), 1
        )  # fmt: skip
        ring = dict.fromkeys(("events", "bytes", "max_events", "max_bytes"), 1)
        return {
            "uptime_seconds": 1,
            "events_per_second": 1.0,
            "broadcaster": broadcaster,
            "nodes": len(self._nodes),
            "decode_errors": 0,
            "violations": 0,
            "ring": ring,
            "ingestion": [{"pid": 1, "connections": 1, "events": 1}] * 8,
            "store": {"state": "ok", "problem": None},
        }


def serve(url: str, nodes: int, days: int, now: int, observed_only: bool) -> None:
    """Fill the database at ``url``, then answer until told to end."""
    reactor = cast(IServerReactor, installed)
    database = open_database(url, reactor)

    def listen(_: object) -> None:
        app = Klein()
        turns, connections = Turns(reactor), Connections(100, 100, 100, reactor)
        history, errors = History(database, Policy(), time.time, turns), InternalErrors(reactor)
        history_routes(app, history, Figures(nodes), reactor, time.time, errors, connections, tuple)
        site = api_site(app, connections, turns, reactor)
        port = cast(Any, reactor).listenTCP(0, site, interface=HOST)
        print(json.dumps({"port": port.getHost().port}), flush=True)

    def failed(failure: Any) -> None:
        failure.printTraceback()
        Deferred.fromCoroutine(database.close()).addBoth(lambda _: reactor.stop())

    filled = Deferred.fromCoroutine(fill(database, nodes, days, now, observed_only))
    filled.addCallback(listen).addErrback(failed)
    reactor.run()


def measure(url: str, kind: str, options: argparse.Namespace) -> list[Row]:
    """A row for each question."""
    now = int(time.time())
    arguments = ["--serve", url, f"--nodes={options.nodes}", f"--days={options.days}"]
    if options.observed:
        arguments.append("--observed")
    began = time.monotonic()
    with module("bench.rest_latency", *arguments, f"--now={now}") as child:
        assert child.process.stdout is not None
        line = child.process.stdout.readline()
        if not line:
            raise child.failed("did not fill the database")
        print(f"{kind} filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
        asked = {
            name: make
            for name, make in questions(options.nodes, options.days, now).items()
            if options.questions in name
            and (not options.observed or name in observed("", lambda _: ""))
        }
        port = json.loads(line)["port"]
        return rows_of(port, child.process.pid, kind, asked, options.times, options.repeats)


def rows_of(
    port: int, pid: int, kind: str, asked: Mapping[str, Ask], times: int, repeats: int
) -> list[Row]:
    """A row for each question, with a sample for each of several rounds."""
    samples: dict[str, list[Sample]] = {name: [] for name in asked}
    for seed in range(repeats):
        for name, answers in ask(port, pid, asked, times, seed):
            samples[name].append(answers.sample())
    return [Row(name, kind, "ms (p99)", tuple(taken)) for name, taken in samples.items()]


def main() -> None:
    """Fill, ask, and print how long it took."""
    parser = argparse.ArgumentParser(prog="bench.rest_latency", description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=1024)
    parser.add_argument("--times", type=int, default=200, help="how often each question is asked")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, each of other ranges")
    parser.add_argument("--questions", default="", help="only those whose names have this in them")
    parser.add_argument(
        "--observed",
        action="store_true",
        help="fill and ask only what was observed of chains of events",
    )
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--results", type=Path, help="where to write the figures; nowhere if not")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--now", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.nodes, options.days, options.now, options.observed)
        return
    rows: list[Row] = []
    if options.only != "postgresql":
        with TemporaryDirectory(prefix="bench-rest-") as directory:
            rows += measure(f"sqlite:{Path(directory, 'bench.sqlite')}", "sqlite", options)
    if options.only != "sqlite":
        server = ThrowawayPostgresql()
        try:
            server.start()
            rows += measure(server.create_database("bench"), "postgresql", options)
        finally:
            server.remove()
    targets = tuple(Target(row.case, row.system, MOST_MS, at_most=True) for row in rows)
    title = f"REST answers over {options.days} days of {options.nodes} nodes"
    report = Report("rest_latency", title, tuple(rows), targets, less_is_better=True)
    console, here = Console(width=160), machine.describe()
    output.show_machine(console, here)
    output.show(console, report)
    if options.results:
        output.save_figures(options.results, report, here)


if __name__ == "__main__":
    main()
