"""Subscribers that each want one node: what the hub pays for an event it delivers."""

from __future__ import annotations

from . import harness
from .harness import BenchError, Server
from .rows import Measure, Report, Row, Sample, Target, interleave
from .settings import Settings

NODES = 1024
RATE = 50_000
BURST = 10
SETTLE_SECONDS = 0.7
COUNTS = (250, 1000)
NOBODY = "nobody"
DELIVERED = "delivered events/s"
REPEATS = 3


def run(settings: Settings) -> Report:
    """Microseconds of the hub for an event delivered, beyond what it costs when nobody reads."""
    systems = settings.without("python", "A")
    with harness.servers(systems) as servers:
        measures: dict[tuple[str, str], Measure] = {
            (_case(count), system): _measure_of(server, count, settings)
            for count in (0, *COUNTS)
            for system, server in servers.items()
        }
        rows = interleave(min(settings.repeats, REPEATS), "cores", measures)
    few, many = map(_case, COUNTS)
    report = Report(
        "node_channels",
        f"Subscribers to one node each, {NODES} nodes, {RATE:,} events/s",
        rows,
        less_is_better=True,
    )
    costs = tuple(
        _cost(idle, row)
        for row in rows
        if row.case != NOBODY and (idle := report.row(NOBODY, row.system))
    )
    return Report(
        report.name,
        report.title,
        costs,
        (Target(many, "compiled", 1.5, at_most=True, against=(few, "compiled")),),
        less_is_better=True,
        about="processor time that the hub takes for an event delivered, beyond what it takes when "
        "nobody reads.",
    )


def _case(count: int) -> str:
    return f"{count} subscribers" if count else NOBODY


def _measure_of(server: Server, count: int, settings: Settings) -> Measure:
    """Measures the cores that the hub takes."""

    def measure() -> Sample:
        seconds = settings.seconds
        duration = SETTLE_SECONDS + seconds
        with (
            harness.subscribers(
                server.ws_port, connections=count, channels=settings.traffic, seconds=duration + 30
            ) as subscriber,
            harness.load(
                server,
                traffic=settings.traffic,
                nodes=NODES,
                rate=RATE,
                burst=BURST,
                seconds=duration + 5,
            ) as load,
        ):
            seen = harness.observe(
                server, SETTLE_SECONDS, seconds, load=load, subscriber=subscriber
            )
            result = subscriber.stop()
        delivered = seen.rate(result["samples"])
        hub = seen.shares.get("hub cores", seen.shares.get("process cores", 0.0))
        if count and not delivered:
            raise BenchError(f"{server.system}: nothing was delivered while it was measured")
        return Sample(hub, {DELIVERED: delivered, **seen.shares})

    return measure


def _cost(idle: Row, row: Row) -> Row:
    """``row`` as what it takes more than ``idle``, for an event."""
    samples = (
        Sample(1e6 * (sample.figure - idle.figure) / sample.details[DELIVERED], sample.details)
        for sample in row.samples
    )
    return Row(row.case, row.system, "µs/event", tuple(samples))
