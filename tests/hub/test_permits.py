"""Permits to accept: even shares, none starved, never more than allowed."""

from __future__ import annotations

import socket

from attrs import define
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.hub.backlog import LOOK_SECONDS, START_LOOKS, Backlog
from telemetry_twisted.hub.permits import (
    MOST_AHEAD,
    MOST_PERMITS,
    Permits,
)
from tests.examples import examples


@define(eq=False)
class Process:
    """An ingestion process: what it holds as it sees it, and whether it does anything."""

    permits: int = 0
    connections: int = 0
    accepts: bool = True

    def permit(self, count: int) -> None:
        assert self.accepts
        self.permits += count


def accept(permits: Permits, process: Process, count: int = 1) -> None:
    for _ in range(count):
        process.permits -= 1
        process.connections += 1
        permits.accepted(process)


class PermitTests(SynchronousTestCase):
    def make(self, count: int, most: int = 10_000) -> tuple[Permits, list[Process]]:
        permits = Permits(most)
        processes = [Process() for _ in range(count)]
        for process in processes:
            permits.join(process)
        permits.give()
        return permits, processes

    def fill(self, permits: Permits, processes: list[Process], total: int) -> None:
        """Connections come; the first process always wins the race for them."""
        while total:
            winner = next(process for process in processes if process.permits)
            accept(permits, winner)
            permits.give()
            total -= 1

    def spread(self, processes: list[Process]) -> int:
        counts = [process.connections for process in processes]
        return max(counts) - min(counts)

    def test_a_few_connections_are_dealt_to_the_connection(self) -> None:
        permits, processes = self.make(8)
        self.assertEqual([process.permits for process in processes], [1] * 8)
        for _ in range(20):
            self.fill(permits, processes, 3)
            self.assertLessEqual(self.spread(processes), 1)

    def test_many_are_dealt_within_a_few_whoever_wins_the_race(self) -> None:
        permits, processes = self.make(8)
        self.fill(permits, processes, 1024)
        self.assertLessEqual(self.spread(processes), MOST_AHEAD)
        self.fill(permits, processes, 8 * 1024 - 1024)
        self.assertLessEqual(self.spread(processes), MOST_AHEAD)

    def test_after_many_have_left_those_with_fewest_get_the_next(self) -> None:
        permits, processes = self.make(8)
        self.fill(permits, processes, 1024)
        for number in range(500):
            process = processes[number % 5]
            process.connections -= 1
            permits.ended(process)
        permits.give()
        self.fill(permits, processes, 500)
        self.assertLessEqual(self.spread(processes), MOST_AHEAD)
        self.assertEqual(sum(process.connections for process in processes), 1024)

    def test_a_process_that_is_new_gets_all_until_it_has_its_share(self) -> None:
        permits, processes = self.make(2)
        self.fill(permits, processes, 200)
        lost = processes[0]
        permits.leave(lost)
        lost.permits = lost.connections = 0
        permits.join(lost)
        permits.give()
        self.assertEqual(lost.permits, MOST_PERMITS)
        self.fill(permits, [lost], 90)
        self.assertEqual(lost.connections, 90)

    def test_more_permits_are_in_flight_where_there_are_more_connections(self) -> None:
        permits, processes = self.make(2)
        self.fill(permits, processes, 1024)
        self.assertGreaterEqual(sum(process.permits for process in processes), MOST_AHEAD)

    def test_one_process_alone_holds_as_many_as_it_may(self) -> None:
        _permits, (process,) = self.make(1)
        self.assertEqual(process.permits, MOST_PERMITS)

    def test_those_who_do_not_accept_get_none_and_hold_nobody_up(self) -> None:
        permits, (late, other) = self.make(2)
        late.accepts = False
        accept(permits, other)
        permits.give()
        self.assertEqual((late.permits, other.permits), (1, MOST_PERMITS))
        accept(permits, late)
        self.assertEqual(permits.connections(late), 1)
        late.accepts = True
        permits.give()
        self.assertGreaterEqual(late.permits, 1)

    def test_permits_of_a_process_that_ends_come_back(self) -> None:
        permits, (first, second) = self.make(2, most=2)
        accept(permits, second)
        permits.give()
        self.assertEqual(second.permits, 0)
        permits.leave(first)
        permits.give()
        self.assertEqual(second.permits, 1)

    def test_what_is_given_back_is_given_to_others(self) -> None:
        permits, (first, second) = self.make(2, most=2)
        accept(permits, second)
        first.accepts = False
        permits.returned(first, 1)
        permits.give()
        self.assertEqual((permits.permits(first), second.permits), (0, 1))

    def test_ended_processes_and_strangers_have_nothing(self) -> None:
        permits, (process,) = self.make(1)
        permits.leave(process)
        permits.leave(process)
        permits.heard(process)
        self.assertEqual((permits.connections(process), permits.permits(process)), (0, 0))


class PermitsMachine(RuleBasedStateMachine):
    """Processes that start, accept, stop for a while, give back and die in any order."""

    processes: Bundle[Process] = Bundle("processes")

    def __init__(self) -> None:
        super().__init__()
        self.permits = Permits(60)
        self.running: list[Process] = []

    @rule(target=processes)
    def start(self) -> Process:
        process = Process()
        self.running.append(process)
        self.permits.join(process)
        self.permits.give()
        return process

    @rule(process=processes, count=st.integers(1, 40))
    def accept(self, process: Process, count: int) -> None:
        accept(self.permits, process, min(count, process.permits))
        self.permits.give()

    @rule(process=processes, count=st.integers(1, 40))
    def end(self, process: Process, count: int) -> None:
        for _ in range(min(count, process.connections)):
            process.connections -= 1
            self.permits.ended(process)
        self.permits.give()

    @rule(process=processes)
    def stop(self, process: Process) -> None:
        process.accepts = False
        self.permits.give()

    @rule(process=processes)
    def go_on(self, process: Process) -> None:
        process.accepts = True
        self.permits.heard(process)
        self.permits.give()

    @rule(process=processes)
    def give_back(self, process: Process) -> None:
        count, process.permits = process.permits, 0
        self.permits.returned(process, count)
        self.permits.give()

    @rule()
    def pass_over(self) -> None:
        self.permits.pass_over(starting=True)
        self.permits.give()

    @rule(process=consumes(processes))
    def die(self, process: Process) -> None:
        self.running.remove(process)
        self.permits.leave(process)
        self.permits.give()

    @invariant()
    def both_sides_agree(self) -> None:
        for process in self.running:
            assert self.permits.permits(process) == process.permits >= 0
            assert self.permits.connections(process) == process.connections
            assert process.permits <= MOST_PERMITS

    @invariant()
    def no_more_than_allowed(self) -> None:
        assert sum(process.permits + process.connections for process in self.running) <= 60

    @invariant()
    def somebody_may_accept_while_there_is_room(self) -> None:
        total = sum(process.permits + process.connections for process in self.running)
        if total < 60 and any(process.accepts for process in self.running):
            # Those who were passed over hold permits as well, or they would not have been.
            assert any(process.permits for process in self.running)


PermitsMachineTests = PermitsMachine.TestCase
PermitsMachineTests.settings = examples(60, stateful_step_count=40)


class BacklogTests(SynchronousTestCase):
    """What waits in the backlog is not left to those who do not accept."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listening.close)
        self.permits = Permits(100)
        self.stopped, self.other = Process(), Process()
        for process in (self.stopped, self.other):
            self.permits.join(process)
        self.permits.give()
        errors = InternalErrors(self.clock)
        self.backlog = Backlog(self.permits, self.clock, errors)
        self.backlog.start(self.listening)
        self.addCleanup(self.backlog.stop)

    def connect(self) -> None:
        client = socket.create_connection(self.listening.getsockname())
        self.addCleanup(client.close)

    def look(self, times: int) -> None:
        self.clock.pump([LOOK_SECONDS] * times)

    def test_a_process_that_holds_permits_while_connections_wait_is_passed_over(self) -> None:
        self.permits.heard(self.stopped)
        accept(self.permits, self.other)
        self.permits.give()
        self.assertEqual(self.other.permits, 0)
        self.look(5)
        self.assertEqual(self.other.permits, 0)
        self.connect()
        self.look(3)
        self.assertEqual(self.other.permits, MOST_PERMITS)
        self.permits.heard(self.stopped)
        accept(self.permits, self.other, 32)
        self.look(1)
        self.assertEqual(self.other.permits, 0)

    def test_a_process_that_starts_is_waited_for_a_while(self) -> None:
        accept(self.permits, self.other)
        self.connect()
        self.look(START_LOOKS - 1)
        self.assertEqual(self.other.permits, 0)
        self.look(2)
        self.assertEqual(self.other.permits, MOST_PERMITS)

    def test_nobody_is_passed_over_while_connections_are_accepted(self) -> None:
        for process in (self.stopped, self.other):
            self.permits.heard(process)
        for _ in range(10):
            self.connect()
            accepting = self.other if self.other.permits else self.stopped
            accept(self.permits, accepting)
            self.look(1)
        self.assertEqual(self.other.connections, self.stopped.connections)

    def test_it_looks_no_more_once_it_is_stopped(self) -> None:
        self.backlog.stop()
        self.backlog.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
