"""The server as it is installed, but that it notes when chunks come and go (``bench.hops``).

``python -m bench.traced DIRECTORY hub ...`` is ``twistd ...``, with ingestion processes that are
started as ``python -m bench.traced DIRECTORY ingestion SETTINGS``. Each writes what it has noted to
a file in ``DIRECTORY`` when it ends. What is noted are integers, times among them in microseconds
of the monotonic clock: see :data:`SENT` and :data:`PASSED`.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from array import array
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.scripts.twistd import run

from telemetry_twisted.hub.child import Launch
from telemetry_twisted.hub.hub import Hub
from telemetry_twisted.hub.ingestion import IngestionServer
from telemetry_twisted.hub.ring import Ring
from telemetry_twisted.ingestion import process
from telemetry_twisted.ingestion.process import IngestionProcess
from telemetry_twisted.ingestion.settings import LISTEN_FD, Settings
from telemetry_twisted.transport.child import run_child
from telemetry_twisted.transport.link import Link
from telemetry_twisted.transport.records import CHUNK, PREFIX, Chunk

SENT = 3
"""What an ingestion process notes of a chunk: its first id, its events, when it was sent."""

PASSED = 5
"""What the hub notes of one: first id, events, when they were read, it came, and was sent on."""


def notes(directory: Path, role: str, width: int) -> list[tuple[int, ...]]:
    """What all processes of ``role`` noted, in tuples of ``width``."""
    found = []
    for path in directory.glob(f"{role}-*"):
        numbers = array("q", path.read_bytes())
        found += list(zip(*(numbers[at::width] for at in range(width)), strict=True))
    return found


def _trace_ingestion(noted: array[int]) -> None:
    # What the pool sends by itself would pass unseen: each of its turns goes through Python here.
    setattr(process, "build_unattended", lambda *_: None)  # noqa: B010
    send = Link.send

    def traced_send(link: Link, *pieces: bytes) -> None:
        send(link, *pieces)
        now = _now()
        data = b"".join(pieces)
        at = 0
        while at < len(data):
            length, kind = PREFIX.unpack_from(data, at)
            begin, at = at + PREFIX.size, at + PREFIX.size + length - 1
            if kind == CHUNK:
                chunk = Chunk.decode(data[begin:at])
                noted.extend((chunk.first_id, chunk.count, now))

    _replace(Link, send=traced_send)


def _trace_hub(noted: array[int], directory: str) -> None:
    receive, wake, launch = Hub.chunk_received, Ring.wake, IngestionServer.launch
    received: list[tuple[int, int, int, int]] = []

    def traced_receive(hub: Hub, chunk: Chunk, last_id: int) -> None:
        received.append((chunk.first_id, chunk.count, chunk.read, _now()))
        receive(hub, chunk, last_id)

    def traced_wake(ring: Ring) -> None:
        wake(ring)
        now = _now()
        for chunk in received:
            noted.extend((*chunk, now))
        received.clear()

    def traced_launch(server: IngestionServer) -> Launch:
        usual = launch(server)
        arguments = ["-m", "bench.traced", directory, "ingestion", usual.arguments[-1]]
        return Launch(arguments, usual.descriptors)

    _replace(Hub, chunk_received=traced_receive)
    _replace(Ring, wake=traced_wake)
    _replace(IngestionServer, launch=traced_launch)


def _replace(owner: type, **methods: Any) -> None:
    for name, method in methods.items():
        setattr(owner, name, method)


def _now() -> int:
    return time.monotonic_ns() // 1000


def main() -> None:
    """Be the process that the command line asks for."""
    directory, role, *arguments = sys.argv[1:]
    noted = array("q")
    path = Path(directory, f"{role}-{os.getpid()}")
    reactor.addSystemEventTrigger("after", "shutdown", lambda: path.write_bytes(noted.tobytes()))
    if role == "hub":
        _trace_hub(noted, directory)
        sys.argv[1:] = arguments
        run()
    else:
        _trace_ingestion(noted)
        settings = Settings.decode(arguments[0])
        run_child(
            lambda reactor, errors: IngestionProcess(
                reactor, settings, socket.socket(fileno=LISTEN_FD), errors
            )
        )


if __name__ == "__main__":
    main()
