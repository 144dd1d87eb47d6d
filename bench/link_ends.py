"""Both ends of a link, by each way to carry records, for :mod:`.link`.

``python -m bench.link_ends WAY CHUNKS EVENTS SECONDS`` has two processes write so many chunks of so
many events a second together, reads them, and prints a JSON object.

Shared memory is a ring for each writer: before the bytes stand how many were written and read,
where what is left at the end is skipped, so that a record stands in one piece, and whether the
reader sleeps. Only a writer that finds the flag set writes to the reader's eventfd.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

from telemetry_twisted.transport.reading import cut
from telemetry_twisted.transport.records import PREFIX, Chunk, encode_runs

WRITERS = 2
BUFFER_BYTES = 1 << 22
HELD = 2000
"""Chunks that the reader keeps, as a ring of the hub's would."""

EVENT_BYTES = 345
SOCKET, SHARED, NOTHING = "socketpair", "shared", "nothing"

_WRITTEN, _READ, _SKIP, _SLEEPS, _BYTES = 0, 1, 2, 3, 32
_STAMP = PREFIX.size + 16  # Chunk.read in a record

Publish = Callable[[bytes, int], None]


class SharedRing:
    """A ring of bytes that one process writes and another reads, without a lock.

    A prototype: it relies on stores being seen in their order, which holds on x86 alone.
    """

    def __init__(self) -> None:
        self._memory = memoryview(mmap.mmap(-1, _BYTES + BUFFER_BYTES))
        self._counters = self._memory[:_BYTES].cast("Q")
        self._bytes = self._memory[_BYTES:]
        self._counters[_SKIP] = 2**64 - 1
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)

    def write(self, record: bytes, times: int) -> None:
        """Write ``record`` so many times, and wake the reader if it sleeps."""
        counters, size = self._counters, len(record)
        for _ in range(times):
            written = counters[_WRITTEN]
            at = written % BUFFER_BYTES
            skipped = BUFFER_BYTES - at if at + size > BUFFER_BYTES else 0
            while written + skipped + size - counters[_READ] > BUFFER_BYTES:
                time.sleep(0.0001)
            if skipped:
                counters[_SKIP] = written
                at = 0
            self._bytes[at : at + size] = record
            counters[_WRITTEN] = written + skipped + size
        if counters[_SLEEPS]:
            counters[_SLEEPS] = 0
            os.eventfd_write(self.wake, 1)

    def view(self) -> memoryview:
        """What is written and not read, up to the end of the memory."""
        read, written = self._counters[_READ], self._counters[_WRITTEN]
        skip = self._counters[_SKIP]
        at = read % BUFFER_BYTES
        if read == skip:
            read = self._counters[_READ] = read + BUFFER_BYTES - at
            at = 0
        end = min(written, skip) if skip > read else written
        return self._bytes[at : at + min(end - read, BUFFER_BYTES - at)]

    def done(self, size: int) -> None:
        """The next ``size`` bytes are read."""
        self._counters[_READ] += size

    def sleeps(self) -> bool:
        """Say that the reader is about to sleep; False if it must not, since there is more."""
        self._counters[_SLEEPS] = 1
        return self._counters[_WRITTEN] == self._counters[_READ]


class Reader:
    """Takes chunks in, as the hub does, and notes how long they were on the way."""

    def __init__(self) -> None:
        self.held: deque[object] = deque(maxlen=HELD)
        self.events = 0
        self.delays: list[int] = []

    def take(self, view: memoryview) -> int:
        """Take the whole records in ``view``; how many bytes they are."""
        found, end = cut(view, Chunk)
        for chunk in found:
            assert isinstance(chunk, Chunk)  # since nothing else is written
            self.events += chunk.count
            self.held.append(chunk)
            written = chunk.read
        self.delays.append(time.monotonic_ns() // 1000 - written)
        return end


def write(publish: Publish, chunks: float, events: int, seconds: float) -> None:
    """Publish ``chunks`` a second of ``events`` each; those that are due together, as one."""
    message = b"x" * EVENT_BYTES
    chunk = Chunk(
        1,
        events,
        encode_runs([(1, events)]),
        bytes(events),
        EVENT_BYTES.to_bytes(4, "little") * events,
        b",".join([message] * events),
    )
    record = bytearray(b"".join(chunk.encode()))
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        due = int(now * chunks) - sent
        if due:
            record[_STAMP : _STAMP + 8] = (time.monotonic_ns() // 1000).to_bytes(8, "little")
            publish(bytes(record), due)
            sent += due
        time.sleep(max(0.0, (sent + 1) / chunks - (time.monotonic() - begin)))


def _read_sockets(ends: list[socket.socket], reader: Reader) -> None:
    poll = select.epoll()
    kept = {}
    for end in ends:
        end.setblocking(False)
        poll.register(end, select.EPOLLIN)
        kept[end.fileno()] = end, bytearray(1 << 20), [0]
    while kept:
        for descriptor, _ in poll.poll():
            end, buffer, held = kept[descriptor]
            view = memoryview(buffer)
            count = end.recv_into(view[held[0] :])
            if not count:
                poll.unregister(descriptor)
                del kept[descriptor]
                continue
            filled = held[0] + count
            at = reader.take(view[:filled]) if filled >= PREFIX.size else 0
            held[0] = filled - at
            buffer[: held[0]] = buffer[at:filled]


def _read_rings(rings: list[SharedRing], reader: Reader, end: int) -> None:
    poll = select.epoll()
    poll.register(end, 0)  # that all who write have ended is told anyway
    for ring in rings:
        poll.register(ring.wake, select.EPOLLIN)
    while True:
        found = False
        for ring in rings:
            if view := ring.view():
                ring.done(reader.take(view))
                found = True
        if found or not all(ring.sleeps() for ring in rings):
            continue
        # A wake-up that is missed, for want of a fence, is made up for in a millisecond.
        for descriptor, _ in poll.poll(0.001):
            if descriptor == end:
                return
            os.eventfd_read(descriptor)


def _publisher(way: str, there: socket.socket, ring: SharedRing) -> Publish:
    """What a writer writes with."""
    if way == SHARED:
        return ring.write
    if way == NOTHING:
        return lambda *_: None
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return lambda record, times: there.sendall(record * times)


def main() -> None:
    """Run both ends."""
    way = sys.argv[1]
    chunks, events, seconds = map(float, sys.argv[2:5])
    signal.alarm(int(seconds) + 20)
    rings = [SharedRing() for _ in range(WRITERS)]
    pairs = [socket.socketpair() for _ in range(WRITERS)]
    told, tell = os.pipe()
    for number in range(WRITERS):
        publish = _publisher(way, pairs[number][1], rings[number])
        if not os.fork():
            signal.alarm(int(seconds) + 20)  # should the reader be gone
            os.close(told)
            for here, there in pairs:
                here.close()
                if there is not pairs[number][1]:
                    there.close()
            before = time.process_time()
            write(publish, chunks / WRITERS, int(events), seconds)
            os.write(tell, b"%f\n" % (time.process_time() - before))
            os._exit(0)
    os.close(tell)
    for _, there in pairs:
        there.close()
    reader = Reader()
    before = time.process_time()
    if way == SOCKET:
        _read_sockets([here for here, _ in pairs], reader)
    elif way != NOTHING:
        _read_rings(rings, reader, told)
    read = time.process_time() - before
    for _ in range(WRITERS):
        os.wait()
    wrote = sum(map(float, os.read(told, 1000).split()))
    delays = sorted(reader.delays) or [0]
    print(
        json.dumps(
            {
                "events": reader.events or chunks * events * seconds,
                "reads": len(reader.delays),
                "write": wrote,
                "read": read,
                "p50": delays[len(delays) // 2],
                "p99": delays[len(delays) * 99 // 100],
            }
        )
    )


if __name__ == "__main__":
    main()
