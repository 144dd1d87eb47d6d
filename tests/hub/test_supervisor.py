"""The supervisor: a child that dies or hangs is replaced, and one that is to end is not."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from typing import Any, cast
from unittest import mock

from attrs import define, field
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub import run as run_module
from telemetry_twisted.hub.child import Condition, Launch
from telemetry_twisted.hub.silence import LOOK_SECONDS, Patience
from telemetry_twisted.hub.supervisor import Supervisor
from telemetry_twisted.transport.link import Link
from telemetry_twisted.transport.records import encode_record

TOO_MANY = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
NO_MEMORY = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


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
    """A reactor that spawns nothing real; ``refusal`` is why it does not even do that."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.refusal: Exception | None = None

    def spawnProcess(
        self,
        protocol: ProcessProtocol,
        executable: str,
        args: list[str],
        env: Mapping[str, str],
        childFDs: dict[int, int | str],
    ) -> Process:
        if self.refusal is not None:
            raise self.refusal
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
    """Notes what it is told of its runs; raises ``mistake`` whenever it is told something."""

    news: list[str] = field(factory=list)
    records: list[tuple[int, bytes]] = field(factory=list)
    passed_on: list[socket.socket] = field(factory=list)
    states: list[str] = field(factory=list)
    condition: Condition = field(factory=lambda: Condition("child", "the child"))
    patience: Patience = field(factory=lambda: Patience(busy_dead=60.0))
    mistake: Exception | None = None

    def _note(self, news: str) -> None:
        self.news.append(news)
        if self.mistake is not None:
            raise self.mistake

    def launch(self) -> Launch:
        here, there = socket.socketpair()
        here.setblocking(False)
        self.passed_on.append(here)
        return Launch(["-m", "child"], {4: there.detach()})

    def process_started(self) -> None:
        self._note(f"started {self.condition.pid}")

    def process_ended(self, reason: str) -> None:
        self._note(f"ended: {reason}")

    def state_changed(self) -> None:
        self.states.append(self.condition.state.value)
        if self.mistake is not None:
            raise self.mistake

    def link_made(self, link: Link) -> None:
        self._note("link made")

    def link_lost(self, reason: Failure) -> None:
        self._note("link lost")

    chunk_received = None

    def record_received(self, kind: int, body: bytes) -> None:
        self.records.append((kind, bytes(body)))

    def records_done(self) -> None:
        self._note("records done")


class SupervisorTestCase(SynchronousTestCase):
    """Supervises a child."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.child = Child()
        self.errors = InternalErrors(self.reactor)
        reactor = cast(Any, self.reactor)
        self.supervisor = Supervisor(reactor, self.child, reactor.seconds, self.errors)
        self.logged: list[str] = []
        observer = cast(ILogObserver, self._observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.addCleanup(self.end)

    def _observe(self, event: LogEvent) -> None:
        self.logged.append(formatEvent(event))

    def end(self) -> None:
        self.child.mistake = None
        if self.supervisor.running:
            self.supervisor.stopService()
        for process in self.reactor.processes:
            if not process.over:
                process.end()
        self.reactor.read()
        for passed_on in self.child.passed_on:
            passed_on.close()

    @property
    def process(self) -> Process:
        """The newest process."""
        return self.reactor.processes[-1]

    @property
    def state(self) -> str:
        return self.child.condition.state.value

    def die(self, reason: Exception | None = None) -> None:
        """Let the newest process end, and its link with it."""
        self.process.end(reason)
        self.reactor.read()

    def say(self, data: bytes = encode_record(7, b"hello")) -> None:
        """Let the newest process say something."""
        self.process.link.sendall(data)
        self.reactor.read()

    def wait(self, seconds: float) -> None:
        """Let time pass as a reactor that is awake sees it."""
        self.reactor.pump([LOOK_SECONDS] * round(seconds / LOOK_SECONDS))


class RunsTests(SupervisorTestCase):
    """Processes that start, die and are replaced."""

    def setUp(self) -> None:
        super().setUp()
        self.supervisor.startService()

    def test_it_starts_a_child_with_a_link(self) -> None:
        self.assertEqual(self.process.arguments[1:], ["-m", "child"])
        self.assertEqual(set(self.process.descriptors), {0, 1, 2, 3, 4})
        self.assertEqual(self.child.news, ["started 100", "link made"])
        self.say()
        self.assertEqual(self.child.records, [(7, b"hello")])

    def test_descriptors_that_are_passed_on_are_closed(self) -> None:
        (passed_on,) = self.child.passed_on
        self.assertEqual(passed_on.recv(1), b"")

    def test_a_child_that_dies_is_replaced(self) -> None:
        self.die(ProcessTerminated(signal=9))
        self.assertEqual(self.child.news[2:], ["link lost", "ended: killed by SIGKILL"])
        self.assertEqual(len(self.reactor.processes), 1)
        self.reactor.advance(1)
        self.assertEqual(self.child.news[4:], ["started 101", "link made"])
        self.assertEqual(self.child.condition.restarts, 1)

    def test_how_it_died_is_told(self) -> None:
        for reason, text in (
            (ProcessDone(0), "exit code 0"),
            (ProcessTerminated(3), "exit code 3"),
            (ProcessTerminated(signal=11), "killed by SIGSEGV"),
        ):
            self.die(cast(Exception, reason))
            self.assertEqual(self.child.news[-1], f"ended: {text}")
            self.assertEqual(self.child.condition.last_end, text)
            self.reactor.advance(10)

    def test_it_has_ended_when_all_it_sent_was_read(self) -> None:
        self.process.link.sendall(encode_record(7, b"last words"))
        self.process.end()
        self.assertEqual(self.child.news, ["started 100", "link made"])
        self.reactor.read()
        self.reactor.read()
        self.assertEqual(self.child.records, [(7, b"last words")])
        self.assertEqual(self.child.news[2:], ["records done", "link lost", "ended: exit code 0"])

    def test_a_link_may_end_before_its_process(self) -> None:
        self.process.link.close()
        self.reactor.read()
        self.assertEqual(self.child.news[-1], "link lost")
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.processes), 1)
        self.process.end(ProcessTerminated(1))
        self.assertEqual(self.child.news[-1], "ended: exit code 1")

    def test_one_that_dies_young_again_and_again_is_replaced_ever_later(self) -> None:
        delays = []
        for number in range(1, 12):
            self.die()
            delay = 0.0
            while len(self.reactor.processes) == number:
                self.reactor.advance(0.05)
                delay += 0.05
            delays.append(delay)
        self.assertEqual(delays, sorted(delays))
        self.assertLess(delays[0], 0.5)
        self.assertLess(abs(delays[-1] - delays[-2]), 0.1)
        self.assertLess(abs(delays[-1] - 10), 1)
        self.reactor.advance(11)
        self.die()
        self.reactor.advance(0.15)
        self.assertEqual(len(self.reactor.processes), 13)

    def test_one_that_is_to_end_is_not_replaced(self) -> None:
        stopped = self.supervisor.stopService()
        self.assertNoResult(stopped)
        self.die()
        self.successResultOf(stopped)
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.processes), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_it_may_be_stopped_while_it_waits_to_replace_one(self) -> None:
        self.die()
        self.successResultOf(self.supervisor.stopService())
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.processes), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_child_that_does_not_end_is_killed(self) -> None:
        self.supervisor.kill()
        self.assertEqual(self.process.signals, ["KILL"])
        self.process.over = True
        self.supervisor.kill()
        self.die()
        self.supervisor.kill()
        self.assertEqual(self.process.signals, ["KILL"])

    def test_what_a_child_says_is_logged_line_by_line(self) -> None:
        for data in (b"one\ntw", b"o\n\xff\nunfinished"):
            self.process.protocol.childDataReceived(2, data)
        self.die()
        self.assertEqual(
            [text for text in self.logged if text.startswith("the child: ")],
            ["the child: one", "the child: two", "the child: \ufffd", "the child: unfinished"],
        )
        self.assertTrue(any("another is started in" in text for text in self.logged))

    def test_a_line_without_end_is_not_kept_for_ever(self) -> None:
        half = b"x" * (run_module.LINE_BYTES // 2 + 1)
        for _ in range(2):
            self.process.protocol.childDataReceived(2, half)
        self.assertEqual([text.count("x") for text in self.logged if "xx" in text], [2 * len(half)])


class MistakesTests(SupervisorTestCase):
    """Mistakes of the hub's side of a child, whatever it is told."""

    def test_a_child_whose_side_here_makes_mistakes_is_supervised_all_the_same(self) -> None:
        self.child.mistake = KeyError(7)
        self.supervisor.startService()
        for number in range(3):
            self.assertEqual(self.process.pid, 100 + number)
            self.say()
            self.assertEqual(self.state, "running")
            self.die()
            self.assertEqual(self.child.news[-2:], ["link lost", "ended: exit code 0"])
            self.reactor.advance(1)
        stopped = self.supervisor.stopService()
        self.die()
        self.successResultOf(stopped)
        self.assertGreater(self.errors.counts["supervision"], 10)
        self.assertGreater(len(self.flushLoggedErrors(KeyError)), 0)

    def test_a_mistake_in_the_launch_is_a_start_that_failed(self) -> None:
        with mock.patch.object(Child, "launch", side_effect=KeyError(7)):
            self.supervisor.startService()
            self.wait(5)
        self.assertEqual(self.reactor.processes, [])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.wait(3)
        self.assertEqual(len(self.reactor.processes), 1)

    def test_a_link_that_cannot_be_started_ends_its_process(self) -> None:
        with mock.patch.object(Reactor, "addReader", side_effect=OSError(errno.ENOSPC, "full")):
            self.supervisor.startService()
        self.assertEqual(self.process.signals, ["KILL"])
        self.process.end(ProcessTerminated(signal=9))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.processes), 2)


class FailedStartsTests(SupervisorTestCase):
    """A system that has no room for a process."""

    def test_nothing_leaks_and_it_is_tried_until_there_is_room(self) -> None:
        self.reactor.refusal = TOO_MANY
        self.supervisor.startService()
        before = len(os.listdir("/proc/self/fd"))
        self.wait(60)
        tries = len(self.child.passed_on) - 1
        self.assertGreater(tries, 25)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before + tries)
        self.assertEqual(self.state, "stopped")
        self.assertIn("could not be started: [Errno 24]", self.child.condition.last_end or "")
        self.reactor.refusal = None
        self.wait(2.25)
        self.assertEqual(len(self.reactor.processes), 1)

    def test_a_socket_pair_that_fails_is_a_start_that_failed(self) -> None:
        launch = self.child.launch()
        with (
            mock.patch.object(Child, "launch", return_value=launch),
            mock.patch.object(socket, "socketpair", side_effect=TOO_MANY),
        ):
            self.supervisor.startService()
        (passed_on,) = self.child.passed_on
        self.assertEqual(passed_on.recv(1), b"")
        self.assertEqual(self.child.states, ["starting", "stopped"])

    def test_it_is_told_once_and_again_when_the_reason_is_another(self) -> None:
        self.reactor.refusal = TOO_MANY
        self.supervisor.startService()
        self.wait(60)
        self.reactor.refusal = NO_MEMORY
        self.wait(60)
        told = [text for text in self.logged if "could not be started" in text]
        self.assertEqual(len(told), 2, told)
        self.assertIn("tried again every 2 s", told[0])

    def test_a_death_after_a_failed_start_is_replaced_as_soon(self) -> None:
        self.supervisor.startService()
        for _ in range(8):
            self.die()
            self.wait(10.25)
        self.die()
        self.reactor.refusal = NO_MEMORY
        self.wait(10.25)
        self.assertIn("Cannot allocate", self.child.condition.last_end or "")
        self.reactor.refusal = None
        runs = len(self.reactor.processes)
        self.wait(2.25)
        self.assertEqual(len(self.reactor.processes), runs + 1)

    def test_it_may_be_stopped_between_failed_starts(self) -> None:
        self.reactor.refusal = TOO_MANY
        self.supervisor.startService()
        self.wait(5)
        self.successResultOf(self.supervisor.stopService())
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class HungTests(SupervisorTestCase):
    """A child that neither dies nor works."""

    def setUp(self) -> None:
        super().setUp()
        self.busy = 0.0
        self.patch(run_module, "processor_seconds", lambda _: self.busy)
        self.supervisor.startService()

    def test_it_runs_from_its_first_word_on(self) -> None:
        self.assertEqual(self.state, "starting")
        problem = self.child.condition.problem
        self.assertIn("the child is starting since 1970-01-01T00:00:00.000000Z; ", str(problem))
        self.wait(20)
        self.assertEqual(self.state, "starting")
        self.say(b"\1")
        self.assertEqual(self.state, "running")
        self.assertIs(self.child.condition.problem, None)
        self.assertEqual(self.child.condition.since, 20)

    def test_one_that_never_says_a_word_is_replaced(self) -> None:
        self.wait(59)
        self.assertEqual(self.process.signals, [])
        self.wait(2)
        self.assertEqual(self.process.signals, ["KILL"])
        self.die(ProcessTerminated(signal=9))
        self.assertEqual(
            self.child.condition.last_end, "killed by SIGKILL: nothing was heard of it for 60 s"
        )
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_silence_is_reported_within_three_seconds(self) -> None:
        self.wait(20)
        self.say()
        self.wait(2)
        self.assertEqual(self.state, "running")
        self.wait(1)
        self.assertEqual(self.child.states, ["starting", "running", "late"])
        self.assertIn(
            "the child is late since 1970-01-01T00:00:20.000000Z: nothing is heard of it; ",
            str(self.child.condition.problem),
        )
        self.wait(6)
        told = [text for text in self.logged if "nothing is heard of the child" in text]
        self.assertEqual(len(told), 1)
        self.assertEqual(self.process.signals, [])

    def test_one_that_is_heard_of_again_goes_on(self) -> None:
        for _ in range(3):
            self.say()
            self.wait(9)
            self.assertEqual(self.state, "late")
        self.say()
        self.assertEqual(self.state, "running")
        self.assertEqual(self.process.signals, [])
        self.assertIn("the child is heard of again", self.logged)

    def test_it_is_killed_and_replaced_after_ten_seconds(self) -> None:
        self.say()
        self.wait(10.25)
        self.assertEqual(self.process.signals, ["KILL"])
        self.wait(20)
        self.assertEqual(self.process.signals, ["KILL"])
        self.die(ProcessTerminated(signal=9))
        self.reactor.advance(0.15)
        self.assertEqual(len(self.reactor.processes), 2)
        self.assertEqual(self.state, "starting")

    def work(self, seconds: float) -> None:
        """Let the child compute for so long, without a word."""
        for _ in range(round(seconds)):
            self.busy += 0.01
            self.wait(1)

    def test_one_that_computes_is_slow_and_not_dead(self) -> None:
        self.say()
        self.work(4)
        self.assertEqual(self.state, "running")
        self.work(54)
        self.assertEqual((self.state, self.process.signals), ("late", []))
        self.work(3)
        self.assertEqual(self.process.signals, ["KILL"])

    def test_one_that_computes_and_then_stops_is_dead_ten_seconds_later(self) -> None:
        self.say()
        self.work(20)
        self.wait(8)
        self.assertEqual(self.process.signals, [])
        self.wait(2)
        self.assertEqual(self.process.signals, ["KILL"])

    def test_one_that_computed_before_its_last_word_may_be_as_silent_as_any(self) -> None:
        self.say()
        self.work(9)
        self.say()
        self.wait(2)
        self.assertEqual(self.state, "running")
        self.wait(1)
        self.assertEqual(self.state, "late")

    def test_a_hub_that_was_stopped_itself_holds_it_against_no_one(self) -> None:
        self.say()
        self.reactor.advance(3600)
        self.wait(2)
        self.assertEqual((self.state, self.process.signals), ("running", []))

    def test_one_that_is_ending_is_not_judged(self) -> None:
        self.say()
        self.supervisor.stopService()
        self.wait(60)
        self.assertEqual((self.state, self.process.signals), ("running", []))
