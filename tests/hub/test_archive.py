"""The hub's side of the store process: what waits, what is told again, what is sampled."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub import archive as archive_module
from telemetry_twisted.hub.archive import Archive
from telemetry_twisted.hub.nodes import Node
from telemetry_twisted.transport import records
from telemetry_twisted.transport.link import Link, hand_over


class Life(Link):
    """One life of the store process: the link that the archive writes to, without a socket."""

    def __init__(self, archive: Archive) -> None:
        self._sent = b""
        archive.link_made(self)
        self._archive = archive

    def send(self, *pieces: bytes) -> None:
        self._sent += b"".join(pieces)

    def register_producer(self, producer: IPushProducer) -> None:
        assert IPushProducer.providedBy(producer)

    def said(self) -> list[tuple[int, bytes]]:
        """What the archive has sent since the last call."""
        reader = Reader()
        assert hand_over(memoryview(self._sent), reader) == len(self._sent)
        self._sent = b""
        return reader.seen

    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.said()]

    def status(self, room: int, state: str = "ok") -> None:
        status = {"raw_room": room, "state": state}
        record = records.encode_json(records.STORE_STATUS, status)
        hand_over(memoryview(record), self._archive)


class Reader:
    """Notes the records that it is handed."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, bytes]] = []

    def link_made(self, link: Link) -> None:
        raise AssertionError

    def record_received(self, kind: int, body: memoryview) -> None:
        self.seen.append((kind, bytes(body)))

    def records_done(self) -> None:
        raise AssertionError

    def link_lost(self, reason: Failure) -> None:
        raise AssertionError


def make_archive(raw_events: bool = True) -> tuple[Archive, Clock]:
    clock = Clock()
    return Archive(
        b'{"settings":1}', raw_events, clock, clock.seconds, InternalErrors(clock)
    ), clock


def node(slot: int) -> Node:
    info: dict[str, Any] = {"params": {"core_count": 2}, "version": 0}
    return Node(f"{slot:064}", slot, None, slot, "127.0.0.1:1", 1.5, info)  # type: ignore[arg-type]


def chunk(count: int) -> records.Chunk:
    run_table = records.encode_runs([(0, count)])
    return records.Chunk(1, count, run_table, b"\x0b" * count, b"\1\0\0\0" * count, b"x")


def test_the_settings_come_first_and_then_what_waited() -> None:
    archive, _ = make_archive()
    archive.record(records.COUNTS, b"1")
    archive.node_connected(node(7))
    said = Life(archive).said()
    assert said[0] == (records.SETTINGS, b'{"settings":1}')
    assert said[1] == (records.COUNTS, b"1")
    assert said[2][0] == records.NODE_CONNECTED
    assert records.decode_json(said[2][1])["connected"] == 1_500_000


def test_a_new_store_process_reads_what_waits_as_the_one_before_would_have() -> None:
    archive, _ = make_archive()
    first = Life(archive)
    archive.node_connected(node(7))
    archive.node_connected(node(8))
    first.kinds()
    archive.link_lost(Failure(ConnectionError()))
    archive.record(records.COUNTS, b"of the old node at 7")
    archive.node_gone(node(7), "left", "it left")
    archive.node_connected(node(7))
    second = Life(archive)
    assert second.kinds() == [
        records.SETTINGS,
        records.NODE_CONNECTED,
        records.NODE_CONNECTED,
        records.COUNTS,
        records.NODE_GONE,
        records.NODE_CONNECTED,
    ]
    archive.link_lost(Failure(ConnectionError()))
    assert Life(archive).kinds() == [records.SETTINGS, *[records.NODE_CONNECTED] * 2]


def test_nothing_but_raw_events_is_passed_over_while_the_link_is_full() -> None:
    archive, _ = make_archive()
    life = Life(archive)
    life.status(room=1000)
    life.kinds()
    archive.pauseProducing()
    archive.chunk(chunk(100))
    archive.record(records.COUNTS, b"1")
    archive.record(records.FACTS, b"2")
    assert life.kinds() == []
    archive.resumeProducing()
    assert life.kinds() == [records.COUNTS, records.FACTS]


def test_raw_events_go_as_far_as_there_is_room_and_the_share_is_told() -> None:
    archive, clock = make_archive()
    archive.process_started()
    life = Life(archive)
    archive.chunk(chunk(100))
    life.status(room=250)
    for _ in range(3):
        archive.chunk(chunk(100))
    assert life.kinds() == [records.SETTINGS, records.CHUNK, records.CHUNK]
    clock.advance(1)
    ((kind, body),) = life.said()
    assert kind == records.SAMPLED
    assert records.decode_json(body) == {"received": 1.0, "seen": 400, "kept": 200}


def test_without_raw_events_none_are_sent() -> None:
    archive, clock = make_archive(raw_events=False)
    archive.process_started()
    life = Life(archive)
    life.status(room=250)
    archive.chunk(chunk(100))
    clock.advance(1)
    assert life.kinds() == [records.SETTINGS]


def test_what_waits_is_bounded_and_what_goes_beyond_is_counted(monkeypatch: Any) -> None:
    monkeypatch.setattr(archive_module, "WAITING_BYTES", 100)
    archive, _ = make_archive()
    for _ in range(3):
        archive.record(records.COUNTS, b"x" * 40)
    assert archive.records_lost == 1
    assert Life(archive).kinds() == [records.SETTINGS, records.COUNTS, records.COUNTS]


def test_draining_waits_for_what_waits() -> None:
    archive, _ = make_archive()
    life = Life(archive)
    archive.pauseProducing()
    archive.record(records.COUNTS, b"1")
    archive.drain()
    assert life.kinds() == [records.SETTINGS]
    archive.resumeProducing()
    assert life.kinds() == [records.COUNTS, records.DRAIN]


def test_trouble_is_timed_from_when_it_began() -> None:
    archive, clock = make_archive()
    life = Life(archive)
    clock.advance(5)
    assert archive.trouble() == 5
    life.status(room=1)
    assert archive.trouble() == 0
    life.status(room=1, state="unavailable")
    clock.advance(7)
    life.status(room=1, state="unavailable")
    assert archive.trouble() == 7
    archive.process_ended("killed by SIGKILL")
    assert archive.status["state"] == "restarting"
    assert "SIGKILL" in archive.status["last_error"]
