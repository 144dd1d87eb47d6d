"""The supervisor: a child that dies is replaced, and one that is to end is not."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.child import Condition, Launch
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.transport.link import Link
from telemetry_twisted.transport.records import encode_record


@define(eq=False)
class Process:
    """A process that was spawned, and the transport of its protocol."""

    pid: int
    protocol: ProcessProtocol
    arguments: list[str]
    descriptors: dict[int, int | str]
    link: socket.socket
    signals: list[str] = field(factory=list)
    over: bool = False

    def signalProcess(self, name: str) -> None:
        if self.over:
            raise ProcessExitedAlready
        self.signals.append(name)

    def end(self, reason: Exception | None = None) -> None:
        """The process is gone."""
        self.over = True
        self.link.close()
        self.protocol.processEnded(Failure(reason or ProcessDone(0)))


class Reactor(MemoryReactorClock):
    """A reactor that spawns nothing real."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []

    def spawnProcess(
        self,
        protocol: ProcessProtocol,
        executable: str,
        args: list[str],
        env: Mapping[str, str],
        childFDs: dict[int, int | str],
    ) -> Process:
        link = socket.socket(fileno=os.dup(cast(int, childFDs[3])))
        process = Process(100 + len(self.processes), protocol, args, childFDs, link)
        self.processes.append(process)
        protocol.makeConnection(cast(Any, process))
        return process

    def read(self) -> None:
        """Let everything that reads do so once."""
        for reader in list(self.getReaders()):
            why = reader.doRead()
            if why is not None:
                self.removeReader(reader)
                reader.connectionLost(Failure(why))


@define
class Child:
    """Notes what it is told of its lives."""

    news: list[str] = field(factory=list)
    records: list[tuple[int, bytes]] = field(factory=list)
    descriptors: list[int] = field(factory=list)
    states: list[str] = field(factory=list)
    condition: Condition = field(factory=lambda: Condition("child", "the child"))

    def launch(self) -> Launch:
        here, there = socket.socketpair()
        here.close()
        self.descriptors.append(there.detach())
        return Launch(["-m", "child"], {4: self.descriptors[-1]})

    def process_started(self) -> None:
        self.news.append(f"started {self.condition.pid}")

    def state_changed(self) -> None:
        self.states.append(self.condition.state.value)

    def process_ended(self, reason: str) -> None:
        self.news.append(f"ended: {reason}")

    def link_made(self, link: Link) -> None:
        self.news.append("link made")

    def link_lost(self, reason: Failure) -> None:
        self.news.append("link lost")

    def record_received(self, kind: int, body: memoryview) -> None:
        self.records.append((kind, bytes(body)))

    def records_done(self) -> None:
        self.news.append("records done")


class Scene:
    def __init__(self) -> None:
        self.reactor = Reactor()
        self.child = Child()
        self.errors = InternalErrors(self.reactor)
        reactor = cast(Any, self.reactor)
        self.supervisor = Supervisor(reactor, self.child, reactor.seconds, self.errors)
        self.supervisor.startService()

    @property
    def process(self) -> Process:
        """The newest process."""
        return self.reactor.processes[-1]

    def die(self, reason: Exception | None = None) -> None:
        """Let the newest process end, and its link with it."""
        self.process.end(reason)
        self.reactor.read()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_it_starts_a_child_with_a_link(scene: Scene) -> None:
    assert scene.process.arguments[1:] == ["-m", "child"]
    assert set(scene.process.descriptors) == {0, 1, 2, 3, 4}
    assert scene.child.news == ["started 100", "link made"]
    scene.process.link.sendall(encode_record(7, b"hello"))
    scene.reactor.read()
    assert scene.child.records == [(7, b"hello")]


def test_descriptors_that_are_passed_on_are_closed(scene: Scene) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(scene.child.descriptors[0])


def test_a_child_that_dies_is_replaced(scene: Scene) -> None:
    scene.die(ProcessTerminated(signal=9))
    assert scene.child.news[2:] == ["link lost", "ended: killed by SIGKILL"]
    assert len(scene.reactor.processes) == 1
    scene.reactor.advance(1)
    assert scene.child.news[4:] == ["started 101", "link made"]
    assert scene.child.condition.restarts == 1


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (ProcessDone(0), "exit code 0"),
        (ProcessTerminated(3), "exit code 3"),
        (ProcessTerminated(signal=11), "killed by SIGSEGV"),
    ],
)
def test_how_it_died_is_told(scene: Scene, reason: Exception, text: str) -> None:
    scene.die(reason)
    assert scene.child.news[-1] == f"ended: {text}"


def test_it_has_ended_when_all_it_sent_was_read(scene: Scene) -> None:
    scene.process.link.sendall(encode_record(7, b"last words"))
    scene.process.end()
    assert scene.child.news == ["started 100", "link made"]
    for _ in range(2):
        scene.reactor.read()
    assert scene.child.records == [(7, b"last words")]
    assert scene.child.news[2:] == ["records done", "link lost", "ended: exit code 0"]


def test_a_link_may_end_before_its_process(scene: Scene) -> None:
    scene.process.link.close()
    scene.reactor.read()
    assert scene.child.news[-1] == "link lost"
    scene.reactor.advance(60)
    assert len(scene.reactor.processes) == 1
    scene.process.end(ProcessTerminated(1))
    assert scene.child.news[-1] == "ended: exit code 1"


def test_one_that_dies_young_again_and_again_is_replaced_ever_later(scene: Scene) -> None:
    delays = []
    for number in range(1, 12):
        scene.die()
        delay = 0.0
        while len(scene.reactor.processes) == number:
            scene.reactor.advance(0.05)
            delay += 0.05
        delays.append(delay)
    assert delays == sorted(delays)
    assert delays[0] < 0.5
    assert delays[-1] == pytest.approx(delays[-2], abs=0.1)
    assert 9 < delays[-1] < 11
    scene.reactor.advance(11)
    scene.die()
    scene.reactor.advance(0.15)
    assert len(scene.reactor.processes) == 13


def test_one_that_is_to_end_is_not_replaced(scene: Scene) -> None:
    stopped = scene.supervisor.stopService()
    assert not stopped.called
    scene.die()
    assert stopped.called
    scene.reactor.advance(60)
    assert len(scene.reactor.processes) == 1


def test_it_may_be_stopped_while_it_waits_to_replace_one(scene: Scene) -> None:
    scene.die()
    assert scene.supervisor.stopService().called
    scene.reactor.advance(60)
    assert len(scene.reactor.processes) == 1
    assert scene.reactor.getDelayedCalls() == []


def test_a_child_that_does_not_end_is_killed(scene: Scene) -> None:
    scene.supervisor.kill()
    assert scene.process.signals == ["KILL"]
    scene.process.over = True
    scene.supervisor.kill()
    scene.die()
    scene.supervisor.kill()
    assert scene.process.signals == ["KILL"]


def test_what_a_child_says_is_logged_line_by_line(scene: Scene) -> None:
    events: list[LogEvent] = []
    observer = cast(ILogObserver, events.append)
    globalLogPublisher.addObserver(observer)
    try:
        for data in (b"one\ntw", b"o\n\xff\nunfinished"):
            scene.process.protocol.childDataReceived(2, data)
        scene.die()
    finally:
        globalLogPublisher.removeObserver(observer)
    texts = [formatEvent(event) for event in events]
    said = [text for text in texts if text.startswith("the child: ")]
    assert said == [
        "the child: one",
        "the child: two",
        "the child: \ufffd",
        "the child: unfinished",
    ]
    assert any("another is started in" in text for text in texts)
