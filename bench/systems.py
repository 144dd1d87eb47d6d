"""The systems that are measured beside each other, and how each is started.

Two baselines, ours with either codec, and on request ours as it was at another revision and a
server of somebody else's.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen

from .processes import HOST, ROOT

INGESTION_PROCESSES = 2

BASELINES = ("A", "B")
OURS = ("python", "compiled")
OTHER = "other"

RELEASED = "9e19785"
"""The commit of release 1.0.0, which targets speak of: ``--against 9e19785`` measures it."""

TELEMETRY_PORT, API_PORT = "{telemetry_port}", "{api_port}"
EXAMPLE = f"rival --telemetry {HOST}:{TELEMETRY_PORT} --api {HOST}:{API_PORT}"


@frozen
class System:
    """What can be measured; ``name`` is how rows call it, ``label`` how tables do.

    ``directory`` is where its processes run.
    """

    name: str
    label: str
    directory: Path = field(default=ROOT, kw_only=True)

    def command(self, port: int, ws_port: int, database: str | None, most_nodes: int) -> list[str]:
        """What starts it: nodes connect to ``port``, subscribers to ``ws_port``."""
        raise NotImplementedError

    def feed_command(self) -> list[str] | None:
        """What starts it without nodes, to be fed inside its process as ``--feed FILE`` says.

        None if it cannot be.
        """
        return None


@frozen
class Baseline(System):
    """``A`` or ``B``; it keeps no history and bounds nothing."""

    def command(self, port: int, ws_port: int, database: str | None, most_nodes: int) -> list[str]:
        return [*self._module(), "--port", str(port), "--ws-port", str(ws_port)]

    def feed_command(self) -> list[str]:
        return self._module()

    def _module(self) -> list[str]:
        return [sys.executable, "-m", f"bench.baselines.{self.name.lower()}"]


@frozen
class Ours(System):
    """``twistd telemetry`` of the environment of ``python``, with ``codec``.

    ``program`` runs in place of ``twistd`` if it is given.
    """

    codec: str
    python: Path = field(factory=lambda: Path(sys.executable))
    program: tuple[str, ...] = ()

    def command(self, port: int, ws_port: int, database: str | None, most_nodes: int) -> list[str]:
        return [
            *(self.program or [str(self.python.with_name("twistd"))]),
            *("-n", "--pidfile=", "telemetry"),
            *(["--database", database] if database else ["--no-database"]),
            *("--codec", self.codec, "--ingestion-procs", str(INGESTION_PROCESSES)),
            *("--max-nodes", str(most_nodes)),
            *("--telemetry-endpoint", f"tcp:{port}:interface={HOST}"),
            *("--api-endpoint", f"tcp:{ws_port}:interface={HOST}"),
        ]

    def feed_command(self) -> list[str]:
        return [str(self.python), "-m", "bench.feed"]


@frozen
class Other(System):
    """A rival: its command, with :data:`TELEMETRY_PORT` and :data:`API_PORT` where they belong.

    It has to run until it gets SIGTERM, and to speak both protocols as far as a benchmark does:

    - nodes connect to the telemetry port over TCP and send JIP-3: a node information, then events;
      it has to take 1,024 of them from one address, and 4,096 from four;
    - ``GET /api/ws`` at the API port is a WebSocket without compression. Its first message is
      ``connected``, whose data has ``total_nodes``, those that are connected now, and
      ``broadcaster_stats.total_events_broadcast``, the events that have reached its ring;
    - a new subscriber gets all events, each as ``{"type":"event","data":{"id":…``, written without
      blanks and in this order, alone in a frame or any number of them in one of type ``batch``, and
      with ``"timestamp"`` as the first member of what the event holds;
    - ``{"type":"Subscribe","filter":{"type":"Nodes","node_ids":[…]}}`` is answered by
      ``subscribed``;
    - what a subscriber missed is told as ``lagged`` with ``skipped``: where nothing may be lost, a
      run fails in which it was told, or in which events are missing.
    """

    words: tuple[str, ...]

    def command(self, port: int, ws_port: int, database: str | None, most_nodes: int) -> list[str]:
        ports = {TELEMETRY_PORT: str(port), API_PORT: str(ws_port)}
        return [_with(ports, word) for word in self.words]


def _with(ports: dict[str, str], word: str) -> str:
    for placeholder, port in ports.items():
        word = word.replace(placeholder, port)
    return word


PYTHON = Ours("python", "ours, Python codec", "python")
COMPILED = Ours("compiled", "ours, compiled codec", "compiled")
SYSTEMS: tuple[System, ...] = (
    Baseline("A", "baseline A"),
    Baseline("B", "baseline B"),
    PYTHON,
    COMPILED,
)


def other(command: str) -> Other:
    """The rival that ``command`` starts, which is split as a shell does.

    :raises ValueError: if it does not say where the ports go.
    """
    words = tuple(shlex.split(command))
    for placeholder in (TELEMETRY_PORT, API_PORT):
        if not any(placeholder in word for word in words):
            raise ValueError(f"expected {placeholder} where its port belongs, as in {EXAMPLE!r}")
    return Other(OTHER, OTHER, words)


def references(systems: Sequence[System]) -> tuple[str, ...]:
    """The names of those that ours is compared with."""
    return tuple(system.name for system in systems if system.name not in OURS)


def labels(systems: Sequence[System]) -> dict[str, str]:
    """How tables call the systems, by name."""
    return {system.name: system.label for system in systems}
