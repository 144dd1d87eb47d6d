"""Links that are read together: all of a turn comes before it is said that it is over."""

from __future__ import annotations

import socket
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.testing import RecordCollector
from telemetry_twisted.transport.link import LINK_BYTES, Link
from telemetry_twisted.transport.links import (
    COMPANY_SECONDS,
    LINKS_A_TURN,
    LITTLE_SECONDS,
    OFTEN_SECONDS,
    Links,
)
from telemetry_twisted.transport.records import encode_record


class Scene:
    """Links that wait together, and the raw sockets at their other ends.

    ``said`` is what their handlers were told, in order.
    """

    def __init__(self, number: int = 0) -> None:
        self.reactor = MemoryReactorClock()
        self.errors = InternalErrors(self.reactor)
        self.links = Links(cast(Any, self.reactor), self.errors)
        self.said: list[tuple[Any, ...]] = []
        self.ends: dict[int, tuple[Link, socket.socket]] = {}
        for _ in range(number):
            self.open()

    def open(self) -> int:
        here, far = socket.socketpair()
        number = len(self.ends)
        handler = Handler(number, self.said)
        link = Link(cast(Any, self.reactor), here, handler, self.errors, self.links)
        self.ends[number] = link, far
        link.start()
        far.setblocking(False)
        return number

    def send(self, number: int, *bodies: bytes) -> None:
        self.ends[number][1].sendall(b"".join(encode_record(1, body) for body in bodies))

    def turn(self) -> list[tuple[Any, ...]]:
        """Let the reactor have them read, if it waits for that; what was said."""
        if self.links in self.reactor.getReaders():
            self.links.doRead()
        said = self.said[:]
        self.said.clear()
        return said

    def close(self) -> None:
        for link, far in self.ends.values():
            far.close()
            link.close()
        while self.links in self.reactor.getReaders():
            self.links.doRead()


class Handler(RecordCollector):
    """Adds what it is told to ``said``."""

    def __init__(self, number: int, said: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.number = number
        self.said = said

    def record_received(self, kind: int, body: bytes) -> None:
        self.said.append((self.number, bytes(body)))

    def records_done(self) -> None:
        self.said.append((self.number, "done"))

    def link_lost(self, reason: Any) -> None:
        self.said.append((self.number, "lost"))


class LinksTests(SynchronousTestCase):
    def scene(self, number: int) -> Scene:
        scene = Scene(number)
        self.addCleanup(scene.close)
        return scene

    def test_what_all_bring_in_a_turn_comes_before_it_is_over(self) -> None:
        scene = self.scene(3)
        scene.send(2, b"a", b"b")
        scene.send(0, b"c")
        said = scene.turn()
        self.assertEqual(said[-2:], [(2, "done"), (0, "done")])
        self.assertEqual(said[:-2], [(2, b"a"), (2, b"b"), (0, b"c")])
        self.assertEqual(scene.turn(), [])

    def test_no_link_keeps_another_from_being_read(self) -> None:
        """Of more than are read in a turn, each has its turn, whoever has most to say."""
        number = 2 * LINKS_A_TURN
        scene = self.scene(number)
        for each in range(number):
            scene.ends[each][1].send(encode_record(1, b"x" * 100) * (2 * LINK_BYTES // 106))
        heard = {each for _ in range(2) for each, _ in scene.turn()}
        self.assertEqual(heard, set(range(number)))

    def test_a_link_that_ends_ends_alone(self) -> None:
        scene = self.scene(2)
        scene.send(0, b"last words")
        scene.ends[0][1].close()
        scene.send(1, b"on")
        self.assertEqual(scene.turn()[:2], [(0, b"last words"), (1, b"on")])
        self.assertEqual(scene.turn(), [(0, "lost")])
        scene.send(1, b"and on")
        self.assertEqual(scene.turn(), [(1, b"and on"), (1, "done")])
        self.assertIn(scene.links, scene.reactor.getReaders())
        scene.ends[1][1].close()
        self.assertEqual(scene.turn(), [(1, "lost")])
        self.assertNotIn(scene.links, scene.reactor.getReaders())
        self.assertEqual(scene.open(), 2)
        scene.send(2, b"anew")
        self.assertEqual(scene.turn(), [(2, b"anew"), (2, "done")])

    def test_one_that_another_has_closed_is_not_read(self) -> None:
        scene = self.scene(2)
        self.patch(
            Handler,
            "record_received",
            lambda handler, *_: scene.ends[1 - handler.number][0].close(),
        )
        scene.send(0, b"x")
        scene.send(1, b"x")
        self.assertEqual(scene.turn(), [(1, "lost"), (0, "done")])

    def test_a_mistake_while_a_link_is_read_ends_that_link(self) -> None:
        scene = self.scene(2)
        self.patch(scene.ends[0][0], "read_records", lambda: 1 / 0)
        scene.send(0, b"x")
        scene.send(1, b"y")
        self.assertEqual(scene.turn(), [(0, "lost"), (1, b"y"), (1, "done")])
        self.assertEqual(scene.errors.counts, {"turn of the links": 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_mistake_at_the_end_of_a_link_is_none_of_the_others(self) -> None:
        scene = self.scene(3)
        self.patch(Handler, "link_lost", lambda _handler, _reason: 1 / 0)
        (_, ended), (closing, far), _ = scene.ends.values()
        ended.close()
        closing.send(b"x" * (2 * LINK_BYTES))
        closing.close()
        while closing.backlog:
            far.recv(LINK_BYTES)
            scene.send(2, b"y")
            self.assertEqual(scene.turn(), [(2, b"y"), (2, "done")])
        self.assertEqual(scene.errors.counts, {"turn of the links": 2})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_waits_for_room_is_written_while_the_others_are_read(self) -> None:
        scene = self.scene(2)
        link, far = scene.ends[0]
        link.send(b"x" * (3 * LINK_BYTES))
        self.assertGreater(link.backlog, 0)
        taken = 0
        while link.backlog:
            taken += len(far.recv(LINK_BYTES))
            scene.send(1, b"y")
            self.assertEqual(scene.turn(), [(1, b"y"), (1, "done")])
        while taken < 3 * LINK_BYTES:
            taken += len(far.recv(LINK_BYTES))
        self.assertEqual(scene.turn(), [])

    def test_what_came_before_the_end_is_read_though_there_is_no_room(self) -> None:
        scene = self.scene(1)
        link, far = scene.ends[0]
        link.send(b"x" * (3 * LINK_BYTES))
        scene.send(0, b"last words")
        far.close()
        said = []
        while scene.links in scene.reactor.getReaders():
            said += scene.turn()
        self.assertEqual(said[0], (0, b"last words"))
        self.assertEqual(said[-1], (0, "lost"))


class LinksMachine(RuleBasedStateMachine):
    """Whatever links come, send and go: each record comes once, in order, and turns end."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene()
        self.expected: dict[int, list[bytes]] = {}
        self.heard: dict[int, list[bytes]] = {}
        self.count = 0

    @precondition(lambda self: len(self.expected) < 7)
    @rule()
    def open(self) -> None:
        number = self.scene.open()
        self.expected[number] = []
        self.heard[number] = []

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), records=st.integers(1, 5))
    def send(self, data: st.DataObject, records: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.expected)))
        for _ in range(records):
            self.count += 1
            body = b"%d" % self.count
            self.scene.send(number, body)
            self.expected[number].append(body)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.expected)))
        self.scene.ends[number][1].close()
        for _ in range(2 * len(self.scene.ends)):
            self.turn()
        assert self.heard.pop(number) == self.expected.pop(number)

    @rule()
    def turn(self) -> None:
        said = self.scene.turn()
        read = {number for number, what in said if isinstance(what, bytes)}
        done = [number for number, what in said if what == "done"]
        assert sorted(done) == sorted(read)
        for number, what in said:
            if isinstance(what, bytes):
                self.heard[number].append(what)

    @invariant()
    def the_reactor_knows_whether_any_is_open(self) -> None:
        waits = self.scene.links in self.scene.reactor.getReaders()
        assert waits == bool(self.expected)

    def teardown(self) -> None:
        for _ in range(2 * len(self.scene.ends)):
            self.turn()
        assert self.heard == self.expected
        self.scene.close()


LinksMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=20)
LinksMachineTests = LinksMachine.TestCase


class CompanyTests(SynchronousTestCase):
    """Turns that are many and small wait for company; a lone one does not."""

    def setUp(self) -> None:
        self.scene = Scene()
        self.pauses: list[float] = []
        self.scene.links = Links(cast(Any, self.scene.reactor), self.scene.errors, self.pause)
        self.link = self.scene.open()
        self.company = b""
        self.addCleanup(self.scene.close)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.scene.reactor.advance(seconds)
        if self.company:
            self.scene.send(self.link, self.company)

    def turn_after(self, seconds: float, work: float = 0.0) -> list[tuple[Any, ...]]:
        """Take a turn so much later, which takes as long as ``work``; what was said."""
        self.pauses.clear()
        self.scene.reactor.advance(seconds)
        self.scene.send(self.link, b"body")
        read = self.scene.ends[self.link][0]
        read_done = read.read_done

        def done() -> None:
            self.scene.reactor.advance(work)
            read_done()

        read.read_done = done  # type: ignore[method-assign]
        try:
            return self.scene.turn()
        finally:
            read.read_done = read_done  # type: ignore[method-assign]

    def test_the_first_waits_for_nothing(self) -> None:
        self.turn_after(5.0)
        self.assertEqual(self.pauses, [])

    def test_one_that_follows_soon_waits(self) -> None:
        self.turn_after(5.0)
        self.company = b"company"
        said = self.turn_after(OFTEN_SECONDS * 0.9)
        self.assertEqual(self.pauses, [COMPANY_SECONDS])
        self.assertEqual(said, [(0, b"body"), (0, b"company"), (0, "done")])

    def test_a_lone_one_waits_for_nothing(self) -> None:
        self.turn_after(5.0)
        self.turn_after(OFTEN_SECONDS * 1.1)
        self.assertEqual(self.pauses, [])

    def test_one_after_much_work_waits_for_nothing(self) -> None:
        self.turn_after(5.0, work=LITTLE_SECONDS * 1.1)
        self.turn_after(0.0)
        self.assertEqual(self.pauses, [])

    def test_no_event_waits_longer_than_the_protocol_says(self) -> None:
        self.assertLess(COMPANY_SECONDS + 0.00005, 0.0002)  # timers have so much slack
