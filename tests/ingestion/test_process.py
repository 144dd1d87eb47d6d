"""An ingestion process: permits and connections in, records out."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, cast

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.errors import InternalErrors
from telemetry_twisted.ingestion import process
from telemetry_twisted.ingestion.accept import Acceptor
from telemetry_twisted.ingestion.pool_reader import POOL
from telemetry_twisted.ingestion.process import REPORT_SECONDS, IngestionProcess
from telemetry_twisted.ingestion.settings import Settings
from telemetry_twisted.jip3.encoder import encode_event, frame
from telemetry_twisted.jip3.values import CORE_COUNT_MISFIT
from telemetry_twisted.testing import MemoryLink
from telemetry_twisted.transport import records
from tests.ingestion.test_node import (
    COMPILED,
    NODE_ID,
    ZERO,
    best_block,
    connect,
    hang_up,
    hello,
    read_pool,
    send,
)


class HubEnd(MemoryLink):
    """The link of a process to the hub, without a socket: keeps what is sent."""

    @property
    def seen(self) -> list[tuple[int, Any]]:
        return [(kind, records.decode_json(body)) for kind, body in self.sent]


class Reactor(MemoryReactorClock):
    """Adopts connections, unless told that they have been reset."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[Any] = []
        self.error: OSError | None = None

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        if self.error is not None:
            raise self.error
        node = factory.buildProtocol(None)
        connect(node)
        self.adopted.append(node)


class ProcessTestCase(SynchronousTestCase):
    """An ingestion process with everything around it in memory, but for its listening socket."""

    networks = ""
    history = False
    codec = "python"
    pooled = True
    now = staticmethod(time.time)

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.listening.setblocking(False)
        self.addCleanup(self.listening.close)
        settings = Settings(
            1, 1, self.codec, False, 1 << 20, 0, 3, self.history, None, self.networks
        )
        if not self.pooled:
            self.patch(process, "build_pool", lambda *_: None)
        self.errors = InternalErrors(self.reactor)
        self.process = IngestionProcess(
            cast(Any, self.reactor), settings, self.listening, self.errors, self.now
        )
        self.hub = HubEnd()
        self.process.link_made(self.hub)
        ((kind, _),) = self.hub.seen  # the first pulse
        self.assertEqual(kind, records.PULSE)
        self.hub.sent.clear()

    def tell(self, kind: int, /, **message: Any) -> None:
        body = records.encode_json(kind, message)[records.PREFIX.size :]
        self.process.record_received(kind, body)

    def connect(self, count: int = 1) -> None:
        for _ in range(count):
            client = socket.create_connection(self.listening.getsockname())
            self.addCleanup(client.close)
        for reader in self.reactor.getReaders():
            if isinstance(reader, Acceptor):
                reader.doRead()

    def seen(self, *kinds: int) -> list[Any]:
        """The records of these kinds that the hub has seen since the last call."""
        seen = [body for kind, body in self.hub.seen if kind in kinds]
        self.hub.sent.clear()
        return seen


class IngestionProcessTests(ProcessTestCase):
    def test_nothing_is_accepted_without_a_permit(self) -> None:
        self.connect()
        self.assertEqual(self.reactor.adopted, [])
        self.tell(records.PERMIT, count=1)
        self.connect()
        self.assertEqual([node.connection for node in self.reactor.adopted], [1])

    def test_the_hub_is_told_of_each_connection_and_where_it_comes_from(self) -> None:
        self.tell(records.PERMIT, count=3)
        self.connect(2)
        self.assertEqual([node.connection for node in self.reactor.adopted], [1, 2])
        self.assertEqual(
            self.hub.seen,
            [(records.ACCEPTED, {"connection": number, "host": "127.0.0.1"}) for number in (1, 2)],
        )

    def test_one_that_is_reset_while_it_is_accepted_is_told_as_ended(self) -> None:
        self.tell(records.PERMIT, count=3)
        self.reactor.error = OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        self.connect()
        self.assertEqual([kind for kind, _ in self.hub.seen], [records.ACCEPTED, records.GONE])
        (gone,) = self.seen(records.GONE)
        self.assertEqual((gone["connection"], gone["kind"]), (1, "left"))
        self.reactor.error = None
        self.connect()
        self.assertEqual([node.connection for node in self.reactor.adopted], [2])

    def test_one_for_which_there_is_no_second_descriptor_is_told_as_unserved(self) -> None:
        self.tell(records.PERMIT, count=1)
        self.reactor.error = OSError(errno.EMFILE, "Too many open files")
        self.connect()
        (gone,) = self.seen(records.GONE)
        self.assertEqual((gone["connection"], gone["kind"]), (1, "unserved"))
        self.assertIn("ulimit", gone["reason"])

    def test_of_too_many_that_say_nothing_the_oldest_goes(self) -> None:
        self.tell(records.PERMIT, count=9)
        self.connect(3)
        first, second, third = self.reactor.adopted
        send(self.reactor, first, hello())  # so it is not silent
        self.connect(1)
        self.assertEqual([node.transport.aborted for node in self.reactor.adopted], [False] * 4)
        self.connect(1)
        self.assertTrue(second.transport.aborted)
        self.assertFalse(first.transport.aborted or third.transport.aborted)
        self.seen()
        hang_up(self.reactor, second)
        (gone,) = self.seen(records.GONE)
        self.assertEqual((gone["connection"], gone["kind"]), (2, "crowded_out"))
        hang_up(self.reactor, third)
        self.connect(1)
        self.assertFalse(self.reactor.adopted[3].transport.aborted)

    def test_the_hub_can_ask_how_long_a_node_has_been_silent(self) -> None:
        self.tell(records.PERMIT, count=1)
        self.connect()
        (node,) = self.reactor.adopted
        send(self.reactor, node, hello())
        self.tell(records.ADMIT, connection=1, handle=0, after_id=0)
        self.reactor.advance(5)
        self.tell(records.CHALLENGE, connection=1)
        send(self.reactor, node, best_block(1)[:5])  # not even a whole frame
        self.reactor.advance(2)
        self.tell(records.CHALLENGE, connection=1)
        self.assertEqual([answer["silent"] for answer in self.seen(records.ACTIVITY)], [5.0, 2.0])
        self.process._gate.pauseProducing()
        if not self.pooled:
            send(self.reactor, node, best_block(1)[5:])  # held when it has something to say
        # What is not read cannot be called silent.
        self.reactor.advance(20)
        self.tell(records.CHALLENGE, connection=1)
        self.assertEqual(self.seen(records.ACTIVITY)[0]["silent"], 0.0)
        self.tell(records.CHALLENGE, connection=99)
        self.assertEqual(self.seen(records.ACTIVITY), [])

    def test_a_node_that_leaves_while_nothing_is_read_is_told_as_gone(self) -> None:
        self.tell(records.PERMIT, count=1)
        self.connect()
        (node,) = self.reactor.adopted
        send(self.reactor, node, hello())
        self.tell(records.ADMIT, connection=1, handle=0, after_id=0)
        self.process._gate.pauseProducing()
        hang_up(self.reactor, node)
        self.reactor.advance(REPORT_SECONDS)
        self.assertEqual([gone["kind"] for gone in self.seen(records.GONE)], ["left"])

    def test_a_node_introduces_itself_is_dismissed_and_is_told_as_gone(self) -> None:
        self.tell(records.PERMIT, count=1)
        self.connect()
        (node,) = self.reactor.adopted
        send(self.reactor, node, hello())
        (told,) = self.seen(records.HELLO)
        self.assertEqual((told["node_id"], told["address"]), (NODE_ID, "127.0.0.1:5"))
        self.tell(records.DISMISS, connection=1, kind="refused", reason="because")
        self.assertTrue(node.transport.aborted)
        hang_up(self.reactor, node)
        self.assertEqual(
            self.seen(records.GONE), [{"connection": 1, "kind": "refused", "reason": "because"}]
        )

    def test_permits_that_are_left_are_given_back_when_it_drains(self) -> None:
        self.tell(records.PERMIT, count=3)
        self.connect()
        self.tell(records.DRAIN)
        self.assertEqual(self.seen(records.RETURNED), [{"count": 2, "more": False}])
        self.assertEqual(self.reactor.getReaders(), [])
        self.assertTrue(self.hub.closed)

    def test_counters_are_reported_every_second(self) -> None:
        self.reactor.advance(REPORT_SECONDS)
        (pulse,) = self.seen(records.PULSE)
        self.assertEqual(pulse["codec"], self.codec)
        self.assertEqual(pulse["connections"], 0)
        self.assertGreater(pulse["memory_bytes"], 0)


class TransportTests(IngestionProcessTests):
    """The same where nodes are read by their transports."""

    pooled = False


class NetworksTests(ProcessTestCase):
    """Nodes that come from a network that is allowed."""

    networks = "10.0.0.0/8,127.0.0.0/8"

    def test_they_are_served(self) -> None:
        self.tell(records.PERMIT, count=2)
        self.connect()
        self.assertEqual(len(self.reactor.adopted), 1)


class OtherNetworksTests(ProcessTestCase):
    """Nodes that come from a network that is not allowed."""

    networks = "10.0.0.0/8,2001:db8::/32"

    def test_they_are_closed_before_anything_is_read(self) -> None:
        self.tell(records.PERMIT, count=2)
        self.connect()
        self.assertEqual(self.reactor.adopted, [])
        self.assertEqual([kind for kind, _ in self.hub.seen], [records.ACCEPTED, records.GONE])
        (gone,) = self.seen(records.GONE)
        self.assertEqual((gone["connection"], gone["kind"]), (1, "network_not_allowed"))
        self.assertIn("--allow-node-networks", gone["reason"])


def status(cores: int) -> bytes:
    """A ``Status`` as it is sent."""
    fields = dict.fromkeys(("num_peers", "num_val_peers", "num_sync_peers"), 1) | {
        "num_guarantees": [0] * cores,
        **dict.fromkeys(("num_shards", "shards_size", "num_preimages", "preimages_size"), 2),
    }
    return frame(encode_event("Status", 1, fields, cores=cores))


class StateTests(ProcessTestCase):
    """What the hub is told of nodes once a second, where history is kept."""

    history = True

    def admit(self, first_message: bytes) -> Any:
        self.tell(records.PERMIT, count=1)
        self.connect()
        (node,) = self.reactor.adopted
        send(self.reactor, node, first_message)
        self.tell(records.ADMIT, connection=node.connection, handle=7, after_id=0)
        return node

    def state(self) -> dict[str, Any]:
        self.hub.sent.clear()
        self.reactor.advance(REPORT_SECONDS)
        (state,) = [body for kind, body in self.hub.sent if kind == records.STATE]
        told: dict[str, Any] = records.decode_json(state)["7"]
        return told

    def test_the_core_count_is_told_once_it_is_known(self) -> None:
        right = hello()[4:]
        node = self.admit(frame(right[:1] + right[135:]))
        (told,) = [body for kind, body in self.hub.seen if kind == records.HELLO]
        self.assertEqual(told["info"]["params"], {"core_count": None, "raw": "0x"})
        send(self.reactor, node, best_block(1))
        self.assertEqual(self.state()["cores"], None)
        send(self.reactor, node, status(341))
        self.assertEqual(self.state(), {"cores": 341, "peers": 1})

    def test_what_does_not_fit_a_core_count_that_is_not_certain_is_an_error(self) -> None:
        right = hello()[4:]
        uncertain = right[:1] + right[1:135] + bytes(16) + right[135:]
        zero = right[:25] + bytes(2) + right[27:]
        for first_message in (uncertain, zero):
            with self.subTest():
                node = self.admit(frame(first_message))
                self.hub.sent.clear()
                send(self.reactor, node, status(2) + status(3))
                self.reactor.advance(REPORT_SECONDS)
                told = [body for kind, body in self.hub.sent if kind == records.FAULTS]
                (faults,) = map(records.decode_json, told)
                errors = [fault for fault in faults if fault["kind"] == "decode_error"]
                self.assertEqual([error["reason"] for error in errors], [CORE_COUNT_MISFIT])
                self.reactor.adopted.clear()

    def test_a_slot_that_is_ahead_of_the_clock_is_told(self) -> None:
        node = self.admit(hello())
        send(self.reactor, node, best_block(1))
        self.assertEqual(self.state(), {"cores": 2, "best": {"slot": 1, "hash": ZERO}})
        send(self.reactor, node, best_block(2**32 - 1))
        self.assertEqual(self.state()["best"]["slot"], 2**32 - 1)


class MistakeTestCase(ProcessTestCase):
    """Nodes with which mistakes are made."""

    history = True

    def introduce(self, count: int) -> list[Any]:
        self.tell(records.PERMIT, count=count)
        self.connect(count)
        for node in self.reactor.adopted:
            send(self.reactor, node, hello())
        return self.reactor.adopted

    def admit(self, count: int) -> list[Any]:
        nodes = self.introduce(count)
        for node in nodes:
            self.tell(records.ADMIT, connection=node.connection, handle=node.connection, after_id=0)
        return nodes

    def mistakes(self) -> int:
        self.flushLoggedErrors(ZeroDivisionError)
        return self.errors.counts["node"]

    def mistake(self, *_: object) -> Any:
        raise ZeroDivisionError


class MistakeTests(MistakeTestCase):
    """Mistakes of the server's own, which stay with the node that they are made with."""

    def test_one_in_what_a_node_sends_closes_that_node(self) -> None:
        first, second = self.admit(2)
        first.source.passed_on = self.mistake
        send(self.reactor, first, best_block(1))
        send(self.reactor, second, best_block(2))
        self.assertTrue(first.transport.aborted)
        self.assertFalse(second.transport.aborted)
        hang_up(self.reactor, first)
        (gone,) = [body for kind, body in self.hub.sent if kind == records.GONE]
        self.assertEqual(records.decode_json(gone)["kind"], "server_mistake")
        self.assertEqual(self.mistakes(), 1)

    def test_one_in_what_was_held_leaves_no_other_node_held(self) -> None:
        nodes = self.admit(3)
        self.process._gate.pauseProducing()
        for node in nodes:
            send(self.reactor, node, best_block(1))
        nodes[0].source.passed_on = self.mistake
        self.process._gate.resumeProducing()
        read_pool(self.reactor)
        self.assertEqual([node.transport.aborted for node in nodes], [True, False, False])
        self.assertEqual([node.silent for node in nodes[1:]], [0, 0])
        self.reactor.advance(1)
        self.assertEqual([node.silent for node in nodes[1:]], [1, 1])  # they are read from again
        self.assertEqual(self.mistakes(), 1)

    def test_one_in_what_is_read_closes_that_node(self) -> None:
        first, second = self.admit(2)
        self.patch(self.process._writer, "feed", self.failing_for(first.source.handle))
        send(self.reactor, first, best_block(1))
        send(self.reactor, second, best_block(2))
        self.assertTrue(first.transport.aborted)
        self.assertFalse(second.transport.aborted)
        self.assertEqual(self.mistakes(), 1)
        self.assertEqual(self.errors.counts.total(), 1)

    def failing_for(self, handle: int) -> Any:
        """As the writer's ``feed``, but for one node."""
        feed = self.process._writer.feed

        def feed_or_fail(stream: Any, whose: int, *rest: Any) -> Any:
            return self.mistake() if whose == handle else feed(stream, whose, *rest)

        return feed_or_fail

    def test_a_node_that_cannot_be_admitted_does_not_wait_for_ever(self) -> None:
        (node,) = self.introduce(1)
        self.patch(self.process._codec, "open", self.mistake)
        self.tell(records.ADMIT, connection=node.connection, handle=1, after_id=0)
        self.assertTrue(node.transport.aborted)
        self.assertEqual(self.mistakes(), 1)

    def test_the_hub_is_told_that_a_node_is_gone_whatever_its_last_report_comes_to(self) -> None:
        (node,) = self.admit(1)
        self.patch(self.process._history, "_send_states", self.mistake)
        hang_up(self.reactor, node)
        self.assertEqual([gone["connection"] for gone in self.seen(records.GONE)], [1])
        self.assertEqual(self.mistakes(), 1)

    def test_one_node_that_cannot_be_told_of_keeps_neither_the_others_nor_the_pulse(self) -> None:
        first, second = self.admit(2)
        send(self.reactor, first, best_block(1))
        send(self.reactor, second, best_block(1))
        first.source.latest[11] = b""  # no event
        self.hub.sent.clear()
        self.reactor.advance(REPORT_SECONDS)
        told = {kind: body for kind, body in self.hub.sent if kind != records.CHUNK}
        self.assertIn(records.PULSE, told)
        self.assertEqual(list(records.decode_json(told[records.STATE])), ["2"])
        self.flushLoggedErrors()
        self.assertEqual(self.errors.counts["node"], 1)


class PoolMistakeTests(MistakeTestCase):
    """Mistakes in what is done for all nodes of the pool at once."""

    def test_one_in_what_is_done_for_many_leaves_all_of_them_read(self) -> None:
        first, second = self.admit(2)
        patch = self.patch(self.process._assembler, "_send", self.mistake)
        first.transport.node_end.sendall(best_block(1))
        first.transport.node_end.close()
        read_pool(self.reactor)
        self.flushLoggedErrors(ZeroDivisionError)
        patch.restore()
        self.assertGreater(self.errors.counts[POOL], 0)
        self.assertNotIn(1, self.process._connections.nodes)
        self.hub.sent.clear()
        send(self.reactor, second, best_block(2))
        self.assertIn(records.CHUNK, [kind for kind, _ in self.hub.sent])


class TransportMistakeTests(MistakeTests):
    """The same where nodes are read by their transports."""

    pooled = False


if COMPILED:

    class CompiledTests(IngestionProcessTests):
        """The same with what is compiled."""

        codec = "compiled"

    class CompiledStateTests(StateTests):
        """The same with what is compiled."""

        codec = "compiled"
