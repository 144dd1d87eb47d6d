"""The stream as fast as it goes without loss, which several benchmarks measure."""

from __future__ import annotations

import json

from . import harness
from .harness import BenchError, Server
from .processes import await_true
from .progress import new_progress
from .rows import Measure, Sample
from .settings import Settings

AHEAD = 100_000
"""Events on the way, at most: the load stops there until the slowest subscriber has read more."""

BURST = 100
"""Events that a node sends at once."""

SETTLE_SECONDS = 0.5

COST = "server s/million"
"""Seconds of processor time of all processes of the server for a million events delivered."""


def measure_of(
    server: Server,
    settings: Settings,
    nodes: int,
    subscribers: int = 1,
    stalled: int = 0,
    to_the_end: bool = False,
) -> Measure:
    """Measures the rate to all ``subscribers`` together, beside ``stalled`` ones that never read.

    They may miss nothing meanwhile; ``to_the_end`` also waits until they have read all that was
    sent.
    """

    def measure() -> Sample:
        seconds = settings.seconds
        with (
            new_progress() as progress,
            harness.subscribers(
                server.ws_port,
                connections=subscribers,
                stalled=stalled,
                progress=progress.path,
                seconds=seconds + 30,
            ) as readers,
            harness.load(
                server,
                traffic=settings.traffic,
                nodes=nodes,
                ahead=AHEAD,
                burst=BURST,
                progress=progress.path,
                seconds=SETTLE_SECONDS + seconds + 0.1,
                linger=20,
            ) as load,
        ):
            seen = harness.observe(server, SETTLE_SECONDS, seconds, load=load, subscriber=readers)
            sent = json.loads(load.line())["sent"]
            complete = not to_the_end or await_true(lambda: progress.value > sent, 10)
            result = readers.stop()
            read, skipped = sum(result["events"]), sum(result["skipped"])
            if skipped or not complete or result["closed"]:
                raise BenchError(
                    f"{server.system}: {sent} sent, {read} read, {skipped} skipped, "
                    f"{result['closed']} subscribers closed"
                )
            rate = seen.rate(result["samples"])
            return Sample(rate, {COST: seen.cost(rate), **seen.shares})

    return measure
