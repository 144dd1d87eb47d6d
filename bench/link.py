"""The link between processes: a socket pair against memory that both share.

It is told why the link is a socket pair, so it is run by name alone. What the writers take to keep
time is measured without a link, and not counted.
"""

from __future__ import annotations

from . import processes
from .link_ends import NOTHING, SHARED, SOCKET
from .rows import Measure, Report, Sample, interleave
from .settings import Settings

SECONDS = 1.0
CASES = {
    "flood: 30,000 chunks of 100 events": (30_000, 100),
    "bursts: 10,000 chunks of 10 events": (10_000, 10),
    "singles: 50,000 chunks of 1 event": (50_000, 1),
}
WAYS = {
    SOCKET: "a socket pair",
    SHARED: "shared memory",
}


def run(settings: Settings) -> Report:
    """Processor seconds of both ends per million events."""
    measures: dict[tuple[str, str], Measure] = {
        (case, name): _measure_of(way, *load)
        for case, load in CASES.items()
        for way, name in WAYS.items()
    }
    return Report(
        "link",
        "Two processes write chunks to one, so many a second",
        interleave(settings.repeats, "s per million events", measures),
        less_is_better=True,
    )


def _measure_of(way: str, chunks: int, events: int) -> Measure:
    def ends(way: str) -> dict[str, float]:
        arguments = (way, str(chunks), str(events), str(SECONDS))
        with processes.module("bench.link_ends", *arguments) as child:
            return child.result(SECONDS)

    def measure() -> Sample:
        pacing, found = ends(NOTHING)["write"], ends(way)
        million = found["events"] / 1e6
        written, read = (found["write"] - pacing) / million, found["read"] / million
        details = {
            "written": written,
            "read": read,
            "p50 us": found["p50"],
            "p99 us": found["p99"],
            "reads": found["reads"],
        }
        return Sample(written + read, details)

    return measure
