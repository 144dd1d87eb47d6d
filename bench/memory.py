"""Memory of the processes: with nodes connected, and with the ring full and subscribers reading."""

from __future__ import annotations

import time

from . import harness
from .accounts import family, resident_bytes
from .harness import BenchError, Server
from .processes import await_true
from .rows import Report, Row, Sample, Target
from .settings import Settings
from .systems import COMPILED, INGESTION_PROCESSES

NODES = 1024
SUBSCRIBERS = 100
RING_EVENTS = 500_000
RING_MIB = 256
MIB = 1 << 20
"""The hub's default bounds of the ring."""

INGESTION = f"ingestion process, {NODES} nodes"
HUB = f"hub, ring full, {SUBSCRIBERS} subscribers"


def run(settings: Settings) -> Report:
    """MiB that are resident after a flood through a full ring."""
    with harness.server(COMPILED) as server:
        rows = _measure(server, settings)
    nodes_each = NODES / INGESTION_PROCESSES
    return Report(
        "memory",
        "Memory",
        rows,
        (
            Target(INGESTION, "compiled", 60 + nodes_each * 48 / 1024, at_most=True),
            Target(HUB, "compiled", RING_MIB + 120, at_most=True),
        ),
        less_is_better=True,
    )


def _measure(server: Server, settings: Settings) -> tuple[Row, ...]:
    with (
        harness.subscribers(server.ws_port, connections=SUBSCRIBERS, seconds=60),
        harness.load(server, traffic=settings.traffic, nodes=NODES, seconds=40),
    ):
        if not await_true(lambda: server.ring() > 1.5 * RING_EVENTS, 20):
            raise BenchError(f"only {server.ring()} events came, too few to fill the ring")
        time.sleep(settings.seconds)
        processes = family(server)
        hub, ingestion = (
            max(map(resident_bytes, processes[role])) for role in ("hub", "ingestion")
        )
    return (
        Row(HUB, server.system, "MiB", (Sample(hub / MIB),)),
        Row(INGESTION, server.system, "MiB", (Sample(ingestion / MIB),)),
    )
