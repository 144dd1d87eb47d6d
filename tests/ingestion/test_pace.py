"""How soon nodes are read again, and what does not depend on how many there are."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from telemetry_twisted.ingestion.pace import LITTLE, REST_SECONDS, Pace
from telemetry_twisted.ingestion.pool_reader import PoolReader
from telemetry_twisted.ingestion.process import REPORT_SECONDS
from telemetry_twisted.transport import records
from tests.ingestion.test_node import COMPILED, best_block, hello, send
from tests.ingestion.test_process import ProcessTestCase


@given(st.lists(st.integers(0, 2 * LITTLE), min_size=1), st.booleans())
def test_a_process_rests_where_nobody_listens_and_little_comes(
    seconds: list[int], listening: bool
) -> None:
    pace = Pace()
    pace.listened_to(listening)
    events = 0
    for more in seconds:
        events += more
        pace.second_over(events)
        rests = more <= LITTLE and not listening
        assert pace.rest == (REST_SECONDS if rests else 0.0)


def test_a_process_does_not_rest_before_it_knows() -> None:
    pace = Pace()
    pace.listened_to(False)
    assert pace.rest == 0.0
    pace = Pace()
    pace.second_over(0)
    assert pace.rest == 0.0


class PaceTestCase(ProcessTestCase):
    def admit(self) -> Any:
        """A node that may stay."""
        self.tell(records.PERMIT, count=1)
        self.connect()
        node = self.reactor.adopted[-1]
        send(self.reactor, node, hello())
        self.tell(records.ADMIT, connection=node.connection, handle=node.connection, after_id=0)
        return node


class RestTests(PaceTestCase):
    def chunks(self) -> int:
        """How many records of events the hub was sent since the last call."""
        kinds = [kind for kind, _ in self.hub.sent]
        self.hub.sent.clear()
        return kinds.count(records.CHUNK)

    def reads(self) -> bool:
        """Whether the reactor reads the pool."""
        return any(isinstance(reader, PoolReader) for reader in self.reactor.getReaders())

    def rest(self) -> Any:
        """A node of a process that rests now."""
        node = self.admit()
        self.tell(records.AUDIENCE, listening=False)
        self.reactor.advance(REPORT_SECONDS)
        send(self.reactor, node, best_block(1))
        self.assertEqual(self.chunks(), 1)
        self.assertFalse(self.reads())
        return node

    def test_it_reads_all_that_has_come_when_it_has_rested(self) -> None:
        node = self.rest()
        send(self.reactor, node, best_block(2), best_block(3))
        self.assertEqual(self.chunks(), 0)
        self.reactor.advance(REST_SECONDS)
        self.assertTrue(self.reads())
        send(self.reactor, node, best_block(4))
        self.assertEqual(self.chunks(), 1)
        self.assertEqual(self.process._assembler.events, 4)

    def test_it_reads_at_once_when_somebody_comes_to_listen(self) -> None:
        self.rest()
        self.tell(records.AUDIENCE, listening=True)
        self.assertTrue(self.reads())

    def test_nothing_is_read_while_the_link_is_full(self) -> None:
        self.rest()
        self.process._gate.pauseProducing()
        self.reactor.advance(REST_SECONDS)
        self.assertFalse(self.reads())
        self.process._gate.resumeProducing()
        self.assertTrue(self.reads())

    def test_it_ends_as_it_would_otherwise(self) -> None:
        self.rest()
        self.tell(records.DRAIN)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse(self.reads())


class TimersTests(PaceTestCase):
    def test_there_is_none_for_a_node(self) -> None:
        self.admit()
        before = len(self.reactor.getDelayedCalls())
        for _ in range(10):
            self.admit()
        self.assertEqual(len(self.reactor.getDelayedCalls()), before)


class TransportTimersTests(TimersTests):
    """The same where nodes are read by their transports, as over TLS."""

    pooled = False


if COMPILED:

    class CompiledRestTests(RestTests):
        codec = "compiled"

    class CompiledTimersTests(TimersTests):
        codec = "compiled"
