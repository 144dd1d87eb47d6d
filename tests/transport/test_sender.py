"""The sender: order, whole frames, states, and what happens at the end."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.testing import CLOSE, PING, PONG, TEXT, FrameParser, ReceivedFrame
from telemetry_twisted.transport.sender import PIECES_AT_ONCE, Sender, State
from telemetry_twisted.transport.sink import Piece
from tests.examples import examples

TURN_BYTES = 700


def frame(opcode: int, payload: bytes, cut: int = 0) -> list[bytes]:
    """A frame in pieces: its header, and its payload cut in two."""
    length = len(payload)
    if length < 126:
        header = struct.pack("!BB", 0x80 | opcode, length)
    else:
        header = struct.pack("!BBH", 0x80 | opcode, 126, length)
    return [header, payload[:cut], payload[cut:]]


class Sink:
    """Takes as much as there is ``room`` for, or all if that is None."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.error: OSError | None = None
        self.sent = bytearray()
        self.awaited = False
        self.ended: list[str] = []
        self.most_pieces = 0
        self.number: int | None = None

    def take(self, pieces: Sequence[Piece]) -> int:
        if self.error is not None:
            raise self.error
        if self.room == 0:
            raise BlockingIOError
        self.most_pieces = max(self.most_pieces, len(pieces))
        data = b"".join(pieces)[: self.room]
        self.sent += data
        if self.room is not None:
            self.room -= len(data)
        return len(data)

    def await_room(self) -> None:
        self.awaited = True

    def all_out(self) -> None:
        self.ended.append("all out")

    def broken(self) -> None:
        self.ended.append("broken")

    def accepted(self) -> int | None:
        return self.number


class Scene:
    def __init__(self, state: State = State.OPEN) -> None:
        self.clock = Clock()
        self.sink = Sink()
        self.ready = 0
        self.sender = Sender(self.sink, self.clock, self._note_ready, TURN_BYTES, state)

    def _note_ready(self) -> None:
        self.ready += 1

    def give_room(self, room: int | None = None) -> None:
        """There is room, and the reactor tells if it was to do so."""
        self.sink.room = room
        if self.sink.awaited:
            self.sink.awaited = False
            self.sender.room()

    def taken(self) -> bytes:
        data = bytes(self.sink.sent)
        self.sink.sent.clear()
        return data


class StateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene()
        self.sender = self.scene.sender
        self.sink = self.scene.sink

    def test_what_is_written_goes_out_at_once(self) -> None:
        self.sender.write([b"head", b"events", memoryview(b"end")])
        self.assertEqual(self.scene.taken(), b"headeventsend")
        self.assertIs(self.sender.state, State.OPEN)
        self.assertEqual(self.sender.backlog, 0)

    def test_what_is_not_taken_waits_in_order(self) -> None:
        self.sink.room = 5
        self.sender.write([b"head", b"events"])
        self.assertIs(self.sender.state, State.BLOCKED)
        self.sender.write([b"more"])
        self.assertEqual(self.sender.backlog, 9)
        self.assertTrue(self.sink.awaited)
        self.scene.give_room(3)
        self.assertIs(self.sender.state, State.BLOCKED)
        self.assertEqual(self.scene.ready, 0)
        self.scene.give_room()
        self.assertEqual(self.scene.taken(), b"headeventsmore")
        self.assertIs(self.sender.state, State.OPEN)
        self.assertEqual(self.scene.ready, 1)

    def test_it_goes_on_in_the_next_turn_when_it_has_written_its_share(self) -> None:
        self.sender.write([b"x" * TURN_BYTES])
        self.assertIs(self.sender.state, State.YIELDED)
        self.sender.write([b"later"])
        self.sender.room()
        self.assertEqual(self.scene.taken(), b"x" * TURN_BYTES)
        self.assertFalse(self.sink.awaited)
        self.scene.clock.advance(0)
        self.assertEqual(self.scene.taken(), b"later")
        self.assertIs(self.sender.state, State.OPEN)
        self.assertEqual(self.scene.ready, 1)

    def test_no_more_pieces_are_handed_to_the_system_than_it_takes(self) -> None:
        for number in range(3 * PIECES_AT_ONCE):
            self.sender.queue([b"%d," % (number % 10)])
        self.sender.flush()
        self.assertIs(self.sender.state, State.YIELDED)
        self.scene.clock.pump([0] * 5)
        self.assertEqual(self.sink.most_pieces, PIECES_AT_ONCE)
        self.assertEqual(len(self.scene.taken()), 6 * PIECES_AT_ONCE)

    def test_it_begins_blocked_where_something_else_is_to_go_first(self) -> None:
        scene = Scene(State.BLOCKED)
        scene.sender.write([b"second"])
        self.assertEqual(scene.taken(), b"")
        scene.sender.room()
        self.assertEqual(scene.taken(), b"second")
        self.assertEqual(scene.ready, 1)

    def test_a_moment_without_memory_is_not_the_end(self) -> None:
        self.sink.error = OSError(errno.ENOBUFS, "no buffer space")
        self.sender.write([b"record"])
        self.assertIs(self.sender.state, State.BLOCKED)
        self.sink.error = None
        self.scene.give_room()
        self.assertEqual(self.scene.taken(), b"record")

    def test_a_broken_connection_is_told_once(self) -> None:
        self.sink.error = BrokenPipeError(errno.EPIPE, "gone")
        self.sender.write([b"x"])
        self.sender.write([b"y"])
        self.sender.close()
        self.assertIs(self.sender.state, State.CLOSED)
        self.assertEqual(self.sink.ended, ["broken"])
        self.assertEqual(self.sender.backlog, 0)

    def test_of_frames_that_go_ahead_one_of_each_kind_waits(self) -> None:
        self.sink.room = 1
        self.sender.write([b"event"])
        self.sender.write([b"next"])
        for number in range(100_000):
            self.sender.write_ahead(PONG, [b"<%d>" % number])
        self.sender.write_ahead(PING, [b"ping"])
        self.assertEqual(self.sender.backlog, len(b"ventnext<99999>ping"))
        self.scene.give_room()
        self.assertEqual(self.scene.taken(), b"event<99999>pingnext")


class EndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene()
        self.sender = self.scene.sender
        self.sink = self.scene.sink

    def test_what_is_queued_goes_out_before_it_closes(self) -> None:
        self.sink.room = 1
        self.sender.write([b"one"])
        self.sender.write([b"two"])
        self.sender.close()
        self.sender.write([b"three"])
        self.sender.write_ahead(PING, [b"ping"])
        self.assertIs(self.sender.state, State.CLOSING)
        self.scene.give_room(3)
        self.assertEqual(self.sink.ended, [])
        self.scene.give_room()
        self.assertEqual(self.scene.taken(), b"onetwo")
        self.assertEqual(self.sink.ended, ["all out"])
        self.assertIs(self.sender.state, State.CLOSED)

    def test_nothing_follows_the_last_frame(self) -> None:
        self.sink.room = 1
        self.sender.write([b"one"])
        self.sender.write([b"two"])
        self.sender.write_ahead(PONG, [b"pong"])
        self.sender.end([b"last"])
        self.sender.end([b"very last"])
        self.sender.write([b"three"])
        self.assertEqual(self.sender.backlog, len(b"nelastpong"))
        self.scene.give_room()
        self.assertEqual(self.scene.taken(), b"oneponglast")
        self.assertIs(self.sender.state, State.CLOSING)
        self.assertEqual(self.scene.ready, 1)
        self.sender.close()
        self.assertEqual(self.sink.ended, ["all out"])

    def test_it_closes_in_its_turn(self) -> None:
        self.sender.write([b"x" * TURN_BYTES])
        self.sender.write([b"y"])
        self.sender.close()
        self.assertEqual(self.sink.ended, [])
        self.scene.clock.advance(0)
        self.assertEqual(self.sink.ended, ["all out"])
        self.assertEqual(len(self.scene.taken()), TURN_BYTES + 1)

    def test_one_that_has_only_its_turn_to_wait_for_closes_for_good(self) -> None:
        self.sender.write([b"x" * TURN_BYTES])
        self.sender.close()
        self.scene.clock.pump([0, 1])
        self.assertIs(self.sender.state, State.CLOSED)
        self.assertEqual((self.sink.ended, self.scene.ready), (["all out"], 0))

    def test_an_idle_one_closes_at_once(self) -> None:
        self.sender.close()
        self.assertEqual(self.sink.ended, ["all out"])

    def test_one_that_is_lost_says_and_does_nothing_more(self) -> None:
        self.sender.write([b"x" * TURN_BYTES])
        self.sender.write([b"y"])
        self.sender.lost()
        self.scene.clock.advance(1)
        self.scene.give_room()
        self.sender.close()
        self.assertEqual(len(self.scene.taken()), TURN_BYTES)
        self.assertEqual((self.sink.ended, self.scene.ready), ([], 0))
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])


class StallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene()
        self.sink = self.scene.sink

    def stalled_after(self, seconds: float) -> float:
        self.scene.clock.advance(seconds)
        return self.scene.sender.stalled_for(self.scene.clock.seconds())

    def test_it_is_stalled_while_bytes_wait_and_none_is_accepted(self) -> None:
        self.assertEqual(self.stalled_after(100), 0)
        self.sink.number = 5
        self.assertEqual(self.stalled_after(5), 0)
        self.assertEqual(self.stalled_after(5), 5)
        self.assertEqual(self.stalled_after(55), 60)
        self.sink.number = 6
        self.assertEqual(self.stalled_after(5), 0)
        self.sink.number = None
        self.assertEqual(self.stalled_after(5), 0)

    def test_what_a_full_sink_takes_was_accepted_somewhere(self) -> None:
        """Where the system tells only what waits, it may be as much as before."""
        self.sink.number = 5
        self.sink.room = 0
        self.scene.sender.write([b"x" * 100])
        self.stalled_after(5)
        self.assertEqual(self.stalled_after(5), 5)
        self.scene.give_room(10)
        self.assertEqual(self.stalled_after(5), 0)

    def test_what_a_sink_takes_that_was_not_full_is_no_sign(self) -> None:
        self.sink.number = 5
        self.stalled_after(5)
        for _ in range(11):
            self.scene.sender.write_ahead(PING, [b"ping"])
            self.scene.sender.write([b"x"])
            self.stalled_after(5)
        self.assertEqual(self.stalled_after(5), 60)


sizes = st.integers(0, 600)
steps = st.one_of(
    st.tuples(st.just("write"), sizes, sizes),
    st.tuples(st.just("write"), sizes, sizes),
    st.tuples(st.just("queue"), sizes, sizes),
    st.tuples(st.sampled_from(["flush", "turn", "close", "end"])),
    st.tuples(st.just("ahead"), st.sampled_from([PING, PONG])),
    st.tuples(st.just("room"), st.integers(0, 400)),
    st.tuples(st.just("room"), st.none()),
)


class Account:
    """What was written, and what of it must have arrived, and where."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.case = case
        self.scene = Scene()
        self.parser = FrameParser()
        self.received: list[ReceivedFrame] = []
        self.written = 0
        self.latest: dict[int, bytes] = {}
        self.before: dict[bytes, int] = {}
        self.ended = False

    def write(self, size: int, cut: int, queue: bool) -> None:
        """The next numbered frame of text."""
        sender = self.scene.sender
        pieces = frame(TEXT, b"%06d" % self.written + b"x" * size, cut)
        if sender.takes:
            self.written += 1
        (sender.queue if queue else sender.write)(pieces)

    def write_ahead(self, kind: int, number: int) -> None:
        sender = self.scene.sender
        self.look()
        payload = b"%d" % number
        if sender.takes:
            self.latest[kind] = payload
            # Whole frames of text that have gone, and one that may have partly gone, are before it.
            texts = sum(frame.opcode == TEXT for frame in self.received)
            self.before[payload] = texts + self.parser.unfinished
        sender.write_ahead(kind, frame(kind, payload))

    def look(self) -> None:
        """Read what has gone out."""
        self.received += self.parser.feed(self.scene.taken())

    def check(self) -> None:
        """All went out, whole and in order, and what went ahead was ahead."""
        self.look()
        case = self.case
        case.assertFalse(self.parser.unfinished)
        numbers = [int(frame.payload[:6]) for frame in self.received if frame.opcode == TEXT]
        case.assertEqual(numbers, list(range(len(numbers))))
        if not self.ended:
            case.assertEqual(len(numbers), self.written)
        texts = 0
        for received in self.received:
            if received.opcode == TEXT:
                texts += 1
            elif received.opcode != CLOSE:
                case.assertLessEqual(texts, self.before[received.payload])
        for kind, payload in self.latest.items():
            last = [frame.payload for frame in self.received if frame.opcode == kind][-1]
            case.assertEqual(last, payload)
        case.assertEqual(self.parser.closed, self.ended)
        case.assertEqual(self.scene.sender.backlog, 0)


class OrderTests(SynchronousTestCase):
    @examples(500)
    @given(st.lists(steps, min_size=10, max_size=60))
    def test_frames_arrive_whole_and_in_order_whatever_the_sink_does(
        self, steps: list[tuple[Any, ...]]
    ) -> None:
        account = Account(self)
        scene, sender = account.scene, account.scene.sender
        for number, (step, *values) in enumerate(steps):
            if step in ("write", "queue"):
                size, cut = values
                account.write(size, cut, step == "queue")
            elif step == "flush":
                sender.flush()
            elif step == "turn":
                scene.clock.advance(0)
            elif step == "ahead":
                account.write_ahead(values[0], number)
            elif step == "room":
                scene.give_room(*values)
            elif step == "close":
                sender.close()
            elif step == "end" and sender.takes:
                account.ended = True
                sender.end(frame(CLOSE, struct.pack("!H", 1001)))
            account.look()
            self.assert_consistent(scene)
        sender.flush()
        while sender.backlog:
            scene.give_room()
            scene.clock.advance(0)
        account.check()

    def assert_consistent(self, scene: Scene) -> None:
        """The state says what is being waited for."""
        sender, waits_for_turn = scene.sender, bool(scene.clock.getDelayedCalls())
        state = sender.state
        if state in (State.OPEN, State.CLOSED):
            self.assertFalse(waits_for_turn or scene.sink.awaited)
        elif state is State.BLOCKED:
            self.assertTrue(scene.sink.awaited and sender.backlog)
        elif state is State.YIELDED:
            self.assertTrue(waits_for_turn)
        elif sender.backlog:
            self.assertTrue(waits_for_turn != scene.sink.awaited)
