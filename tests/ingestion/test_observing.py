"""What nodes' chains come to is told once a second, and before the node is told as gone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from telemetry_twisted.ingestion.network_indexes import NetworkIndexes
from telemetry_twisted.ingestion.process import REPORT_SECONDS
from telemetry_twisted.jip3.gathering import NO_NETWORK
from telemetry_twisted.jip3.moment import COMMON_ERA
from telemetry_twisted.jip3.observations import Observations, chains_in
from telemetry_twisted.jip3.observed import NO_CORE, Outcome, OutcomeCount, Withheld, WithheldCount
from telemetry_twisted.jip3.open_chains import YET_TO_COME
from telemetry_twisted.transport import records
from tests.ingestion.test_node import COMPILED, NODE_ID, hang_up, hello, send
from tests.ingestion.test_process import ProcessTestCase
from tests.jip3.chain_events import cost, event

NOW = COMMON_ERA / 1_000_000 + 1000
TIME = 1_000_000_000
"""The same in microseconds of the Common Era."""


class ObservingTestCase(ProcessTestCase):
    history = True
    set_by = 0.0
    """By how many seconds the wall clock was set."""

    def now(self) -> float:
        """The wall clock, which goes on as the other one does."""
        return NOW + self.set_by + self.reactor.seconds()

    def admit(self, handle: int = 7, first_message: bytes = b"") -> Any:
        self.tell(records.PERMIT, count=1)
        self.connect()
        node = self.reactor.adopted[-1]
        send(self.reactor, node, first_message or hello())
        self.tell(records.ADMIT, connection=node.connection, handle=handle, after_id=0)
        self.hub.sent.clear()
        return node

    def told(self) -> list[Observations]:
        """What is told when a second has gone by."""
        self.reactor.advance(REPORT_SECONDS)
        return self.observations()

    def observations(self) -> list[Observations]:
        sent, self.hub.sent = self.hub.sent, []
        return [Observations.decode(body) for kind, body in sent if kind == records.OBSERVATIONS]


class ObservingTests(ObservingTestCase):
    def test_what_was_found_is_told_once(self) -> None:
        node = self.admit()
        send(
            self.reactor, node, event(43, TIME - 5) + event(45, TIME, to=0) + event(47, TIME, to=0)
        )
        (told,) = self.told()
        self.assertEqual(told.outcomes, (OutcomeCount(7, 43, Outcome.SUCCESS, NO_CORE, 1),))
        self.assertEqual([row[-1] for row in told.latencies], [5, 0, 5])
        self.assertEqual(told.clocks[0].greatest, 5)
        self.assertEqual([sighting.arrived for sighting in told.sightings], [int(NOW * 1e6)] * 3)
        began = int(NOW * 1e6)
        self.assertEqual((told.began, told.ended), (began, began + REPORT_SECONDS * 1_000_000))
        self.assertEqual(self.told(), [])

    def test_before_a_node_is_gone_its_open_chains_are_told_as_unfinished(self) -> None:
        node = self.admit()
        send(self.reactor, node, event(43, TIME) + event(24, TIME))
        hang_up(self.reactor, node)
        kinds = [kind for kind, _ in self.hub.sent]
        reports = [records.TOTALS, records.COUNTS, records.OBSERVATIONS]
        self.assertEqual(kinds, [records.CHUNK, *reports, records.GONE])
        (told,) = self.observations()
        self.assertEqual({row[1:3] for row in told.outcomes}, {(43, 2), (24, 2)})
        self.assertEqual(self.told(), [])

    def test_when_the_process_drains_no_chain_is_left_untold(self) -> None:
        node = self.admit()
        send(self.reactor, node, event(43, TIME))
        self.process.drain()
        (told,) = self.observations()
        self.assertEqual(told.outcomes, (OutcomeCount(7, 43, Outcome.UNFINISHED, NO_CORE, 1),))

    def test_chains_expire_while_nothing_comes(self) -> None:
        node = self.admit()
        send(self.reactor, node, event(43, TIME))
        self.told()
        for _ in range(58):
            self.assertEqual(self.told(), [])
        (told,) = self.told()
        self.assertEqual(told.outcomes, (OutcomeCount(7, 43, Outcome.UNFINISHED, NO_CORE, 1),))

    def test_when_the_servers_clock_is_set_it_is_told_by_how_much(self) -> None:
        node = self.admit()
        self.assertEqual(self.told(), [])
        send(self.reactor, node, event(24, TIME))
        for set_by in (3600.0, 0.0):
            jump = set_by - self.set_by
            self.set_by = set_by
            (told,) = self.told()
            self.assertEqual(told.clock_set, (int(jump * 1_000_000),))
            self.assertEqual(told.ended - told.began, int(jump + REPORT_SECONDS) * 1_000_000)
            self.assertEqual(self.told(), [])

    def test_a_broken_reference_is_a_fault(self) -> None:
        node = self.admit()
        send(self.reactor, node, event(45, TIME, to=3))
        self.reactor.advance(REPORT_SECONDS)
        (told,) = [body for kind, body in self.hub.sent if kind == records.FAULTS]
        (fault,) = records.decode_json(told)
        self.assertEqual((fault["reason"], fault["offset"]), (YET_TO_COME, 9))

    def test_messages_above_the_rate_limit_make_orphans(self) -> None:
        node = self.admit()
        node.source.stream.skip(event(43), 0, 1)
        send(self.reactor, node, event(45, TIME, to=0))
        (told,) = self.told()
        self.assertEqual(told.withheld, (WithheldCount(7, Withheld.ORPHANS, 1),))

    def test_networks_are_apart(self) -> None:
        first = self.admit(7)
        at = hello().index(bytes.fromhex(NODE_ID)) - 32
        other = hello()[:at] + b"\x99" * 32 + hello()[at + 32 :]
        second = self.admit(8, other)
        executed = event(43, TIME) + event(47, TIME, to=0, accumulate_costs=[[3, cost(47)]])
        send(self.reactor, second, executed)
        send(self.reactor, first, executed)
        (told,) = self.told()
        self.assertEqual(told.networks, (bytes(32), b"\x99" * 32))
        self.assertEqual([row.network for row in told.costs], [1, 0])


if COMPILED:

    class CompiledObservingTests(ObservingTests):
        """The same with what is compiled."""

        codec = "compiled"


class WithoutHistoryTests(ObservingTestCase):
    """No chain is followed then."""

    history = False

    def test_nothing_is_told(self) -> None:
        node = self.admit()
        send(self.reactor, node, event(43, TIME - 5) + event(45, TIME, to=4))
        self.assertEqual(self.told(), [])
        self.assertEqual(self.seen(records.FAULTS), [])


class NetworkIndexesTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=60))
    def test_each_network_that_is_named_has_an_index_of_its_own(
        self, steps: list[tuple[int, int]]
    ) -> None:
        indexes = NetworkIndexes()
        known: dict[int, tuple[str, int]] = {}
        for connection, number in steps:
            genesis = "0x" + f"{number:02x}" * 32
            if connection in known:
                indexes.leave(connection)
                del known[connection]
            else:
                known[connection] = genesis, indexes.enter(connection, genesis)
            for name, index in known.values():
                self.assertEqual(indexes.hashes[index], bytes.fromhex(name[2:]))
            self.assertLessEqual(len(indexes.hashes), 4)

    def test_one_too_many_has_none_until_another_is_let_go(self) -> None:
        indexes = NetworkIndexes()
        for number in range(NO_NETWORK):
            self.assertEqual(indexes.enter(number, "0x" + f"{number:064x}"), number)
        self.assertEqual(indexes.enter(998, "0x" + "ff" * 32), NO_NETWORK)
        indexes.leave(998)
        indexes.leave(17)
        self.assertEqual(indexes.enter(999, "0x" + "ff" * 32), 17)
        self.assertEqual(indexes.hashes[17], b"\xff" * 32)


class ChainsInTests(SynchronousTestCase):
    def test_nothing_else_is_looked_at(self) -> None:
        outcomes = tuple(OutcomeCount(number, 43, 0, NO_CORE, number) for number in range(4))
        body = Observations(1, 2, networks=(bytes(32),), outcomes=outcomes).encode()
        self.assertEqual(chains_in(memoryview(body + b"\x99\0\0\0\0")), 6)
        self.assertEqual(chains_in(Observations(1, 2).encode()), 0)
