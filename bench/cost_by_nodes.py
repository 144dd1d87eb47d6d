"""What an event costs the server as nodes become more, at the same rate of all together."""

from __future__ import annotations

from . import harness
from .harness import Server
from .rows import Measure, Report, Sample, Target, interleave
from .settings import Settings
from .traffic import MOST_NODES

COUNTS = (16, 64, 256, 1024, 4096)
RATE = 100_000
BURST = 10
SETTLE_SECONDS = 0.5

FLAT = 1.2
"""How much more an event may cost at one end than at the other."""


def run(settings: Settings) -> Report:
    """Microseconds of processor time of the whole server for an event delivered."""
    with harness.servers(settings.without("python", "A", "B"), most_nodes=MOST_NODES) as servers:
        measures: dict[tuple[str, str], Measure] = {
            (_case(count), system): _measure_of(server, count, settings)
            for count in COUNTS
            for system, server in servers.items()
        }
        rows = interleave(min(settings.repeats, 3), "µs/event", measures)
    first, *more = map(_case, COUNTS)
    return Report(
        "cost_by_nodes",
        f"What an event costs as nodes become more, {RATE:,} events/s of all together",
        rows,
        tuple(
            Target(case, "compiled", FLAT, at_most=True, against=(first, "compiled"))
            for case in more
        ),
        less_is_better=True,
        about="processor time that all processes of the server take for an event that one "
        f"subscriber reads; nodes send {BURST} events at once, evenly spread.",
        axis="nodes",
    )


def _case(count: int) -> str:
    return f"{count} nodes"


def _measure_of(server: Server, nodes: int, settings: Settings) -> Measure:
    def measure() -> Sample:
        seconds = settings.seconds
        duration = SETTLE_SECONDS + seconds
        with (
            harness.subscribers(server.ws_port, seconds=duration + 30) as subscriber,
            harness.load(
                server,
                traffic=settings.traffic,
                nodes=nodes,
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
        return Sample(seen.cost(delivered), {"delivered events/s": delivered, **seen.shares})

    return measure
