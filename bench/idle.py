"""A network in which nothing happens: each node sends a ``Status`` every two seconds."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve

from . import harness
from .accounts import Watch
from .harness import Server
from .one_type import block_of_type
from .rows import Report, Row, Sample, Target
from .settings import Settings
from .systems import COMPILED, System
from .traffic import NODES, Traffic

STATUS = 10
"""The discriminator of ``Status``."""

EVERY_SECONDS = 2
SETTLE_SECONDS = 2.0
WINDOW_SECONDS = 15
"""As long as a store waits that has nothing to write but this: a commit is in each window."""

WITHOUT, WITH = "no history", "SQLite"


def run(settings: Settings) -> Report:
    """Share of a core that the whole server takes.

    All systems are measured at once: none of them takes enough to be in the way of another.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-idle-")))
        traffic = directory / "traffic"
        statuses = block_of_type(STATUS, NODES)
        evolve(Traffic.load(settings.traffic), block=statuses).save(traffic)
        cases: list[tuple[str, System, str | None]] = [
            (WITHOUT, system, None) for system in settings.without("python", "A")
        ]
        cases.append((WITH, COMPILED, f"sqlite:{directory / 'telemetry.sqlite'}"))
        servers: dict[tuple[str, str], Server] = {}
        for case, system, database in cases:
            server = stack.enter_context(harness.server(system, database))
            stack.enter_context(
                harness.load(
                    server,
                    traffic=traffic,
                    nodes=NODES,
                    rate=NODES // EVERY_SECONDS,
                    burst=1,
                    stamp=True,
                    seconds=600,
                )
            )
            servers[case, system.name] = server
        time.sleep(SETTLE_SECONDS)
        samples: dict[tuple[str, str], list[Sample]] = {key: [] for key in servers}
        for _ in range(settings.repeats):
            for key, sample in _window(servers, WINDOW_SECONDS).items():
                samples[key].append(sample)
    return Report(
        "idle",
        f"{NODES} nodes that send a Status every {EVERY_SECONDS} s, and nothing else",
        tuple(
            Row(case, system, "% of a core", tuple(samples[case, system]))
            for case, system in samples
        ),
        (
            Target(WITHOUT, "compiled", 3, at_most=True),
            Target(WITH, "compiled", 3, at_most=True),
        ),
        less_is_better=True,
        about="processor time that all processes of the server take, as a share of one core, "
        f"over {WINDOW_SECONDS} s.",
        cases={WITH: "the same with history kept in SQLite."},
    )


def _window(
    servers: dict[tuple[str, str], Server], seconds: float
) -> dict[tuple[str, str], Sample]:
    watches = {key: Watch.of(server) for key, server in servers.items()}
    time.sleep(seconds)
    return {
        key: Sample(
            100 * sum(shares.values()), {role: 100 * share for role, share in shares.items()}
        )
        for key, shares in ((key, watch.shares()) for key, watch in watches.items())
    }
