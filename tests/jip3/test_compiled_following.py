"""The compiled codec follows chains as the Python one does, to the byte, and within its bounds."""

from __future__ import annotations

import os
import sys
from random import Random

import pytest

from telemetry_twisted.jip3 import open_chains
from telemetry_twisted.jip3.codec import Dialect, Following
from telemetry_twisted.jip3.gathering import MOST_RECEIPTS_OF_ONE, MOST_ROWS_OF_NODE
from telemetry_twisted.jip3.moment import COMMON_ERA, Moment
from telemetry_twisted.jip3.observations import Observations
from telemetry_twisted.jip3.observed import Withheld, WithheldCount
from telemetry_twisted.jip3.python import PythonCodec

pytest.importorskip("telemetry_twisted.jip3.compiled", exc_type=ImportError)

from bench.fuzz import chained
from telemetry_twisted.jip3._kernel import Gatherer
from telemetry_twisted.jip3.compiled import CompiledCodec

from .chain_events import CORES, event

NOW = 1_000_000_000
MOMENT = Moment(b"now", 0, 0, 2 * NOW, 40, 0, COMMON_ERA + NOW)
SEED = int(os.environ.get("FUZZ_SEED", "3"))
DIALECT = Dialect("ab" * 32, cores=CORES)
KIB = 1024


@pytest.mark.parametrize(
    ("rounds", "longest"), [(8, 40), pytest.param(60, 300, marks=pytest.mark.end_to_end)]
)
def test_whatever_nodes_send_the_same_is_found(rounds: int, longest: int) -> None:
    for number in range(rounds):
        chained.fuzz(Random(f"{SEED}/{number}"), longest)


def test_of_too_many_the_same_are_forgotten() -> None:
    random = Random(SEED)
    sides = [chained.Side(codec) for codec in (CompiledCodec(), PythonCodec())]
    many = open_chains.MOST_OPEN
    frames = [event(random.choice((24, 90)), NOW) for _ in range(many)]
    touched = [event(96, NOW, random.randrange(many)) for _ in range(many // 4)]
    more = [event(random.choice((24, 43)), NOW) for _ in range(many // 2)]
    data = b"".join(frames + touched + more)
    results = []
    for side in sides:
        side.add(DIALECT, 0, 0)
        (stream,) = side.streams
        decoded = stream.decode(data, 0, len(data), 1, 1, MOMENT)
        stream.end_chains()
        results.append((decoded, side.gatherer.take(0, 1, 0, [bytes(32)])))
    assert results[0] == results[1]


def test_receipts_of_one_assurance_are_no_more_than_their_number_can_say() -> None:
    gatherer = Gatherer()
    each = MOST_ROWS_OF_NODE - 1
    data = event(131, NOW) * each
    nodes = MOST_RECEIPTS_OF_ONE // each + 1
    for handle in range(nodes):
        stream = CompiledCodec().open(DIALECT, Following(gatherer, handle, 0))
        stream.decode(data, 0, len(data), 1, 1, MOMENT)
    found = Observations.decode(gatherer.take(0, 1, 0, [bytes(32)]))
    ((*_, receipts),) = found.assurances
    assert len(receipts) == MOST_RECEIPTS_OF_ONE
    too_many = nodes * each - MOST_RECEIPTS_OF_ONE
    assert found.withheld == (WithheldCount(nodes - 1, Withheld.ROWS, too_many),)


class TestMemory:
    def test_a_node_that_says_little_costs_little(self) -> None:
        gatherer = Gatherer()
        stream = CompiledCodec().open(DIALECT, Following(gatherer, 1, 0))
        data = (event(43, NOW) + event(45, NOW, 0) + event(47, NOW, 0)) * 3
        stream.decode(data, 0, 100, 1, 1, MOMENT)
        (follower,) = gatherer.followers
        assert sys.getsizeof(stream) + sys.getsizeof(follower) < 4 * KIB

    def test_a_busy_node_costs_no_more_than_it_may(self) -> None:
        """It has as many requests and work packages under way as one of a full network."""
        gatherer = Gatherer()
        stream = CompiledCodec().open(DIALECT, Following(gatherer, 1, 0))
        data = b"".join(
            event(90, NOW) + event(94, NOW, 16 * number) + event(120, NOW) * 14
            for number in range(30)
        )
        stream.decode(data, 0, len(data), 1, 1, MOMENT)
        (follower,) = gatherer.followers
        assert 16 * KIB < sys.getsizeof(follower) < 64 * KIB
