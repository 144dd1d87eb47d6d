"""The load generator: many nodes in one process, at as little cost as Python allows.

``python -m bench.load --traffic FILE --nodes 1024 HOST:PORT`` floods; ``--rate`` holds it to so
many events a second; ``--ahead N --progress FILE`` lets it send N events more than the subscriber
has read. Events are encoded before it starts: all nodes send slices of the same block, in turn.

It prints ``ready`` when all nodes have sent their node information, and with ``--wait`` goes on
when it reads a line. At the end it prints a JSON object: ``sent`` events from the monotonic time
``start`` on in ``seconds``, ``cpu`` seconds of its own, and how often a node's socket would take no
more (``blocked``).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import select
import signal
import socket
import struct
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from .processes import raise_file_limit
from .progress import Progress
from .traffic import Traffic

FLOOD_SLICE = 65536
"""Bytes that a node sends at once in a flood."""

SEND_BUFFER = 262144
"""Bytes that the kernel takes from a node before it blocks."""

NODES_AN_ADDRESS = 1024
"""A server may bound what comes from one address: so many nodes come from each of our machine's."""

JAM_EPOCH = 1_735_732_800_000_000
"""2025-01-01T12:00:00Z in microseconds of Unix time (JIP-3, timestamps)."""

AHEAD_REST = 0.0002
"""How long a load that is ahead rests, in seconds."""

REST_SECONDS = 0.00005
"""The shortest rest of a load that is held to a rate: what is due after it goes out at once."""

_PR_SET_TIMERSLACK = 29

_STAMP = struct.Struct("<Q").pack_into
_ABORT = struct.pack("ii", 1, 0)


def _now() -> int:
    return time.time_ns() // 1000 - JAM_EPOCH


class Node:
    """A connection that sends the block over and over.

    ``at`` is the byte of the block it has come to, ``sent`` the bytes it has sent, ``left`` those
    it may still send.
    """

    def __init__(self, information: bytes, at: int, index: int, host: str, port: int) -> None:
        self.at = at
        self.sent = 0
        self.left = sys.maxsize
        self.socket = socket.create_connection((host, port), source_address=_source(index))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(information)
        self.socket.setblocking(False)

    def send(self, data: memoryview) -> bool:
        """Send what the kernel takes of ``data``; whether it was all."""
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            return False
        self.at += sent
        self.sent += sent
        self.left -= sent
        return sent == len(data)

    def abort(self) -> None:
        """Close at once, without what is still in the kernel's buffers."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self.socket.close()


def _source(index: int) -> tuple[str, int] | None:
    """Where a node connects from: all of 127.0.0.0/8 is our own machine."""
    others = index // NODES_AN_ADDRESS
    return (f"127.0.0.{1 + others}", 0) if others else None


class Load:
    """``nodes`` connections that send the block of ``traffic``, each from another event on.

    Its events are as of now, or with ``stamp`` as of when they are sent. Before them, and beside
    what is counted as sent, each node says that it dropped those up to there, so that IDs are as
    recorded.
    """

    def __init__(self, host: str, port: int, nodes: int, traffic: Traffic, stamp: bool) -> None:
        block = traffic.block
        self.sent = 0
        self.blocked = 0
        self.stopped = False
        self._offsets = block.offsets
        self._count = block.count
        self._buffer = bytearray(block.data)
        self._view = memoryview(self._buffer)
        self._stamp = stamp
        # Nodes' clocks are about right: where they are not, each event is a fault to be told.
        self._stamp_events(0, self._count)
        self._begins = [index * block.count // nodes for index in range(nodes)]
        self._nodes = [
            Node(
                information + block.dropped_before(begin, _now()),
                block.offsets[begin],
                index,
                host,
                port,
            )
            for index, (information, begin) in enumerate(
                zip(traffic.informations, self._begins, strict=False)
            )
        ]

    def flood(self, seconds: float, events: int | None = None) -> None:
        """Send as fast as the sockets take it; with ``events``, about so many of each node."""
        poller = select.epoll()
        nodes = {node.socket.fileno(): node for node in self._nodes}
        for file in nodes:
            poller.register(file, select.EPOLLOUT)
        if events is not None:
            for node, begin in zip(self._nodes, self._begins, strict=True):
                node.left = self._bytes(begin, events // len(nodes))
        whole, view = len(self._buffer), self._view
        end = time.monotonic() + seconds
        while nodes and not self.stopped and time.monotonic() < end:
            for file, _ in poller.poll(0.1):
                node = nodes[file]
                slice_end = min(node.at + FLOOD_SLICE, node.at + node.left)
                if not node.send(view[node.at : slice_end]):
                    self.blocked += 1
                if node.at == whole:
                    node.at = 0
                if not node.left:
                    poller.unregister(file)
                    del nodes[file]
        self.sent = sum(map(self._events_sent, self._nodes, self._begins))

    def hold(
        self, seconds: float, burst: int, allowed: Callable[[float], int], rest: float
    ) -> None:
        """Send ``burst`` events of one node after another while ``allowed`` says so.

        ``allowed`` gives the events that may have been sent, from the seconds since the start;
        ``rest`` is for how long not to ask again when there are none.
        """
        offsets, view, count = self._offsets, self._view, self._count
        at = self._begins.copy()
        turn = 0
        start = time.monotonic()
        while not self.stopped and (since := time.monotonic() - start) < seconds:
            room = allowed(since) - self.sent
            if room < burst:
                time.sleep(rest)
                continue
            for _ in range(min(room // burst, len(at))):
                node, index = self._nodes[turn], at[turn]
                end = min(index + burst, count)
                if self._stamp:
                    self._stamp_events(index, end)
                if node.send(view[node.at : offsets[end]]):
                    self.sent += end - index
                    at[turn] = end
                else:
                    self.blocked += 1
                    at[turn] = bisect_right(offsets, node.at) - 1
                    self.sent += at[turn] - index
                if node.at == offsets[count]:
                    node.at = at[turn] = 0
                turn = (turn + 1) % len(at)

    def _bytes(self, begin: int, events: int) -> int:
        blocks, end = divmod(begin + events, self._count)
        return blocks * len(self._buffer) + self._offsets[end] - self._offsets[begin]

    def _events_sent(self, node: Node, begin: int) -> int:
        blocks, end = divmod(self._offsets[begin] + node.sent, len(self._buffer))
        return blocks * self._count + bisect_right(self._offsets, end) - 1 - begin

    def _stamp_events(self, begin: int, end: int) -> None:
        stamp = _now()
        for offset in self._offsets[begin:end]:
            _STAMP(self._buffer, offset + 4, stamp)

    def close(self) -> None:
        """Abort all connections."""
        for node in self._nodes:
            node.abort()


def main() -> None:
    """Run the load that the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    parser.add_argument("target", metavar="HOST:PORT", help="where nodes connect")
    parser.add_argument("--traffic", type=Path, required=True, help="as recorded by bench.traffic")
    parser.add_argument("--nodes", type=int, default=64, help="connections (default 64)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--events", type=int, help="end a flood after so many events")
    parser.add_argument("--rate", type=int, help="events a second, over all nodes")
    parser.add_argument("--burst", type=int, default=10, help="events a node sends at once")
    parser.add_argument("--ahead", type=int, help="events to be ahead of --progress, at most")
    parser.add_argument("--progress", type=Path, help="file with what the subscriber has read")
    parser.add_argument("--linger", type=float, default=0.0, help="seconds to stay connected after")
    parser.add_argument("--wait", action="store_true", help="begin when a line is read")
    parser.add_argument("--stamp", action="store_true", help="put the time of sending in events")
    options = parser.parse_args()
    host, _, port = options.target.rpartition(":")
    raise_file_limit()
    load = Load(host, int(port), options.nodes, Traffic.load(options.traffic), options.stamp)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        load.stopped = True

    signal.signal(signal.SIGTERM, stop)
    print("ready", flush=True)
    if options.wait:
        sys.stdin.readline()
    before, start = cpu_seconds(), time.monotonic()
    if options.rate:
        rate, burst = options.rate, options.burst
        keep_time()
        rest = max(burst / rate / 2, REST_SECONDS)
        load.hold(options.seconds, burst, lambda since: int(since * rate), rest)
    elif options.ahead:
        progress = Progress(options.progress)
        ahead = options.ahead
        load.hold(options.seconds, options.burst, lambda _: progress.value + ahead, AHEAD_REST)
    else:
        load.flood(options.seconds, options.events)
    seconds, cpu = time.monotonic() - start, cpu_seconds() - before
    print(
        json.dumps(
            {
                "sent": load.sent,
                "start": start,
                "seconds": seconds,
                "cpu": cpu,
                "blocked": load.blocked,
            }
        ),
        flush=True,
    )
    end = time.monotonic() + options.linger
    while not load.stopped and time.monotonic() < end:
        time.sleep(0.02)
    load.close()


def keep_time() -> None:
    """Have this process rest as long as it says: Linux adds up to 50 µs to save wake-ups."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)


def cpu_seconds() -> float:
    """Processor time of this process, in and for it, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
