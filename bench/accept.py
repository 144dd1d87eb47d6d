"""How connections spread over processes: four ways to accept them.

``shared socket``: all processes listen on one socket. ``SO_REUSEPORT``: each has its own, and the
kernel chooses by a hash. ``dealt``: one process, the hub, accepts, and hands each connection to the
process that has fewest. ``permits``: all listen on one socket, and each accepts as far as the hub
permits, which is what the server does.
"""

from __future__ import annotations

import argparse
import json
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.permits import Permits
from telemetry_twisted.ingestion.accept import Acceptor
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link, hand_over

from .processes import HOST, BenchError, Child, module
from .rows import Measure, Report, Row, Sample, Target, interleave
from .settings import Settings

CONNECTIONS = 1024
LEAVING = 500
PROCESSES = (4, 8)
SHARED, REUSEPORT, DEALT, PERMITS = "shared socket", "SO_REUSEPORT", "dealt", "permits"
WAYS = (SHARED, REUSEPORT, DEALT, PERMITS)
LIMIT = 20.0
RENEWED, TIME, COST, HUB_COST = "renewed, %", "all, ms", "each, µs", "each in the hub, µs"
ASIDES = {
    RENEWED: f", {LEAVING} left and {LEAVING} came",
    TIME: ", until all are accepted",
    COST: ", cost",
    HUB_COST: ", of which in the hub",
}
UNITS = {RENEWED: "% from even", TIME: "ms", COST: "µs a connection", HUB_COST: "µs a connection"}

Hub = Callable[[int], float]
"""Sees to it that so many more connections are accepted; the processor time it took, in seconds."""


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
        (*rows, *(_aside(row, what) for what in ASIDES for row in rows)),
        tuple(
            Target(f"{processes} processes", PERMITS, 5, at_most=True) for processes in PROCESSES
        ),
        less_is_better=True,
    )


def _aside(row: Row, what: str) -> Row:
    samples = tuple(Sample(sample.details[what]) for sample in row.samples)
    return Row(f"{row.case}{ASIDES[what]}", row.system, UNITS[what], samples)


@contextmanager
def _acceptors(way: str, processes: int) -> Iterator[Measure]:
    """Processes that accept in one of the ways; gives what measures them."""
    with ExitStack() as stack:
        first = stack.enter_context(_listen(way == REUSEPORT))
        address = first.getsockname()
        channels: list[socket.socket] = []
        ends = [[first]] * processes
        if way == REUSEPORT:
            more = [_listen(True, address[1]) for _ in range(processes - 1)]
            ends = [[end] for end in (first, *map(stack.enter_context, more))]
        elif way in (DEALT, PERMITS):
            pairs = [socket.socketpair() for _ in range(processes)]
            channels = [stack.enter_context(here) for here, _ in pairs]
            theirs = [stack.enter_context(there) for _, there in pairs]
            ends = [[there] if way == DEALT else [first, there] for there in theirs]
        how = {DEALT: "--take", PERMITS: "--share"}.get(way, "--accept")
        children = [
            stack.enter_context(module("bench.accept", how, *map(str, fds), pass_fds=fds))
            for fds in ([end.fileno() for end in sockets] for sockets in ends)
        ]
        client = stack.enter_context(module("bench.accept", "--connect", str(address[1])))
        for child in (*children, client):
            child.line()
        counts = [0] * processes
        hub = {DEALT: _dealer(first, channels, counts), PERMITS: _sharer(channels)}.get(
            way, _nobody
        )

        def come(number: int) -> tuple[float, float, float]:
            _tell(client, f"connect {number}")
            hub_spent = hub(number)
            began = json.loads(client.line())["began"]
            spent, ended = _await(children, counts, number)
            return hub_spent, spent, ended - began

        def off() -> float:
            even = CONNECTIONS / processes
            return 100 * max(abs(count - even) for count in counts) / even

        def measure() -> Sample:
            hub_spent, spent, took = come(CONNECTIONS)
            deviation = off()
            details = {
                TIME: 1e3 * took,
                COST: 1e6 * (hub_spent + spent) / CONNECTIONS,
                HUB_COST: 1e6 * hub_spent / CONNECTIONS,
                "most": max(counts),
                "least": min(counts),
            }
            _leave(client, hub, children, counts, LEAVING)
            come(LEAVING)
            details[RENEWED] = off()
            _leave(client, hub, children, counts, CONNECTIONS)
            return Sample(deviation, details)

        yield measure


def _tell(client: Child, what: str) -> None:
    assert client.process.stdin is not None
    client.process.stdin.write(f"{what}\n")
    client.process.stdin.flush()


def _leave(client: Child, hub: Hub, children: list[Child], counts: list[int], number: int) -> None:
    _tell(client, f"close {number}")
    client.line()
    _await(children, counts, -number)
    hub(0)


def _await(children: list[Child], counts: list[int], change: int) -> tuple[float, float]:
    """Wait until all children together have so many connections more.

    Their ``counts`` are brought up to date. Gives the processor time that the connections took, in
    seconds, and when the last of them was accepted.
    """
    goal = sum(counts) + change
    spent, last = 0.0, 0.0
    end = time.monotonic() + LIMIT
    while sum(counts) != goal:
        if time.monotonic() > end:
            raise BenchError(f"{sum(counts)} connections are there, not {goal}")
        time.sleep(0.1)
        for index, child in enumerate(children):
            child.process.send_signal(signal.SIGUSR1)
            news = json.loads(child.line())
            counts[index] = news["connections"]
            spent += news["cpu"]
            last = max(last, news["last"])
    return spent, last


def _listen(reuse_port: bool = False, port: int = 0) -> socket.socket:
    listening = socket.socket()
    if reuse_port:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((HOST, port))
    listening.listen(CONNECTIONS)
    listening.setblocking(False)
    return listening


def _nobody(_: int) -> float:
    """There is no hub: processes accept whatever they get."""
    return 0.0


def _dealer(listening: socket.socket, channels: list[socket.socket], counts: list[int]) -> Hub:
    """A hub that accepts, and gives each connection to the process that has fewest."""

    def hub(number: int) -> float:
        have = counts[:]
        start = time.process_time()
        end = time.monotonic() + LIMIT
        dealt = 0
        while dealt < number and time.monotonic() < end:
            select.select([listening], [], [], 0.1)
            try:
                accepted, _ = listening.accept()
            except BlockingIOError:
                continue
            with accepted:
                fewest = have.index(min(have))
                socket.send_fds(channels[fewest], [b"\0"], [accepted.fileno()])
            have[fewest] += 1
            dealt += 1
        return time.process_time() - start

    return hub


@define(eq=False)
class Sharer:
    """The hub's end of a process that accepts as far as it is permitted."""

    channel: socket.socket
    reckoning: Permits
    accepts: bool = True
    spent: int = 0
    held: bytes = b""

    def read(self) -> None:
        """Take the records that have come."""
        data = self.held + self.channel.recv(1 << 16)
        self.held = data[hand_over(memoryview(data), self) :]
        self.records_done()

    def permit(self, count: int) -> None:
        self.channel.sendall(records.encode_json(records.PERMIT, {"count": count}))

    def record_received(self, kind: int, body: bytes) -> None:
        if kind == records.ACCEPTED:
            records.decode_json(body)
            self.spent += 1
            self.reckoning.accepted(self)
        else:
            self.reckoning.ended(self)

    def link_made(self, link: Link) -> None:
        raise AssertionError

    def records_done(self) -> None:
        self.reckoning.give()

    def link_lost(self, reason: object) -> None:
        raise AssertionError


def _sharer(channels: list[socket.socket]) -> Hub:
    """A hub that gives permits."""
    permits = Permits(4 * CONNECTIONS)
    sharers = {channel: Sharer(channel, permits) for channel in channels}
    for sharer in sharers.values():
        permits.join(sharer)
    permits.give()

    def spent() -> int:
        return sum(sharer.spent for sharer in sharers.values())

    def hub(number: int) -> float:
        start = time.process_time()
        end = time.monotonic() + LIMIT
        goal = spent() + number
        while time.monotonic() < end:
            ready = select.select(channels, [], [], 0.1 if spent() < goal else 0)[0]
            if not ready and spent() == goal:
                break
            for channel in ready:
                sharers[channel].read()
        return time.process_time() - start

    return hub


class Tally:
    """Counts connections, and the processor time up to the last of them."""

    def __init__(self) -> None:
        self._connections = 0
        self._last = 0.0
        self.start()

    def start(self) -> None:
        """Begin to measure."""
        self._begin = self._end = time.process_time()

    def connection_made(self) -> None:
        """One more."""
        self._connections += 1
        self._end = time.process_time()
        self._last = time.monotonic()

    def connection_lost(self) -> None:
        """One less."""
        self._connections -= 1

    def say(self) -> None:
        """Print what was measured as JSON, and begin again."""
        said = {
            "connections": self._connections,
            "cpu": self._end - self._begin,
            "last": self._last,
        }
        print(json.dumps(said), flush=True)
        self.start()


class Acceptance:
    """One of the processes that share a socket, with a link to the hub (:class:`.Taker`)."""

    def __init__(
        self, reactor: Any, listening: int, adopt: Callable[[socket.socket], None]
    ) -> None:
        self._adopt = adopt
        self._acceptor = Acceptor(reactor, socket.socket(fileno=listening), self)

    def link_made(self, link: Link) -> None:
        self._link = link

    def record_received(self, kind: int, body: bytes) -> None:
        self._acceptor.permit(records.decode_json(body)["count"])

    def records_done(self) -> None:
        pass

    def link_lost(self, reason: object) -> None:
        pass

    def connection_accepted(self, accepted: socket.socket, host: str) -> None:
        told = {"connection": accepted.fileno(), "host": host}
        self._link.queue(records.encode_json(records.ACCEPTED, told))
        self._adopt(accepted)

    def connection_lost(self) -> None:
        """One of them has ended."""
        self._link.send(records.encode_json(records.GONE, {}))

    def connection_shed(self, host: str) -> None:
        raise AssertionError

    def turn_done(self) -> None:
        self._link.flush()

    def permits_returned(self, count: int) -> None:
        raise AssertionError

    def permits_wanted(self) -> None:
        raise AssertionError


def serve(accept: int | None, take: int | None, share: list[int] | None) -> None:
    """Be one of the processes: accept from one descriptor, take sockets over another, or share.

    At SIGUSR1 it prints what has come since the last time.
    """
    from twisted.internet import reactor as installed
    from twisted.internet.protocol import Factory, Protocol

    reactor: Any = installed
    tally = Tally()
    losses = [tally.connection_lost]

    class Node(Protocol):
        def connectionMade(self) -> None:
            tally.connection_made()

        def connectionLost(self, reason: object = None) -> None:
            for tell in losses:
                tell()

    factory = Factory.forProtocol(Node)

    def adopt(accepted: socket.socket) -> None:
        with accepted:
            reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, factory)

    if accept is not None:
        reactor.adoptStreamPort(accept, socket.AF_INET, factory)
    elif take is not None:
        reactor.addReader(Hands(socket.socket(fileno=take), adopt))
    elif share is not None:
        acceptance = Acceptance(reactor, share[0], adopt)
        losses.append(acceptance.connection_lost)
        errors = InternalErrors(reactor)
        Link(reactor, socket.socket(fileno=share[1]), acceptance, errors).start()
    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(tally.say))
    reactor.callWhenRunning(tally.start)
    reactor.callWhenRunning(print, "ready", flush=True)
    reactor.run()


@implementer(IReadDescriptor)
class Hands:
    """Takes up the sockets that come over ``channel``, each with a byte."""

    def __init__(self, channel: socket.socket, adopt: Callable[[socket.socket], None]) -> None:
        self._channel = channel
        self._adopt = adopt
        channel.setblocking(False)

    def doRead(self) -> None:
        with suppress(BlockingIOError):
            while True:
                _, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
                if not descriptors:
                    return
                self._adopt(socket.socket(fileno=descriptors[0]))

    def fileno(self) -> int:
        return self._channel.fileno()

    def connectionLost(self, reason: object) -> None:
        pass

    def logPrefix(self) -> str:
        return "hands"


def connect(port: int) -> None:
    """Connect and close as standard input says: ``connect N``, ``close N`` of them by chance."""
    chance = random.Random(7)
    connections: list[socket.socket] = []
    print("ready", flush=True)
    for line in sys.stdin:
        what, number = line.split()
        began = time.monotonic()
        for _ in range(int(number)):
            if what == "connect":
                connections.append(socket.create_connection((HOST, port)))
            else:
                connections.pop(chance.randrange(len(connections))).close()
        print(json.dumps({"began": began}), flush=True)


def main() -> None:
    """Be one of the processes of the benchmark."""
    parser = argparse.ArgumentParser(prog="bench.accept", description=__doc__)
    parser.add_argument("--accept", type=int, metavar="FD", help="listening socket")
    parser.add_argument("--take", type=int, metavar="FD", help="UNIX socket")
    parser.add_argument("--share", type=int, nargs=2, metavar="FD", help="listening socket, link")
    parser.add_argument("--connect", type=int, metavar="PORT", help="be the client")
    options = parser.parse_args()
    if options.connect is not None:
        connect(options.connect)
    else:
        serve(options.accept, options.take, options.share)


if __name__ == "__main__":
    main()
