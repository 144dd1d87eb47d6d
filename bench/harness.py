"""Starts the servers, loads and subscribers of a benchmark, and ends them whatever happens."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from attrs import frozen

from telemetry_twisted.simulator.network import Network

from .accounts import Watch as Watch
from .processes import HOST as HOST
from .processes import START_SECONDS, Child, await_true, free_port, module, process
from .processes import BenchError as BenchError
from .progress import Progress
from .systems import INGESTION_PROCESSES, System
from .traffic import NODES
from .websocket import greeting


@frozen
class Server:
    """A server that takes nodes at ``port`` and subscribers at ``ws_port``.

    ``system`` is the name of the system that it is one of.
    """

    system: str
    pid: int
    port: int
    ws_port: int

    def ring(self) -> int:
        """Events that have reached the ring, as a new subscriber is told."""
        return int(greeting(HOST, self.ws_port)["broadcaster_stats"]["total_events_broadcast"])

    def await_nodes(self, nodes: int) -> None:
        """Wait until so many nodes are connected.

        :raises BenchError: if that takes too long.
        """

        def known() -> int:
            return int(greeting(HOST, self.ws_port)["total_nodes"])

        if not await_true(lambda: known() == nodes, START_SECONDS):
            raise BenchError(f"{self.system} knows {known()} nodes, and should know {nodes}")


@contextmanager
def server(
    system: System, database: str | None = None, most_nodes: int = NODES
) -> Iterator[Server]:
    """A server that runs inside the ``with`` block; ours keeps history only in ``database``."""
    port, ws_port = free_port(), free_port()
    command = system.command(port, ws_port, database, most_nodes)
    with process(system.label, command, system.directory, logs=True) as child, _blaming(child):
        child.await_port(ws_port)
        started = Server(system.name, child.pid, port, ws_port)
        _await_ingestion(started)
        yield started


@contextmanager
def servers(systems: Iterable[System], most_nodes: int = NODES) -> Iterator[Mapping[str, Server]]:
    """A server of each system, side by side; those that have nothing to do cost nothing."""
    with ExitStack() as stack:
        yield {
            system.name: stack.enter_context(server(system, most_nodes=most_nodes))
            for system in systems
        }


@contextmanager
def load(target: Server, **options: Any) -> Iterator[Child]:
    """A load generator that begins now; ``options`` are those of its command.

    All its nodes are known to the server. Those of the load before are gone.
    """
    nodes = options["nodes"]
    target.await_nodes(0)
    with module("bench.load", *_arguments(options), "--wait", f"{HOST}:{target.port}") as child:
        child.line()
        target.await_nodes(nodes)
        child.go()
        yield child


@contextmanager
def subscribers(ws_port: int, **options: Any) -> Iterator[Child]:
    """Subscribers that are subscribed; ``options`` are those of their command."""
    with module("bench.subscriber", *_arguments(options), f"{HOST}:{ws_port}") as child:
        child.line()
        yield child


@contextmanager
def feed(system: System, progress: Progress, **options: Any) -> Iterator[Server]:
    """A server whose ring is fed inside its process, without nodes."""
    command = system.feed_command()
    if command is None:
        raise BenchError(f"{system.label} cannot be fed inside its process")
    arguments = ["--feed", str(progress.path), *_arguments(options)]
    with process(system.label, [*command, *arguments], system.directory) as child:
        yield Server(system.name, child.pid, **json.loads(child.line()))


@frozen
class Observed:
    """What was seen of a server from ``start`` to ``end``, by the monotonic clock.

    ``shares`` are cores taken by role, ``spent`` seconds of processor time of the server's own.
    """

    start: float
    end: float
    shares: dict[str, float]
    spent: float

    def rate(self, samples: Sequence[tuple[float, int, int]]) -> float:
        """Events per second meanwhile, of ``samples`` as subscribers give them."""
        return rate(samples, self.start, self.end)

    def cost(self, rate: float) -> float:
        """Seconds of the server's processor time for a million events, at ``rate`` a second.

        :raises BenchError: if nothing was delivered.
        """
        if not rate:
            raise BenchError("nothing was delivered while it was measured")
        return 1e6 * self.spent / (self.end - self.start) / rate


def observe(server: Server, settle: float, seconds: float, **others: Child) -> Observed:
    """Let ``server``, and ``others`` by their roles, work; see what they take once they settled."""
    time.sleep(settle)
    watch = Watch.of(server, **others)
    start = time.monotonic()
    time.sleep(seconds)
    shares, spent = watch.shares(), watch.server_seconds()
    return Observed(start, time.monotonic(), shares, spent)


def rate(samples: Sequence[tuple[float, int, int]], start: float, end: float) -> float:
    """Events per second between two monotonic times, of ``samples`` as subscribers give them."""
    inside = [sample for sample in samples if start <= sample[0] <= end]
    if len(inside) < 2:
        raise BenchError("the subscribers were not running while they were measured")
    (first, before, _), (last, after, _) = inside[0], inside[-1]
    return (after - before) / (last - first)


@contextmanager
def _blaming(server: Child) -> Iterator[None]:
    """Have a connection that fails raise what the server has said."""
    try:
        yield
    except OSError as error:
        raise server.failed(f"broke a connection: {error}") from error


def _await_ingestion(server: Server) -> None:
    """Wait until every ingestion process serves nodes: of the first, each gets one."""
    network = Network(nodes=INGESTION_PROCESSES)
    with ExitStack() as stack:
        for index in range(network.nodes):
            node = stack.enter_context(socket.create_connection((HOST, server.port)))
            node.sendall(network.node_information(index))
        server.await_nodes(network.nodes)


def _arguments(options: Mapping[str, Any]) -> list[str]:
    arguments = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif value is not None:
            arguments += [flag, str(value)]
    return arguments
