"""An ingestion process: sockets in, records out."""

from __future__ import annotations

import socket
from typing import Any, cast

import pytest
from twisted.internet.testing import MemoryReactorClock

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.ingestion import process as process_module
from telemetry_twisted.ingestion.handover import SocketReceiver, send_socket
from telemetry_twisted.ingestion.process import IngestionProcess, Settings
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link, hand_over


class HubEnd(Link):
    """The link of a process to the hub, without a socket: keeps what is sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Any]] = []
        self.backlog = 0

    def send(self, *pieces: bytes) -> None:
        hand_over(memoryview(b"".join(pieces)), cast(Any, self))

    def record_received(self, kind: int, body: memoryview) -> None:
        self.seen.append((kind, records.decode_json(body)))

    def queue(self, *pieces: bytes) -> None:
        self.send(*pieces)

    def flush(self) -> None:
        pass

    def register_producer(self, producer: object) -> None:
        pass


class Reactor(MemoryReactorClock):
    """Adopts connections, unless told that they have been reset."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[Any] = []
        self.reset = False

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        if self.reset:
            raise OSError(107, "Transport endpoint is not connected")
        self.adopted.append(factory.buildProtocol(None))


class Bench:
    def __init__(self, max_waiting: int = 10) -> None:
        here, there = socket.socketpair()
        self.handover = here
        self.reactor = Reactor()
        self.errors = InternalErrors(self.reactor)
        settings = Settings(1, 1, "python", False, 1 << 20, 0, max_waiting, False)
        self.process = IngestionProcess(cast(Any, self.reactor), settings, there, self.errors)
        self.hub = HubEnd()
        self.process.link_made(self.hub)
        self.there = there
        ((kind, _),) = self.hub.seen  # the first pulse
        assert kind == records.PULSE
        self.hub.seen.clear()

    def hand_over_one(self) -> None:
        near, far = socket.socketpair()
        with near, far:
            assert send_socket(self.handover, near)
        for reader in self.reactor.getReaders():
            if isinstance(reader, SocketReceiver):
                reader.doRead()

    def close(self) -> None:
        self.handover.close()
        self.there.close()


@pytest.fixture
def bench() -> Any:
    bench = Bench()
    yield bench
    bench.close()


def test_each_socket_becomes_a_connection(bench: Bench) -> None:
    bench.hand_over_one()
    bench.hand_over_one()
    assert [node.connection for node in bench.reactor.adopted] == [1, 2]
    assert bench.hub.seen == []


def test_a_connection_reset_while_it_is_handed_over_is_told_as_ended(bench: Bench) -> None:
    bench.reactor.reset = True
    bench.hand_over_one()
    ((kind, gone),) = bench.hub.seen
    assert (kind, gone["connection"], gone["kind"]) == (records.GONE, 1, "left")
    bench.reactor.reset = False
    bench.hand_over_one()
    assert [node.connection for node in bench.reactor.adopted] == [2]


def test_a_socket_that_finds_no_descriptor_is_told_as_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = [(b"\0", [], 0, None)]

    def recv_fds(*_: object) -> Any:
        if not taken:
            raise BlockingIOError
        return taken.pop()

    monkeypatch.setattr(socket, "recv_fds", recv_fds)
    bench.hand_over_one()
    ((kind, gone),) = bench.hub.seen
    assert (kind, gone["kind"]) == (records.GONE, "unserved")
    assert "ulimit" in gone["reason"]


def test_connections_that_have_not_introduced_themselves_are_bounded() -> None:
    bench = Bench(max_waiting=2)
    for _ in range(3):
        bench.hand_over_one()
    assert len(bench.reactor.adopted) == 2
    ((kind, gone),) = bench.hub.seen
    assert (kind, gone["connection"], gone["kind"]) == (records.GONE, 3, "unserved")
    bench.close()


def test_the_hub_end_of_the_handover_is_gone(bench: Bench) -> None:
    bench.handover.close()
    (receiver,) = (
        reader for reader in bench.reactor.getReaders() if isinstance(reader, SocketReceiver)
    )
    receiver.doRead()
    assert receiver not in bench.reactor.getReaders()


def test_counters_are_reported_every_second(bench: Bench) -> None:
    bench.reactor.advance(process_module.REPORT_SECONDS)
    ((kind, pulse),) = bench.hub.seen
    assert kind == records.PULSE
    assert pulse["codec"] == "python"
    assert pulse["connections"] == 0
    assert pulse["memory_bytes"] > 0
