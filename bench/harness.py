"""Starts what a benchmark needs, watches what it costs, and ends it whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import IO, Any

from attrs import frozen

from telemetry_twisted.simulator.network import Network

from .progress import Progress
from .subscriber import greeting

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"

START_SECONDS = 20.0
"""How long a process may take until it is ready."""

END_SECONDS = 10.0
"""How long a process may take to end when it is told to."""

INGESTION_PROCESSES = 2

BASELINES = ("A", "B")

_TIED = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""Has a process end also when the one that started it is killed."""

_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something that a benchmark needs did not work."""


@frozen
class Server:
    """A server that takes nodes at ``port`` and subscribers at ``ws_port``.

    ``system`` is ``A``, ``B``, ``python`` or ``compiled``.
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


@frozen
class Child:
    """A process that says when it is ready, and prints its result as JSON in the end."""

    name: str
    process: subprocess.Popen[str]
    errors: IO[str]

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        watchdog = Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        try:
            line = self.process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise self.failed("did not become ready")
        return line

    def await_port(self, port: int) -> None:
        """Wait until it listens on ``port``."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError):
                socket.create_connection((HOST, port), timeout=1).close()
                return
            time.sleep(0.05)
        raise self.failed(f"does not listen on port {port}")

    def go(self) -> None:
        """Let it begin what it waits with."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def stop(self) -> dict[str, Any]:
        """Its result, now."""
        self.process.terminate()
        return self.result(0)

    def result(self, seconds: float) -> dict[str, Any]:
        """Its result, which it is to print in about so many seconds."""
        try:
            output, _ = self.process.communicate(timeout=seconds + END_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.failed("did not end in time") from None
        if not output.strip():
            raise self.failed(f"ended with status {self.process.returncode} and no result")
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    def failed(self, what: str) -> BenchError:
        """The error to raise, with what the process has said."""
        self.errors.seek(0)
        return BenchError(f"{self.name} {what}\n{self.errors.read()[-2000:]}")


@contextmanager
def server(system: str, database: str | None = None) -> Iterator[Server]:
    """A server that runs inside the ``with`` block; ours keeps history only in ``database``."""
    if system in BASELINES:
        with module(f"bench.baselines.{system.lower()}") as child, _blaming(child):
            yield Server(system, child.pid, **json.loads(child.line()))
        return
    port, ws_port = _free_port(), _free_port()
    command = [
        str(Path(sys.executable).with_name("twistd")),
        *("-n", "--pidfile=", "telemetry"),
        *(["--database", database] if database else ["--no-database"]),
        *("--codec", system, "--ingestion-procs", str(INGESTION_PROCESSES)),
        *("--telemetry-endpoint", f"tcp:{port}:interface={HOST}"),
        *("--api-endpoint", f"tcp:{ws_port}:interface={HOST}"),
    ]
    with _process("twistd", command, logs=True) as child, _blaming(child):
        child.await_port(ws_port)
        started = Server(system, child.pid, port, ws_port)
        _await_ingestion(started)
        yield started


@contextmanager
def servers(systems: Iterable[str]) -> Iterator[Mapping[str, Server]]:
    """A server of each system, side by side; those that have nothing to do cost nothing."""
    with ExitStack() as stack:
        yield {system: stack.enter_context(server(system)) for system in systems}


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
def feed(system: str, progress: Progress, **options: Any) -> Iterator[Server]:
    """A server whose ring is fed inside its process, without nodes."""
    name = f"bench.baselines.{system.lower()}" if system in BASELINES else "bench.feed"
    with module(name, "--feed", str(progress.path), *_arguments(options)) as child:
        yield Server(system, child.pid, **json.loads(child.line()))


def await_true(condition: Callable[[], bool], seconds: float, every: float = 0.01) -> bool:
    """Whether ``condition`` comes true within so many seconds."""
    end = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(every)
    return true


def rate(samples: Sequence[tuple[float, int, int]], start: float, end: float) -> float:
    """Events per second between two monotonic times, of ``samples`` as subscribers give them."""
    inside = [sample for sample in samples if start <= sample[0] <= end]
    if len(inside) < 2:
        raise BenchError("the subscribers were not running while they were measured")
    (first, before, _), (last, after, _) = inside[0], inside[-1]
    return (after - before) / (last - first)


class Watch:
    """The processor time that processes take from when it is made."""

    def __init__(self, roles: Mapping[str, Iterable[int]]) -> None:
        self._roles = {role: tuple(pids) for role, pids in roles.items()}
        self._start = time.monotonic()
        self._before = self._seconds()

    @classmethod
    def of(cls, server: Server, **others: Child) -> Watch:
        """Watch the processes of ``server`` by what they do, and ``others`` by name."""
        return cls({**family(server), **{role: [child.pid] for role, child in others.items()}})

    def shares(self) -> dict[str, float]:
        """Cores taken by each role since the beginning; 1.0 is a whole core."""
        elapsed = time.monotonic() - self._start
        after = self._seconds()
        return {f"{role} cores": (after[role] - self._before[role]) / elapsed for role in after}

    def _seconds(self) -> dict[str, float]:
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self._roles.items()}


def family(server: Server) -> dict[str, list[int]]:
    """The processes of a server: those of ours by ``hub``, ``ingestion`` and ``store``."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    roles: dict[str, list[int]] = {"hub" if children else "process": [server.pid]}
    for child in children:
        command = Path(f"/proc/{child}/cmdline").read_bytes()
        role = "store" if b"telemetry_twisted.store" in command else "ingestion"
        roles.setdefault(role, []).append(int(child))
    return roles


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Memory of a process that is resident, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _blaming(server: Child) -> Iterator[None]:
    """Have a connection that fails raise what the server has said."""
    try:
        yield
    except OSError as error:
        raise server.failed(f"broke a connection: {error}") from error


@contextmanager
def module(name: str, *arguments: str, pass_fds: Sequence[int] = ()) -> Iterator[Child]:
    """The Python module ``name`` run as a program, with ``arguments`` and descriptors."""
    command = [sys.executable, "-m", name, *arguments]
    with _process(name, command, pass_fds=pass_fds) as child:
        yield child


@contextmanager
def _process(
    name: str, command: list[str], logs: bool = False, pass_fds: Sequence[int] = ()
) -> Iterator[Child]:
    """A process in a session of its own; ``logs`` if it prints nothing that is to be read."""
    with (
        TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*_TIED, *command],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=errors if logs else subprocess.PIPE,
            stderr=errors,
            text=True,
            pass_fds=pass_fds,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Child(name, process, errors)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
