"""Where the milliseconds go: ``python -m bench.latency --hops``.

An event carries the time when it was sent, and a chunk's record when its turn began to read. The
other times are noted by the server's own processes, run by :mod:`bench.traced`, and each event is
looked up by its id. The notes cost a few microseconds a chunk, which are in the figures.
"""

from __future__ import annotations

import sys
import time
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import field, frozen
from rich.console import Console
from rich.table import Table

from . import harness, traced
from .load import JAM_EPOCH
from .processes import module
from .subscriber import SETTLE_SECONDS
from .systems import COMPILED, INGESTION_PROCESSES, Ours

NODES = 1024
PERCENTS = (50, 99, 99.9)

HOPS = (
    "node sends → ingestion process reads",
    "→ it has decoded, and sends the chunk",
    "→ hub reads the chunk",
    "→ hub has sent the frame",
    "→ subscriber reads it",
    "all of the way",
)


@frozen
class _Traced(Ours):
    """Ours with the compiled codec, which notes when chunks come and go."""

    notes: str = field(kw_only=True)

    @classmethod
    def into(cls, directory: str) -> _Traced:
        return cls("compiled", COMPILED.label, "compiled", notes=directory)

    def command(self, port: int, ws_port: int, database: str | None, most_nodes: int) -> list[str]:
        _, *arguments = super().command(port, ws_port, database, most_nodes)
        return [sys.executable, "-m", "bench.traced", self.notes, "hub", *arguments]


def show(console: Console, traffic: Path, seconds: float, rate: int, burst: int) -> None:
    """Print a table for an idle machine, and one for a machine whose cores are busy at half."""
    for busy in (False, True):
        hops, cores = _measure(traffic, seconds, rate, burst, busy)
        other = "each core busy at half with something else" if busy else "nothing else running"
        title = f"{NODES} nodes, {rate:,} events/s in bursts of {burst}, {other}"
        table = Table(title=title, title_justify="left", title_style="bold")
        table.add_column("hop")
        for percent in PERCENTS:
            table.add_column(f"p{percent} ms", justify="right")
        for hop, taken in zip(HOPS, hops, strict=True):
            ordered = sorted(taken)
            table.add_row(
                hop, *(f"{ordered[int(len(ordered) * p / 100)] / 1000:.3f}" for p in PERCENTS)
            )
        console.print(table)
        shares = ", ".join(f"{name} {share:.2f}" for name, share in cores.items())
        console.print(f"  of {len(hops[0]):,} events; {shares}\n", highlight=False)


def _measure(
    traffic: Path, seconds: float, rate: int, burst: int, busy: bool
) -> tuple[Sequence[Sequence[int]], dict[str, float]]:
    """Microseconds that each event took for each hop, and the shares of cores meanwhile."""
    with TemporaryDirectory(prefix="bench-hops-") as name:
        directory = Path(name)
        events = directory / "events"
        with ExitStack() as stack, harness.server(_Traced.into(name)) as server:
            if busy:
                stack.enter_context(module("bench.busy")).line()
            subscriber = stack.enter_context(
                harness.subscribers(server.ws_port, latency=True, events=events, seconds=60)
            )
            load = stack.enter_context(
                harness.load(
                    server,
                    traffic=traffic,
                    nodes=NODES,
                    rate=rate,
                    burst=burst,
                    stamp=True,
                    seconds=seconds + 30,
                )
            )
            seen = harness.observe(
                server, SETTLE_SECONDS, seconds, load=load, subscriber=subscriber
            )
            subscriber.stop()
        return _hops(directory, array("q", events.read_bytes())), seen.shares


def _hops(directory: Path, events: array[int]) -> Sequence[Sequence[int]]:
    sent = {note[0]: note[2] for note in traced.notes(directory, "ingestion", traced.SENT)}
    step = INGESTION_PROCESSES
    chunks: dict[int, list[tuple[int, ...]]] = {rest: [] for rest in range(step)}
    for note in sorted(traced.notes(directory, "hub", traced.PASSED)):
        chunks[note[0] % step].append(note)
    firsts = {rest: [note[0] for note in notes] for rest, notes in chunks.items()}
    # The wall clock's times as those of the monotonic clock.
    shift = JAM_EPOCH - (time.time_ns() - time.monotonic_ns()) // 1000
    hops: list[list[int]] = [[] for _ in HOPS]
    for id, at_node, at_subscriber in zip(events[::3], events[1::3], events[2::3], strict=True):
        rest = id % step
        first, _, read, came, passed = chunks[rest][bisect_right(firsts[rest], id) - 1]
        moments = (at_node + shift, read, sent[first], came, passed, at_subscriber + shift)
        for hop, begin, end in zip(hops, moments, moments[1:], strict=False):
            hop.append(end - begin)
        hops[-1].append(moments[-1] - moments[0])
    return hops
