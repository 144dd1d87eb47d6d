"""How long answers of the REST API take over a store that is full.

``python -m bench.rest_latency`` fills SQLite and a PostgreSQL of its own with 30 days of counts
from 1,024 nodes, which takes minutes and some 20 GB, and asks each question many times, one after
another, with nodes, slots and ranges drawn at random.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
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
from telemetry_twisted.store.database.opening import open_database
from telemetry_twisted.store.read.history import History
from telemetry_twisted.store.schema.policy import Policy
from telemetry_twisted.store.testing import ThrowawayPostgresql
from telemetry_twisted.turns import Turns

from . import machine, output
from .accounts import cpu_seconds
from .filled_history import fill, node_id
from .processes import HOST, module
from .rest_questions import Ask, questions
from .rows import Report, Row, Sample, Target

MOST_MS = 50.0


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
    """Fill the database at ``url``, then answer, as if it was still ``now``, until told to end."""
    reactor = cast(IServerReactor, installed)
    database = open_database(url, reactor)

    def listen(_: object) -> None:
        app = Klein()
        turns, connections = Turns(reactor), Connections(100, 100, 100, reactor)
        at, errors = lambda: float(now), InternalErrors(reactor)
        history = History(database, Policy(), at, turns)
        history_routes(app, history, Figures(nodes), reactor, at, errors, connections, tuple)
        site = api_site(app, connections, turns, reactor)
        port = cast(Any, reactor).listenTCP(0, site, interface=HOST)
        gc.freeze()  # as the server does
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
        all_questions = questions(options.nodes, options.days, now, options.observed)
        asked = {name: make for name, make in all_questions.items() if options.questions in name}
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
        help="fill and ask only what was observed of chains, and understood of networks",
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
