"""Memory of the whole server: idle, with nodes that are silent, and under a flood."""

from __future__ import annotations

import time

from . import harness
from .accounts import family, proportional_bytes, resident_bytes
from .harness import BenchError, Server
from .processes import await_true
from .rows import Report, Row, Sample, Target
from .settings import Settings
from .systems import INGESTION_PROCESSES, System
from .traffic import NODES

SUBSCRIBERS = 100
RING_EVENTS = 500_000
RING_MIB = 256
"""The hub's default bounds of the ring."""

MIB = 1 << 20
SETTLE_SECONDS = 1.0
FILL_SECONDS = 35.0
"""How long it may take to fill the ring."""

REPEATS = 3

IDLE, NODES_IDLE = "idle", f"{NODES} idle nodes"
LOADED = f"{NODES} nodes flood, {SUBSCRIBERS} subscribers, ring full"
HUB, INGESTION = f"hub, {LOADED}", f"ingestion process, {LOADED}"


def run(settings: Settings) -> Report:
    """MiB of all processes of a server together."""
    samples: dict[tuple[str, str], list[Sample]] = {}
    for _ in range(min(settings.repeats, REPEATS)):
        for system in settings.without("python", "A", "B"):
            for case, sample in _measure(system, settings).items():
                samples.setdefault((case, system.name), []).append(sample)
    nodes_each = NODES / INGESTION_PROCESSES
    return Report(
        "memory",
        f"Memory, without a database, {INGESTION_PROCESSES} ingestion processes",
        tuple(Row(case, system, "MiB", tuple(taken)) for (case, system), taken in samples.items()),
        (
            Target(IDLE, "compiled", 90, at_most=True),
            Target(NODES_IDLE, "compiled", 130, at_most=True),
            Target(HUB, "compiled", RING_MIB + 120, at_most=True),
            Target(INGESTION, "compiled", 60 + nodes_each * 48 / 1024, at_most=True),
        ),
        less_is_better=True,
        about="memory of all processes of the server, of what they share each its part (PSS).",
        cases={
            HUB: "memory of the hub that is resident meanwhile.",
            INGESTION: "memory that is resident of the ingestion process that has most, meanwhile.",
        },
    )


def _measure(system: System, settings: Settings) -> dict[str, Sample]:
    with harness.server(system) as server:
        time.sleep(SETTLE_SECONDS)
        samples = {IDLE: _whole(server)}
        with harness.load(server, traffic=settings.traffic, nodes=NODES, events=0, linger=20):
            time.sleep(SETTLE_SECONDS)
            samples[NODES_IDLE] = _whole(server)
        with (
            harness.subscribers(server.ws_port, connections=SUBSCRIBERS, seconds=60),
            harness.load(server, traffic=settings.traffic, nodes=NODES, seconds=FILL_SECONDS + 5),
        ):
            if not await_true(lambda: server.ring() > 1.5 * RING_EVENTS, FILL_SECONDS):
                raise BenchError(f"only {server.ring()} events came, too few to fill the ring")
            time.sleep(SETTLE_SECONDS)
            samples[LOADED] = _whole(server)
            roles = family(server)
            for case, role in ((HUB, "hub"), (INGESTION, "ingestion")):
                if role in roles:
                    samples[case] = Sample(max(map(resident_bytes, roles[role])) / MIB)
    return samples


def _whole(server: Server) -> Sample:
    by_role = {
        f"{role} MiB": sum(map(proportional_bytes, pids)) / MIB
        for role, pids in family(server).items()
    }
    return Sample(sum(by_role.values()), by_role)
