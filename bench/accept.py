"""How connections spread over processes: three ways to accept them.

``shared socket``: all processes listen on one socket. ``SO_REUSEPORT``: each has its own, and the
kernel chooses by a hash. ``dealt``: one process accepts, and hands the sockets on in turn.
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from telemetry_twisted.ingestion.handover import SocketReceiver, send_socket

from . import harness
from .harness import HOST, BenchError, Child
from .rows import Measure, Report, Row, Sample, Target, interleave
from .settings import Settings

CONNECTIONS = 1024
PROCESSES = (4, 8)
SHARED, REUSEPORT, DEALT = "shared socket", "SO_REUSEPORT", "dealt"
WAYS = (SHARED, REUSEPORT, DEALT)
LIMIT = 10.0
COST = "µs a connection"


def run(settings: Settings) -> Report:
    """Deviation of the worst process from an even share, in percent, and the cost."""
    with ExitStack() as stack:
        measures: dict[tuple[str, str], Measure] = {
            (f"{processes} processes", way): stack.enter_context(_acceptors(way, processes))
            for processes in PROCESSES
            for way in WAYS
        }
        rows = interleave(settings.repeats, "% from even", measures)
    return Report(
        "accept",
        f"{CONNECTIONS} connections at once, spread over processes",
        (*rows, *map(_cost, rows)),
        tuple(Target(f"{processes} processes", DEALT, 25, at_most=True) for processes in PROCESSES),
        less_is_better=True,
    )


def _cost(row: Row) -> Row:
    samples = tuple(Sample(sample.details[COST]) for sample in row.samples)
    return Row(f"{row.case}, cost", row.system, COST, samples)


@contextmanager
def _acceptors(way: str, processes: int) -> Iterator[Measure]:
    """Processes that accept in one of the ways; gives what measures them."""
    with ExitStack() as stack:
        first = stack.enter_context(_listen(way == REUSEPORT))
        address = first.getsockname()
        channels: list[socket.socket] = []
        ends = [first] * processes
        if way == REUSEPORT:
            more = [_listen(True, address[1]) for _ in range(processes - 1)]
            ends = [first, *map(stack.enter_context, more)]
        elif way == DEALT:
            pairs = [socket.socketpair() for _ in range(processes)]
            channels = [stack.enter_context(here) for here, _ in pairs]
            ends = [stack.enter_context(there) for _, there in pairs]
        how = "--take" if way == DEALT else "--accept"
        children = [
            stack.enter_context(
                harness.module("bench.accept", how, str(end.fileno()), pass_fds=[end.fileno()])
            )
            for end in ends
        ]
        for child in children:
            child.line()

        def measure() -> Sample:
            connections = [socket.create_connection(address) for _ in range(CONNECTIONS)]
            spent = _deal(first, channels) if channels else 0.0
            results = _results(children)
            for connection in connections:
                connection.close()
            counts = [connections for connections, _ in results]
            even = CONNECTIONS / processes
            cost = 1e6 * (spent + sum(cpu for _, cpu in results)) / CONNECTIONS
            worst = max(abs(count - even) for count in counts)
            details = {COST: cost, "most": max(counts), "least": min(counts)}
            return Sample(100 * worst / even, details)

        yield measure


def _results(children: list[Child]) -> list[tuple[int, float]]:
    """The connections that each child has got, and the processor time they took, in seconds."""
    counts = [0] * len(children)
    spent = [0.0] * len(children)
    end = time.monotonic() + LIMIT
    while sum(counts) < CONNECTIONS:
        if time.monotonic() > end:
            raise BenchError(f"{sum(counts)} connections of {CONNECTIONS} were accepted")
        time.sleep(0.1)
        for index, child in enumerate(children):
            child.process.send_signal(signal.SIGUSR1)
            news = json.loads(child.line())
            counts[index] += news["connections"]
            spent[index] += news["cpu"]
    return list(zip(counts, spent, strict=True))


def _listen(reuse_port: bool = False, port: int = 0) -> socket.socket:
    listening = socket.socket()
    if reuse_port:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((HOST, port))
    listening.listen(CONNECTIONS)
    listening.setblocking(False)
    return listening


def _deal(listening: socket.socket, channels: list[socket.socket]) -> float:
    """Accept all connections and deal them in turn; the processor time that took, in seconds."""
    start = time.process_time()
    end = time.monotonic() + LIMIT
    dealt = 0
    while dealt < CONNECTIONS and time.monotonic() < end:
        select.select([listening], [], [], 0.1)
        try:
            accepted, _ = listening.accept()
        except BlockingIOError:
            continue
        with accepted:
            while not send_socket(channels[dealt % len(channels)], accepted):
                select.select([], [channels[dealt % len(channels)]], [], 0.1)
        dealt += 1
    return time.process_time() - start


class Tally:
    """Counts connections, and the processor time up to the last of them."""

    def __init__(self) -> None:
        self._connections = 0
        self._begin = self._end = time.process_time()

    def start(self) -> None:
        """Begin to count."""
        self._connections = 0
        self._begin = self._end = time.process_time()

    def connection_made(self) -> None:
        """One more."""
        self._connections += 1
        self._end = time.process_time()

    def say(self) -> None:
        """Print the count as JSON, and begin again."""
        spent = self._end - self._begin
        print(json.dumps({"connections": self._connections, "cpu": spent}), flush=True)
        self.start()


def serve(accept: int | None, take: int | None) -> None:
    """Be one of the processes: accept from one descriptor, or take sockets over another.

    At SIGUSR1 it prints what has come since the last time.
    """
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import Factory, Protocol

    reactor: Any = installed
    tally = Tally()

    class Node(Protocol):
        def connectionMade(self) -> None:
            tally.connection_made()

    factory = Factory.forProtocol(Node)
    if accept is not None:
        reactor.adoptStreamPort(accept, socket.AF_INET, factory)
    elif take is not None:

        def taken(accepted: socket.socket | None) -> None:
            assert accepted is not None
            with accepted:
                reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, factory)

        SocketReceiver(reactor, socket.socket(fileno=take), taken).start()
    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(tally.say))
    reactor.callWhenRunning(tally.start)
    reactor.callWhenRunning(print, "ready", flush=True)
    reactor.run()


def main() -> None:
    """Be one of the processes of the benchmark."""
    parser = argparse.ArgumentParser(prog="bench.accept", description=__doc__)
    parser.add_argument("--accept", type=int, metavar="FD", help="listening socket")
    parser.add_argument("--take", type=int, metavar="FD", help="UNIX socket")
    options = parser.parse_args()
    serve(options.accept, options.take)


if __name__ == "__main__":
    main()
