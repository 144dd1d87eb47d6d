"""What history is told of a node costs no more than its share, whatever the node sends."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from telemetry_twisted.ingestion.process import REPORT_SECONDS
from telemetry_twisted.jip3.state_types import BEST_BLOCK
from telemetry_twisted.jip3.thinning import FACTS_A_SECOND, FACTS_AT_ONCE
from telemetry_twisted.transport import records
from telemetry_twisted.transport.records import Facts, decode_json
from tests.hub.test_uncounted import NODES, Scene
from tests.ingestion.test_node import best_block, failed, hang_up, send

AUTHORING_FAILED = failed("no")[4 + 8]


class Seconds:
    """Two nodes of a process, of which the first floods; notes what the hub is sent of each."""

    def __init__(self) -> None:
        self.scene = Scene()
        for node_id in NODES[:2]:
            self.scene.connect(node_id)
        self.scene.hub_reads()
        self.facts: list[tuple[int, bytes]] = []
        self.states: list[dict[str, Any]] = []
        self.counts: list[dict[str, Any]] = []

    def send(self, flood: bytes, other: bytes) -> None:
        """Have the nodes send this, in small reads, and a second go by."""
        first, second = self.scene.reactor.adopted
        for at in range(0, len(flood), 1 << 15):
            send(self.scene.reactor, first, flood[at : at + (1 << 15)])
        send(self.scene.reactor, second, other)
        self.scene.reactor.advance(REPORT_SECONDS)
        sent, self.scene.there.sent = self.scene.there.sent, []
        for kind, body in sent:
            if kind == records.FACTS:
                self.facts += Facts.decode(body).messages
            elif kind == records.STATE:
                self.states.append(decode_json(body))
            elif kind == records.COUNTS:
                self.counts.append(decode_json(body))

    def facts_of(self, handle: int) -> list[bytes]:
        """The facts of a node since the last call."""
        of_it = [content for whose, content in self.facts if whose == handle]
        self.facts = [fact for fact in self.facts if fact[0] != handle]
        return of_it


@pytest.mark.parametrize("number", [200, 4000])
def test_blocks_without_end_cost_no_more_than_a_few(number: int) -> None:
    """How much comes out does not depend on how much goes in."""
    seconds = Seconds()
    for second in range(3):
        slots = range(number * second, number * (second + 1))
        seconds.send(b"".join(map(best_block, slots)), best_block(second))
        (*passed_on, newest) = seconds.facts_of(0)
        assert len(passed_on) == (FACTS_A_SECOND if second else FACTS_AT_ONCE)
        assert newest == best_block(slots[-1])[4:]
        assert seconds.facts_of(1) == [best_block(second)[4:]]
        (state,) = seconds.states
        assert state["0"]["best"]["slot"] == slots[-1]
        assert state["1"]["best"]["slot"] == second
        seconds.states.clear()
    assert [told["counts"]["0"] for told in seconds.counts] == [{"11": number}] * 3


def test_of_failures_without_end_it_is_told_how_many_are_not_told_of() -> None:
    seconds = Seconds()
    for _ in range(3):
        seconds.send(failed("no") * 500, failed("other") * 3)
    assert Counter(handle for handle, _ in seconds.facts) == {
        0: FACTS_AT_ONCE + 2 * FACTS_A_SECOND,
        1: 9,
    }
    kind = str(AUTHORING_FAILED)
    assert [told["counts"] for told in seconds.counts] == [{"0": {kind: 500}, "1": {kind: 3}}] * 3
    assert [told["unread"] for told in seconds.counts] == [
        {kind: 500 - FACTS_AT_ONCE},
        {kind: 500 - FACTS_A_SECOND},
        {kind: 500 - FACTS_A_SECOND},
    ]


def test_a_state_that_waits_is_told_when_its_node_goes_and_not_again() -> None:
    seconds = Seconds()
    seconds.send(best_block(1) + best_block(1), b"")
    assert seconds.facts_of(0) == [best_block(1)[4:]] * 2
    seconds.send(b"", b"")
    assert seconds.facts == []
    first, _ = seconds.scene.reactor.adopted
    send(seconds.scene.reactor, first, best_block(1))
    hang_up(seconds.scene.reactor, first)
    kinds = [kind for kind, _ in seconds.scene.there.sent]
    assert kinds == [
        records.CHUNK,
        records.FACTS,
        records.TOTALS,
        records.COUNTS,
        records.STATE,
        records.OBSERVATIONS,
        records.GONE,
    ]
    (fact,) = Facts.decode(seconds.scene.there.sent[1][1]).messages
    assert fact == (0, best_block(1)[4:])


def test_a_node_that_comes_again_and_again_has_no_other_told_more_often() -> None:
    """When a node goes, counts of all are told, and what waits is told of that node alone."""
    seconds = Seconds()
    first, _ = seconds.scene.reactor.adopted
    for _ in range(20):
        seconds.scene.connect(NODES[2])
        seconds.scene.hub_reads()
        send(seconds.scene.reactor, first, best_block(1) * 10)
        hang_up(seconds.scene.reactor, seconds.scene.reactor.adopted.pop())
        seconds.scene.hub_reads()
    assert +seconds.scene.account.counted == {(NODES[0], BEST_BLOCK): 200}
    seconds.send(b"", b"")
    assert seconds.facts_of(0) == [best_block(1)[4:]]
